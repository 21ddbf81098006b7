#!/bin/sh
# Render every overlay, and hold it against the schemas, the project's rules and checkov; then the Containerfiles.
# Called by `make manifests-check` with the folder of the tools and the folder to render to.
set -eu
tools=$1
rendered=$2
cd "$(dirname "$0")/.."

rm -rf "$rendered"
mkdir -p "$rendered"
for overlay in manifests/overlays/*/ tests/manifests/overlays/*/; do
    "$tools/kubectl" kustomize "$overlay" > "$rendered/$(basename "$overlay").yaml"
done
# The conftest.py above this folder needs the development environment.
RENDERED=$rendered "$tools/python" -m pytest --confcutdir=tests/manifests -p no:cacheprovider tests/manifests
"$tools/checkov" --config-file manifests/checkov.yaml --directory "$rendered"
if [ -d images ]; then
    find images -name Containerfile -exec "$tools/hadolint" {} +
fi
