"""Earlier versions, whose figures stand beside those of the new one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from kubecast.data.panel import PanelSpec
from kubecast.documents import Document
from kubecast.errors import RegistryError, StoreError
from kubecast.evaluation.promotion import decision_of
from kubecast.registry import Registry, Version
from kubecast.scoring.metrics import COVERAGE

MOST = 20  # versions


class EarlierVersion(Document):
    """The scores of an earlier version, on the test split of its own run.

    Attributes:
        version: Its id.
        created: When it was published.
        champion: Whether the new version was compared with it.
        mase: On its test split; None as the others where it was not scored.
        skill: Over the naive forecast that its run compared it with.
        coverage: Share of targets inside each interval, by its nominal coverage in percent.
        failed_test: Digest of a paired test that it failed; empty: there is none.
    """

    version: str
    created: datetime
    champion: bool
    mase: float | None = None
    skill: float | None = None
    coverage: dict[str, float] = Field(default={})
    failed_test: str = ""


def earlier_versions(
    store: Registry, name: str, spec: PanelSpec, champion: str, inputs_digest: str
) -> list[EarlierVersion]:
    """The newest versions of the same task, oldest first.

    Args:
        store: The registry; nothing need be published there.
        name: Of the model.
        spec: Versions of another frequency, horizon or season length of MASE are left out.
        champion: Id of the version that the new one is compared with; empty: there is none.
        inputs_digest: Of the run: what it published itself, before it was repeated, is left out.

    Raises:
        StoreError: The store failed.
    """
    earlier: list[EarlierVersion] = []
    for entry in store.entries(name):
        if len(earlier) == MOST:
            break
        if entry.deleting:
            continue
        try:
            version = store.load(entry)
        except StoreError:
            raise
        except RegistryError:  # deleted meanwhile, damaged, or of a newer kubecast: it says nothing here
            continue
        own = bool(inputs_digest) and version.metadata.get("inputs_digest") == inputs_digest
        if not own and _same_task(version.metadata, spec):
            earlier.append(_earlier(version, champion))
    return earlier[::-1]


def _same_task(metadata: Mapping[str, Any], spec: PanelSpec) -> bool:
    seasons = metadata.get("season_lengths") or [None]
    task = metadata.get("frequency"), metadata.get("horizon"), seasons[0]
    return task == (spec.frequency, spec.horizon, spec.season_lengths[0])


def _earlier(version: Version, champion: str) -> EarlierVersion:
    test: Any = version.metadata.get("test")
    test = test if isinstance(test, dict) else {}
    decision = decision_of(version.metadata)
    covered = {key.removeprefix(COVERAGE): value for key, value in test.items() if key.startswith(COVERAGE)}
    return EarlierVersion(
        version=version.id,
        created=version.created,
        champion=version.id == champion,
        mase=test.get("mase"),
        skill=test.get("skill"),
        coverage=covered,
        failed_test=decision.failed_test if decision else "",
    )
