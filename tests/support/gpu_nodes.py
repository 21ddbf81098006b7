"""Nodes of a cluster as Kubernetes lists them, with accelerators and without."""

from typing import Any

AKS = {"kubernetes.azure.com/accelerator": "nvidia"}
OPERATOR = {"nvidia.com/gpu.present": "true"}


def node(name: str, labels: dict[str, str], gpus: int = 0, *taints: dict[str, str]) -> dict[str, Any]:
    allocatable = {"cpu": "4", "memory": "16Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    labels = {"kubernetes.io/hostname": name, **labels}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": allocatable},
    }
