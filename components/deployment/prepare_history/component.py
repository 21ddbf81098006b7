"""Reads the data that a published ensemble forecasts from, and keeps it in shards of whole series."""

from kubecast.components import images


@images.component(base_image=images.BASE)
def prepare_history(
    data: str,
    registry: str,
    model: str,
    destination: str,
    horizon: int,
    future: str,
    as_of: str,
    shards: str,
    work: str,
    keep_days: int,
) -> list[str]:
    """Read the data as the ensemble wants it; what an earlier run of the same request kept is not made again.

    Args:
        data: Path or URL of a file, a folder, a table or a database.
        registry: Path or URL.
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``; a name alone is its champion.
        destination: Path or URL of the folder that holds the batches.
        horizon: Steps; 0: the model's.
        future: Path or URL of known-future covariates over the horizon; empty for none.
        as_of: ISO date or time after which targets are not seen; empty for none.
        shards: Their number, or auto: one for every five million rows.
        work: Path or URL of the folder in which runs keep what their tasks hand on; empty: ``.work`` in the
            destination.
        keep_days: Days after which what a run kept there is removed.

    Returns:
        The URLs of the shards.
    """
    from kubecast.steps.prepare_history import prepare_history

    request = data, registry, model, destination, horizon, future, as_of
    return prepare_history(*request, shards, work, keep_days)
