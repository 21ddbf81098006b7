"""The only task that reads what can change; never cached."""

from typing import NamedTuple

from components import images


@images.component(base_image=images.BASE)
def resolve_inputs(data: str, as_of: str, training_settings: str) -> NamedTuple(
    "Resolved", [("digest", str), ("as_of", str)]
):
    """Fix the data's digest and the newest row at or before ``as_of``.

    Args:
        data: Path or URL of the data file.
        as_of: ISO date or time after which rows are not seen; empty for none.
        training_settings: JSON of training.yaml.

    Returns:
        The digest and the moment that every later task depends on.
    """
    from kubecast.steps.prepare import resolve_inputs

    resolved = resolve_inputs(data, as_of, training_settings)
    return resolved.digest, resolved.as_of
