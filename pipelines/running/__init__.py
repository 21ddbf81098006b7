"""Running compiled pipelines: on this machine, or on a cluster over Kubeflow Pipelines' REST API."""
