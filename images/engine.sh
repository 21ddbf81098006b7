#!/bin/sh
# Print the first container engine that works here; ENGINE names another, or an order of them.
for engine in ${ENGINE:-docker podman buildah}; do
    if "$engine" info >/dev/null 2>&1; then
        echo "$engine"
        exit
    fi
done
echo "error: no container engine works here, tried: ${ENGINE:-docker podman buildah}; install one, e.g. apt-get install buildah" >&2
exit 2
