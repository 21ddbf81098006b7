"""``kubecast models``: look after the registry of published models."""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubecast.cli.console import Json, note, print_json, print_table
from kubecast.cli.options import RegistryUrl, examples
from kubecast.cli.versions import (
    COLUMNS,
    DIFF_COLUMNS,
    FORMATS,
    changed_settings,
    diff_rows,
    page,
    shortened,
    summary,
    version_row,
)
from kubecast.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from kubecast.registry import Registry, Verification, Version

_READERS = 16  # requests at once to list many

app = typer.Typer(help="Look after the registry of published models.", no_args_is_help=True)

Reference = Annotated[
    str,
    typer.Argument(
        help="NAME (its champion, else newest), NAME@ALIAS or NAME@VERSION, of which the beginning is enough."
    ),
]
Alias = Annotated[str, typer.Option(help="The alias to move.")]


@app.command(
    name="list",
    epilog=examples(
        "kubecast models list --registry demand/registry",
        "KUBECAST_REGISTRY=s3://demand/registry kubecast models list forecaster --limit 5",
    ),
)
def list_models(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="Only this model's versions.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Newest of each model to show; 0: all.")] = 20,
    as_json: Json = False,
) -> None:
    """List the published versions, newest first, and how good each was found to be.

    Versions were evaluated on different rows, so their errors cannot be compared. Two figures can: skill,
    the gain over the strongest naive forecast on the version's own test split, and the gain over the champion
    of its day on the same rows. The decision is "not shown" where the version was promoted, and chance is not
    ruled out.
    """
    from kubecast.registry import Registry

    store = Registry.open(registry)
    with ThreadPoolExecutor(_READERS) as pool:
        listed = list(pool.map(store.entries, _names(store, registry, name)))
        shown = [entry for entries in listed for entry in entries[: limit or None]]
        rows = list(pool.map(lambda entry: version_row(store, entry), shown))
    total = sum(map(len, listed))
    if as_json:
        print_json(rows)
    else:
        columns = [column for column in COLUMNS if column != "state" or any(row["state"] for row in rows)]
        cells = [[row[column] for column in columns] for row in rows]
        print_table(f"Versions in {registry}", columns, cells, FORMATS | {"version": shortened(rows)})
    if len(rows) < total:
        note(f"shown      {len(rows)} of {total} versions; --limit 0 shows all")


@app.command(
    epilog=examples(
        "kubecast models show --registry demand/registry forecaster",
        "kubecast models show --registry demand/registry forecaster@20261129 --settings",
    )
)
def show(
    registry: RegistryUrl,
    model: Reference,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print the settings instead, those that are not the defaults.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one version on a page: how good it is, why it was promoted or not, and what it was made from."""
    from kubecast.registry import Registry

    version = Registry.open(registry).resolve(model)
    if as_json:
        files = {path: size for path, (size, _) in sorted(version.files.items())}
        print_json({**summary(version), "metadata": version.metadata, "files": files})
    elif settings:
        print(changed_settings(version), end="")
    else:
        print("\n".join(page(version)))


@app.command(
    epilog=examples(
        "kubecast models diff --registry demand/registry forecaster forecaster@latest",
        "kubecast models diff --registry demand/registry forecaster@20261128 forecaster@20261129",
    )
)
def diff(
    registry: RegistryUrl,
    before: Reference,
    after: Reference,
    as_json: Json = False,
) -> None:
    """Show what differs between two versions: settings, data, code, models, and figures on the same rows.

    Figures are those of rows that both were scored on: of the same test split, or of the comparison that one
    of them was promoted or refused by. Where there are no such rows, none are shown.
    """
    from kubecast.evaluation.published import diff_versions
    from kubecast.registry import Registry

    store = Registry.open(registry)
    found = diff_versions(store, store.resolve(before), store.resolve(after))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    note(f"before     {found.before}")
    note(f"after      {found.after}")
    print_table("Differences", DIFF_COLUMNS, diff_rows(found))
    note(f"figures    {found.rows}")


@app.command(epilog=examples("kubecast models promote --registry demand/registry forecaster@20261129"))
def promote(
    registry: RegistryUrl,
    model: Reference,
    alias: Alias = "champion",
    expect: Annotated[
        str, typer.Option(help="VERSION that the alias must point at still; default: any.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Point an alias at a version, whatever was decided; fails if another process moves it meanwhile."""
    from kubecast.registry import Registry

    version = Registry.open(registry).promote(model, alias, expect or None)
    _print_alias(version, alias, as_json)


@app.command(epilog=examples("kubecast models rollback --registry demand/registry forecaster"))
def rollback(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="The model.")],
    alias: Alias = "champion",
    as_json: Json = False,
) -> None:
    """Point an alias back at the version that it pointed at before; again: at the one before that."""
    from kubecast.registry import Registry

    version = Registry.open(registry).rollback(name, alias)
    _print_alias(version, alias, as_json)


@app.command(epilog=examples("kubecast models verify --registry demand/registry"))
def verify(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION; default: every model.")] = "",
    as_json: Json = False,
) -> None:
    """Read every file and compare it with what was published; exit status 1 when there is a fault."""
    from kubecast.registry import Registry

    store = Registry.open(registry)
    if name:
        model, version = store.complete(name)
        results = {model: store.verify(model, version)}
    else:
        results = _verify_all(store, _names(store, registry))
    if as_json:
        print_json({each: result.to_json() for each, result in results.items()})
    else:
        columns = ["model", "versions", "files", "bytes", "faults"]
        rows = [[each, r.versions, r.files, r.bytes, len(r.faults)] for each, r in results.items()]
        print_table(f"Read in {registry}", columns, rows)
        for result in results.values():
            for fault in result.faults:
                print(f"fault      {fault}")
    if any(result.faults for result in results.values()):
        raise typer.Exit(1)


@app.command(epilog=examples("kubecast models gc --registry demand/registry --dry-run"))
def gc(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="Only this model.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what no one can find any more, and list it.

    That is versions that were deleted or retired over an hour ago, and the files of uploads that were begun
    over 24 hours ago and never published, as after a killed run. Safe beside running pipelines.
    """
    from kubecast.registry import Registry

    store = Registry.open(registry)
    names = _names(store, registry, name)
    results = {each: store.collect_garbage(each, dry_run) for each in names}
    if as_json:
        print_json({each: result.to_json() for each, result in results.items()})
        return
    kinds = {"deleted": "deleted version", "uploads": "unfinished upload", "records": "record of an upload"}
    rows = [
        [each, version, kinds[kind]]
        for each, result in results.items()
        for kind, versions in result.to_json().items()
        for version in versions
    ]
    if rows:
        print_table("Would remove" if dry_run else "Removed", ["model", "version", "what"], rows)
    else:
        print("removed    nothing: nothing is due")


@app.command(epilog=examples("kubecast models delete --registry demand/registry forecaster@20261129"))
def delete(
    registry: RegistryUrl,
    model: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete a version that no alias points at. No one finds it from then on; its files go an hour later."""
    from kubecast.registry import Registry

    store = Registry.open(registry)
    name, version = store.complete(model)
    if not version:
        raise ConfigError(f"{model!r} names no version; allowed: NAME@VERSION")
    store.check_delete(name, version)
    if not yes:
        _confirm(f"Delete {name}@{version} from {registry}? It cannot be brought back.")
    after = store.delete(name, version).isoformat(timespec="seconds")
    if as_json:
        print_json({"model": name, "version": version, "files_go_after": after})
    else:
        print(f"deleted    {name}@{version}; the next publish or gc after {after} removes its files")


@app.command(epilog=examples("kubecast models export --registry demand/registry forecaster --output copy"))
def export(
    registry: RegistryUrl,
    model: Reference,
    output: Annotated[Path, typer.Option(help="Folder to make; it appears only when it is complete.")],
    as_json: Json = False,
) -> None:
    """Copy all files of a version to a new folder, each checked against what was published."""
    from kubecast.registry import Registry

    store = Registry.open(registry)
    version = store.resolve(model)
    store.export(version, output)
    size = sum(size for size, _ in version.files.values())
    if as_json:
        copy = {"model": version.name, "version": version.id, "output": str(output)}
        print_json({**copy, "files": len(version.files), "bytes": size})
    else:
        print(
            f"exported   {version.name}@{version.id}  {len(version.files)} files, {size} bytes, to {output}"
        )


def _names(store: "Registry", registry: str, name: str = "") -> list[str]:
    """The models that a command is about; a registry with none is one whose name was misspelt."""
    if name:
        return [store.check_model(name)]
    if names := store.names():
        return names
    raise NotFound(f"registry {registry}: nothing is published there; allowed: where a run published")


def _verify_all(store: "Registry", names: list[str]) -> dict[str, "Verification"]:
    results = {}
    for name in names:
        with suppress(NotFound):  # an empty folder, as an upload that failed leaves it
            results[name] = store.verify(name)
    return results


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} There is no terminal to ask on; allowed: --yes")
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        print("kept       nothing was deleted")
        raise typer.Exit(1)


def _print_alias(version: "Version", alias: str, as_json: bool) -> None:
    if as_json:
        print_json({"model": version.name, "alias": alias, "version": version.id})
    else:
        print(f"{alias:<10} {version.name}@{version.id}")
