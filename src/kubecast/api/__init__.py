"""What a notebook uses: ``fit`` and ``load``, which return a ``Model``."""

from kubecast.api.fitting import fit
from kubecast.api.model import Model, load

__all__ = ["Model", "fit", "load"]
