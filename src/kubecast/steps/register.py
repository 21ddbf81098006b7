"""register_model: one published version, holding the ensemble as judged and for production."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kubecast.bundle import Contract, with_naive, write_bundle
from kubecast.config import EnsembleSettings, TrainingSettings
from kubecast.errors import Conflict
from kubecast.evaluation import LEADERBOARD, Evaluation
from kubecast.logs import step
from kubecast.models.artifact import Status, package_versions, read_card, read_status
from kubecast.models.ensemble import StackRecipe, combine, own_scales
from kubecast.panel import KEYS, Panel, read_parquet
from kubecast.promotion import Decision
from kubecast.registry import CHAMPION, Registry, Version
from kubecast.steps.prepare import published_under, read_training
from kubecast.steps.stack import read_recipe, read_settings
from kubecast.steps.train import PRODUCTION

_LOG = logging.getLogger(__name__)


class MemberPaths(NamedTuple):
    """Where one trained model's artifacts are.

    Attributes:
        judged: The model as judged.
        final: The model to publish for production; the same where there is no final fit.
        forecasts: Of ``final``.
    """

    judged: Path
    final: Path
    forecasts: Path


class Run(NamedTuple):
    """What the steps before left, read once.

    Attributes:
        panel: From ``prepare_data``.
        training: The settings that it was made under.
        recipe: From ``stack_ensemble``.
        ensemble: The settings that it was made with.
    """

    panel: Panel
    training: TrainingSettings
    recipe: StackRecipe
    ensemble: EnsembleSettings

    @classmethod
    def load(cls, panel_dir: Path, ensemble_dir: Path) -> "Run":
        """Read them."""
        recipe, settings = read_recipe(ensemble_dir), read_settings(ensemble_dir)
        return cls(Panel.load(panel_dir), read_training(panel_dir), recipe, settings)


@step
def register_model(
    panel_dir: Path,
    ensemble_dir: Path,
    evaluation_dir: Path,
    report: Path,
    members: Mapping[str, MemberPaths],
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecast: Path,
) -> str:
    """Publish a version, and move ``champion`` to it if the decision says so.

    Args:
        panel_dir: From ``prepare_data``.
        ensemble_dir: From ``stack_ensemble``.
        evaluation_dir: From ``evaluate_models``.
        report: From ``evaluate_models``.
        members: Each trained model's artifacts, by its name.
        registry: Path or URL; empty: from the settings.
        model_name: Empty: from the settings.
        inputs_digest: From ``resolve_inputs``: a version that the same run made is known by it.
        forecast: Where a copy of the production forecast goes, without rows where there is none.

    Returns:
        ``NAME@VERSION``.
    """
    run = Run.load(panel_dir, ensemble_dir)
    failed = {
        name: status
        for name, paths in members.items()
        if (status := read_status(paths.judged)).state == "failed"
    }
    usable = {name: paths for name, paths in members.items() if name not in failed}
    evaluation = Evaluation.read(evaluation_dir)
    store, name = published_under(run.training, registry, model_name)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        assemble(bundle, run, usable).to_parquet(forecast, index=False)
        shutil.copyfile(report, bundle / "report.html")
        shutil.copyfile(evaluation_dir / LEADERBOARD, bundle / LEADERBOARD)
        described = metadata(run, evaluation, usable, failed) | {"inputs_digest": inputs_digest}
        version = store.publish(name, bundle, described, run.training.model_registry.max_versions)
    promote(store, version, evaluation.decision)
    return f"{version.name}@{version.id}"


def assemble(bundle: Path, run: Run, members: Mapping[str, MemberPaths]) -> pd.DataFrame:
    """Write ``evaluated/``, ``production/`` and, where covariates allow it, ``production_forecast.parquet``.

    Returns:
        The production forecast; without rows where known-future covariates end with the data.
    """
    panel, training, recipe, _ = run
    ends = panel.ends.frame.set_index("unique_id")["cutoff"]
    # Weights were chosen on the validation part, so the judged ensemble has seen that.
    chosen = panel.series.set_index("unique_id")["validation_end"].fillna(ends)
    evaluated = {name: paths.judged / "forecaster" for name, paths in members.items()}
    final = {name: paths.final / "forecaster" for name, paths in members.items()}
    for part, stacked, files, until in (
        ("evaluated", recipe.as_judged(), evaluated, chosen),
        ("production", recipe, final, ends),
    ):
        contract = Contract(
            spec=panel.spec, training=training, fit_until={str(k): v for k, v in until.items()}
        )
        write_bundle(bundle / part, contract, stacked, files)
    table = production_forecast(panel, recipe, members)
    if len(table):
        table.to_parquet(bundle / "production_forecast.parquet", index=False)
    return table


def production_forecast(
    panel: Panel, recipe: StackRecipe, members: Mapping[str, MemberPaths]
) -> pd.DataFrame:
    """Combine the members' forecasts from every series' end; without rows where covariates are not known."""
    table = with_naive(panel.grid(panel.ends), panel, panel.ends)
    for paths in members.values():
        found = read_parquet(paths.forecasts)
        found = found[found["part"] == PRODUCTION].drop(columns=["part", "block"])
        table = table.merge(found, on=KEYS)
    return combine(recipe, table, own_scales(recipe, panel, panel.ends)).drop(columns="cutoff")


def promote(store: Registry, version: Version, decision: Decision) -> None:
    """Move ``champion`` by compare-and-swap against the champion that was judged.

    Raises:
        Conflict: It is that champion still; the step can be repeated.
    """
    _LOG.info("%s is published; comparison: %s", version.id, decision.compared)
    if not decision.promote:
        _LOG.info("%s is not promoted: %s", version.id, "; ".join(decision.reasons))
        return
    try:
        store.set_alias(version.name, CHAMPION, version.id, expected=decision.champion)
    except Conflict:
        current = store.aliases(version.name).get(CHAMPION)
        if current == decision.champion:  # too many writers at once
            raise
        if current != version.id:
            _LOG.info(
                "%s is not promoted: the champion is %s by now, it was judged against %s",
                version.id,
                current,
                decision.champion or "none",
            )


def metadata(
    run: Run, evaluation: Evaluation, members: Mapping[str, MemberPaths], failed: Mapping[str, Status]
) -> dict[str, Any]:
    """Where the version came from and what it scored; of failed models, what the next retraining takes."""
    panel, training, *_ = run
    cards = {name: read_card(paths.judged) for name, paths in members.items()}
    settings = {
        "training": training.model_dump(mode="json"),
        **{name: status.settings for name, status in failed.items() if status.settings},
        **{name: card.settings for name, card in cards.items()},
        "ensemble": run.ensemble.model_dump(mode="json"),
    }
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return {
        "data_digest": panel.spec.digest,
        "settings": settings,
        "settings_digest": hashlib.sha256(text.encode()).hexdigest(),
        "seeds": {name: card.seed for name, card in cards.items()},
        "packages": package_versions() | {k: v for card in cards.values() for k, v in card.versions.items()},
        "image": os.environ.get("KUBECAST_IMAGE", ""),
        "frequency": panel.spec.frequency,
        "horizon": panel.spec.horizon,
        "season_lengths": list(panel.spec.season_lengths),
        "final_fit": {
            name: read_status(paths.final).model_dump(exclude={"settings"}) for name, paths in members.items()
        },
        "decision": evaluation.decision.model_dump(mode="json"),
        "test": evaluation.summary(),
    }
