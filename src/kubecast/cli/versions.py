"""What the command says of a published version: a row of a list, and a page."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kubecast.cli.console import percent
from kubecast.documents import nested
from kubecast.errors import IntegrityError

if TYPE_CHECKING:
    from kubecast.evaluation.promotion import Decision
    from kubecast.evaluation.published import VersionDiff
    from kubecast.registry import Entry, Registry, Version

COLUMNS = ["model", "version", "aliases", "skill", "against_champion", "decision", "state"]
"""Of a list in a terminal; a version's name says when it was created."""

DIFF_COLUMNS = ["what", "before", "after"]

FORMATS = {"skill": percent, "against_champion": percent}


def version_row(store: "Registry", entry: "Entry") -> dict[str, Any]:
    """A version in a list; without figures where it is being deleted or its manifest is damaged."""
    row = {
        "model": entry.name,
        "version": entry.id,
        "aliases": ", ".join(entry.aliases),
        "created": entry.created.isoformat(timespec="seconds"),
        **_figures({}),
        "state": "deleting" if entry.deleting else "",
    }
    if entry.deleting:
        return row
    try:
        return row | _figures(store.load(entry).metadata)
    except IntegrityError:
        return row | {"state": "damaged"}


def shortened(rows: list[dict[str, Any]]) -> Callable[[str], str]:
    """What cuts each version of a list to a beginning that is its own, to the second as a rule."""
    versions = {row["version"] for row in rows}
    lengths = (
        length for length in range(15, 40) if len({each[:length] for each in versions}) == len(versions)
    )
    length = next(lengths, None)
    return lambda version: version[:length]


def summary(version: "Version") -> dict[str, Any]:
    """The same of one version, as JSON."""
    return {
        "model": version.name,
        "version": version.id,
        "aliases": ", ".join(version.aliases),
        "created": version.created.isoformat(timespec="seconds"),
        **_figures(version.metadata),
    }


def _figures(metadata: dict[str, Any]) -> dict[str, Any]:
    from kubecast.evaluation.verdict import outcome_of

    test, decision = nested(metadata, "test"), nested(metadata, "decision")
    unreadable = "refused" if decision.get("promote") is False else ""  # of a newer kubecast
    return {
        "test_mase": test.get("mase"),
        "skill": test.get("skill"),
        "champion": decision.get("champion"),
        "against_champion": nested(decision, "comparison").get("gain"),
        "decision": outcome_of(metadata) or unreadable,
    }


def page(version: "Version") -> list[str]:
    """One version for a person, a dozen lines."""
    pairs = [(name, text) for name, text in _pairs(version) if text]
    return [f"{version.name}@{version.id}", *(f"{name:<10} {text}" for name, text in pairs)]


def _pairs(version: "Version") -> Iterator[tuple[str, str]]:
    metadata: dict[str, Any] = version.metadata
    from kubecast.evaluation.promotion import decision_of
    from kubecast.evaluation.verdict import verdict

    decided = decision_of(metadata)
    figures, decision = _figures(metadata), nested(metadata, "decision")
    test, packages = nested(metadata, "test"), nested(metadata, "packages")
    yield "created", f"{version.created:%Y-%m-%d %H:%M} UTC"
    yield "aliases", ", ".join(version.aliases) or "none"
    yield "skill", _skill(decided, figures)
    if "coverage_80" in test:
        yield "intervals", f"the one of 80 % holds {percent(test['coverage_80'])} of the test split's values"
    if figures["against_champion"] is not None:
        gain = figures["against_champion"]
        by = f"{percent(abs(gain))} {'better' if gain >= 0 else 'worse'} on the same rows"
        yield "champion", f"{by} than {figures['champion']}"
    elif decision.get("compared"):
        yield "compared", str(decision["compared"])
    if decided:
        words = verdict(decided)
        yield "at its run", words.title  # the alias may have been moved by hand since
        yield "because", words.reason
    elif figures["decision"]:
        yield "decision", f"{figures['decision']}: {'; '.join(map(str, decision.get('reasons', [])))}"
    yield "forecasts", _horizon(metadata)
    yield "models", _models(nested(metadata, "final_fit"))
    yield "data", f"sha256 {str(metadata.get('data_digest', ''))[:12]}" if metadata.get("data_digest") else ""
    yield "made by", ", ".join(_made_by(packages, str(metadata.get("image") or "")))
    size = sum(size for size, _ in version.files.values())
    yield "files", f"{len(version.files)}, {size / 1e6:,.1f} MB"
    yield "more", "--settings: what is not the default; --json: everything; kubecast report: the figures"


def _skill(decision: "Decision | None", figures: dict[str, Any]) -> str:
    """The skill and its interval, which a decision of before they were kept does not have."""
    if decision and decision.skill:
        text = decision.skill.describe().removeprefix("skill ")
    elif figures["skill"] is not None:
        text = f"{percent(figures['skill'])} over a naive forecast, without an interval"
    else:
        return ""
    mase = figures["test_mase"]
    return text if mase is None else f"{text}; MASE {mase:.4f}"


def _horizon(metadata: dict[str, Any]) -> str:
    if "horizon" not in metadata:
        return ""
    seasons = ", ".join(map(str, metadata.get("season_lengths") or []))
    return f"{metadata['horizon']} steps of {metadata.get('frequency')}, seasons {seasons or 'none'}"


def _models(fits: dict[str, Any]) -> str:
    """The models, with what kept one from being fitted on all rows."""
    states = {name: fit if isinstance(fit, dict) else {} for name, fit in fits.items()}
    return ", ".join(
        name if fit.get("state") in (None, "ok") else f"{name} ({fit.get('reason') or fit['state']})"
        for name, fit in states.items()
    )


def _made_by(packages: dict[str, Any], image: str) -> Iterator[str]:
    if "kubecast" in packages:
        yield f"kubecast {packages['kubecast']}"
    if image:
        yield image


def changed_settings(version: "Version") -> str:
    """The YAML of a version's settings that are not the defaults of this kubecast."""
    import yaml

    from kubecast.settings.loading import SECTIONS

    settings: dict[str, Any] = nested(version.metadata, "settings")
    defaults = {name: model().model_dump(mode="json") for name, model in SECTIONS.items()}
    return yaml.safe_dump(_difference(settings, defaults), sort_keys=False, default_flow_style=None)


def _difference(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changed = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            if inner := _difference(value, default):
                changed[key] = inner
        elif value != default:
            changed[key] = value
    return changed


def diff_rows(diff: "VersionDiff") -> list[list[Any]]:
    """A row of ``DIFF_COLUMNS`` for each setting, property and figure."""
    figures = [[f"figures.{pair.name}", pair.before, pair.after] for pair in diff.figures]
    settings = [[change.name, change.before, change.after] for change in diff.settings]
    others = [
        [f"{part}.{change.name}", change.before, change.after]
        for part in ("data", "code", "models")
        for change in getattr(diff, part)
    ]
    return [*figures, *settings, *others]
