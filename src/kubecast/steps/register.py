"""register_model: one published version, holding the ensemble as judged and for production."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kubecast.bundle import Contract, naive_members, write_bundle
from kubecast.errors import Conflict
from kubecast.evaluation import Evaluation
from kubecast.models.artifact import package_versions, read_card, read_status
from kubecast.models.ensemble import StackRecipe, combine, own_scales
from kubecast.panel import Panel
from kubecast.registry import Registry, Version
from kubecast.steps.prepare import read_training
from kubecast.steps.stack import read_recipe
from kubecast.steps.train import PRODUCTION

CHAMPION = "champion"


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


def register_model(
    panel_dir: Path,
    ensemble_dir: Path,
    evaluation_dir: Path,
    report: Path,
    members: Mapping[str, MemberPaths],
    registry: str,
    model_name: str,
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
        forecast: Where a copy of the production forecast goes, without rows where there is none.

    Returns:
        ``NAME@VERSION``.
    """
    training = read_training(panel_dir)
    usable = {name: paths for name, paths in members.items() if read_status(paths.judged).state != "failed"}
    evaluation = Evaluation.model_validate_json((evaluation_dir / "leaderboard.json").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        assemble(bundle, panel_dir, ensemble_dir, usable).to_parquet(forecast, index=False)
        shutil.copyfile(report, bundle / "report.html")
        shutil.copyfile(evaluation_dir / "leaderboard.json", bundle / "leaderboard.json")
        store = Registry.open(registry or training.model_registry.path)
        version = store.publish(
            model_name or training.model_name,
            bundle,
            metadata(panel_dir, ensemble_dir, evaluation, usable),
            training.model_registry.max_versions,
        )
    promote(store, version, evaluation)
    return f"{version.name}@{version.id}"


def assemble(
    bundle: Path, panel_dir: Path, ensemble_dir: Path, members: Mapping[str, MemberPaths]
) -> pd.DataFrame:
    """Write ``evaluated/``, ``production/`` and, where covariates allow it, ``production_forecast.parquet``.

    Returns:
        The production forecast; without rows where known-future covariates end with the data.
    """
    panel, training = Panel.load(panel_dir), read_training(panel_dir)
    recipe = read_recipe(ensemble_dir)
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
    table = panel.grid(panel.ends)
    for member in naive_members(panel.spec):
        table = table.merge(member.forecast(panel, panel.ends), on=["unique_id", "cutoff", "ds"])
    for paths in members.values():
        found = pd.read_parquet(paths.forecasts)
        found = found[found["part"] == PRODUCTION].drop(columns=["part", "block"])
        table = table.merge(found, on=["unique_id", "cutoff", "ds"])
    return combine(recipe, table, own_scales(recipe, panel, panel.ends)).drop(columns="cutoff")


def promote(store: Registry, version: Version, evaluation: Evaluation) -> None:
    """Move ``champion`` by compare-and-swap against the champion that was judged."""
    decision = evaluation.decision
    if not decision.promote:
        print(f"{version.id} is published and not promoted: {'; '.join(decision.reasons)}", flush=True)
        return
    try:
        store.set_alias(version.name, CHAMPION, version.id, expected=decision.champion)
    except Conflict:
        current = store.aliases(version.name).get(CHAMPION)
        if current != version.id:
            print(
                f"{version.id} is published and not promoted: the champion is {current}, it was compared with"
                f" {decision.champion or 'none'}",
                flush=True,
            )


def metadata(
    panel_dir: Path, ensemble_dir: Path, evaluation: Evaluation, members: Mapping[str, MemberPaths]
) -> dict[str, Any]:
    """Where the version came from and what it scored."""
    panel, training = Panel.load(panel_dir), read_training(panel_dir)
    cards = {name: read_card(paths.judged) for name, paths in members.items()}
    settings = {
        "training": training.model_dump(mode="json"),
        **{name: card.settings for name, card in cards.items()},
        "ensemble": read_recipe(ensemble_dir).method,
    }
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return {
        "data_digest": panel.spec.digest,
        "settings_digest": hashlib.sha256(text.encode()).hexdigest(),
        "seeds": {name: card.seed for name, card in cards.items()},
        "packages": package_versions() | {k: v for card in cards.values() for k, v in card.versions.items()},
        "image": os.environ.get("KUBECAST_IMAGE", ""),
        "frequency": panel.spec.frequency,
        "horizon": panel.spec.horizon,
        "season_lengths": list(panel.spec.season_lengths),
        "final_fit": {name: read_status(paths.final).model_dump() for name, paths in members.items()},
        "decision": evaluation.decision.model_dump(mode="json"),
        "test": evaluation.summary(),
    }
