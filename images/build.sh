#!/bin/sh
# Build images: images/build.sh NAME ...
#
# Each gets two tags: version and revision, which is what is pushed; and the version alone, which moves from build
# to build and is for this machine only.
#
# BASE_IMAGE   the image to build on, by tag or digest
# PIP_CONF     pip's configuration, such as a private index, by default PIP_CONFIG_FILE's; kept in no image
# CA_BUNDLE    the certificates that pip trusts, by default PIP_CERT's; kept in no image
# BUILD_FLAGS  more options of the engine's build command
set -eu
cd "$(dirname "$0")/.."

pip_conf=${PIP_CONF:-${PIP_CONFIG_FILE:-}}
ca_bundle=${CA_BUNDLE:-${PIP_CERT:-}}
engine=$(images/engine.sh)
tag=$(images/tag.sh)
version=${tag%%-*}
built=""

for image in "$@"; do
    if [ ! -f "images/$image/requirements.txt" ]; then
        echo "error: image $image: images/$image/requirements.txt is missing, allowed: $(cd images && echo */)" >&2
        exit 2
    fi
    set -- --file images/Containerfile --build-arg "IMAGE=$image" \
        --build-arg "VERSION=$version" --build-arg "REVISION=${tag#*-}" \
        --tag "kubecast-$image:$version" --tag "kubecast-$image:$tag"
    # Of the three, buildah keeps the layers of a build only when told to.
    case $engine in
        buildah) set -- --layers "$@" ;;
    esac
    if [ -n "${BASE_IMAGE:-}" ]; then
        set -- "$@" --build-arg "BASE_IMAGE=$BASE_IMAGE"
    fi
    if [ -n "$pip_conf" ]; then
        set -- "$@" --secret "id=pip.conf,src=$pip_conf"
    fi
    if [ -n "$ca_bundle" ]; then
        set -- "$@" --secret "id=ca.crt,src=$ca_bundle" --build-arg PIP_CERT=/run/secrets/ca.crt
    fi
    echo "kubecast-$image:$tag ($engine)"
    started=$(date +%s)
    # shellcheck disable=SC2086 # BUILD_FLAGS holds several words
    "$engine" build ${BUILD_FLAGS:-} "$@" .
    seconds=$(($(date +%s) - started))
    size=$("$engine" images --format '{{.Size}}' "kubecast-$image:$tag" | sed -n 1p)
    built="${built}kubecast-$image:$tag: built in $seconds s, $size
"
done
printf %s "$built"
