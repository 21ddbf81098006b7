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

for image in "$@"; do
    "$engine" tag "kubecast-$image:$version" "$registry/kubecast-$image:$tag"
    "$engine" push "$registry/kubecast-$image:$tag"
done
echo "images:"
for image in "$@"; do
    echo "  kubecast-$image: $registry/kubecast-$image:$tag"
done
