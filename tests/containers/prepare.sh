#!/bin/sh
# Install the container tools of Debian, make a Debian base with Python, and build the images on it.
#
# No image registry is needed: the base is made of Debian's packages. As root.
set -eu
cd "$(dirname "$0")/../.."

base=localhost/kubecast-debian:bookworm
for tool in buildah podman runc mmdebstrap; do
    command -v "$tool" >/dev/null && continue
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends buildah podman runc mmdebstrap
    break
done
if ! podman image exists "$base"; then
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates bookworm - \
        | podman import --quiet - "$base"
fi
if [ ! -x output/docker-registry/usr/bin/docker-registry ]; then
    # Unpacked and not installed, since the package starts a server.
    mkdir -p output/docker-registry
    (cd output/docker-registry && apt-get download -qq docker-registry && dpkg-deb --extract ./*.deb .)
fi
# chroot and the host's network, so that it also works where containers cannot be nested.
ENGINE=buildah BASE_IMAGE=$base BUILD_FLAGS="--isolation chroot --network host" images/build.sh "$@"
