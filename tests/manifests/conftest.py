"""The tests here run in `make manifests-check`, which has kubectl and the schemas of Kubernetes."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("kubernetes_validate") else ["test_rendered.py"]
