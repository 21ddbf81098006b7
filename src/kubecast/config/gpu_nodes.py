"""Labels by which GPU nodes are known; their sources are in docs/how-to/gpu-nodes.md."""

from collections.abc import Mapping
from typing import Literal

GpuLabels = Literal["operator", "gke", "eks", "aks", "none"]

LABELS: dict[GpuLabels, dict[str, str]] = {
    "operator": {"nvidia.com/gpu.present": "true"},
    "gke": {"cloud.google.com/gke-gpu": "true"},
    "eks": {"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"},
    "aks": {"kubernetes.azure.com/accelerator": "nvidia"},
    "none": {},
}
"""Labels that every GPU node has, whatever its type: the NVIDIA GPU operator's and those of three clouds."""


def node_selector(gpu_nodes: GpuLabels | Mapping[str, str]) -> dict[str, str]:
    """The labels of ``cluster.gpu_nodes``, a name in ``LABELS`` or labels themselves.

    >>> node_selector("aks")
    {'kubernetes.azure.com/accelerator': 'nvidia'}
    """
    return dict(LABELS[gpu_nodes] if isinstance(gpu_nodes, str) else gpu_nodes)


def meets(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Tell whether the selector selects a node with these labels.

    >>> meets({"zone": "a", "gpu": "t4"}, {"gpu": "t4"})
    True
    """
    return selector.items() <= labels.items()
