"""Servers that tests start: object storage, Kubeflow Pipelines, Kubernetes, a webhook."""
