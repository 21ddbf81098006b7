#!/bin/sh
# Push images that were built, and print what cluster.yaml calls them: images/push.sh REGISTRY TAG NAME ...
#
# TAG may be empty: the version and the revision that they were built from.
set -eu
cd "$(dirname "$0")/.."

if [ $# -lt 3 ] || [ -z "$1" ]; then
    echo "error: REGISTRY is missing, e.g. make push REGISTRY=ghcr.io/team" >&2
    exit 2
fi
registry=$1
version=$(images/tag.sh)
tag=${2:-$version}
shift 2
if [ "$tag" = latest ]; then
    echo "error: TAG latest: allowed: one that never moves, e.g. $version" >&2
    exit 2
fi
engine=$(images/engine.sh)
pushed=$(mktemp -d)
trap 'rm -r "$pushed"' EXIT

for image in "$@"; do
    name=$registry/kubecast-$image
    "$engine" tag "kubecast-$image:$version" "$name:$tag"
    case $engine in
        docker)
            docker push "$name:$tag" | tee /dev/stderr | sed -n 's/.*: digest: \(sha256:[0-9a-f]*\).*/\1/p' >"$pushed/$image"
            test -s "$pushed/$image" # the exit status is that of sed
            ;;
        *) "$engine" push --digestfile "$pushed/$image" "$name:$tag" >&2 ;;
    esac
done
echo "image_repository: $registry"
echo "image_tag: $tag"
echo "images: # by digest, which no later push can change; the two lines above do without"
for image in "$@"; do
    echo "  kubecast-$image: $registry/kubecast-$image@$(cat "$pushed/$image")"
done
