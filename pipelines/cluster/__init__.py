"""Kubeflow Pipelines over its REST API: submitting, following and scheduling compiled pipelines."""
