"""Kubeflow Pipelines components: thin wiring around `kubecast.steps`."""
