"""``kubecast models``: look after the registry of published models."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubecast.cli.console import Json, print_json, print_table
from kubecast.cli.options import RegistryUrl
from kubecast.errors import ConfigError, IntegrityError, NotFound

if TYPE_CHECKING:
    from kubecast.registry import Entry, Registry, Verification, Version

_READERS = 16  # requests at once to list many

app = typer.Typer(help="Look after the registry of published models.", no_args_is_help=True)

Reference = Annotated[
    str, typer.Argument(help="NAME (its champion, else newest), NAME@ALIAS or NAME@VERSION.")
]
Alias = Annotated[str, typer.Option(help="The alias to move.")]


@app.command(name="list")
def list_models(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="Only this model's versions.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Newest of each model to show; 0: all.")] = 20,
    as_json: Json = False,
) -> None:
    """List the published versions, newest first, with their aliases and their error on the test split."""
    from kubecast.registry import Registry

    store = Registry.open(registry)
    with ThreadPoolExecutor(_READERS) as pool:
        listed = list(pool.map(store.entries, [name] if name else store.names()))
        shown = [entry for entries in listed for entry in entries[: limit or None]]
        rows = list(pool.map(lambda entry: _row(store, entry), shown))
    total = sum(map(len, listed))
    if as_json:
        print_json(rows)
    else:
        columns = ["model", "version", "aliases", "test_mase"]  # a version's name says when it was created
        if any(row["state"] for row in rows):
            columns.append("state")
        title = f"Versions in {registry}"
        print_table(title, columns, [[row[column] for column in columns] for row in rows])
    if len(rows) < total:
        print(f"shown      {len(rows)} of {total} versions; --limit 0 shows all", file=sys.stderr)


@app.command()
def show(registry: RegistryUrl, model: Reference, as_json: Json = False) -> None:
    """Show one version: where it came from, what it scored, its files."""
    from kubecast.registry import Registry

    version = Registry.open(registry).resolve(model)
    files = {path: size for path, (size, _) in sorted(version.files.items())}
    if as_json:
        print_json({**_summary(version), "metadata": version.metadata, "files": files})
        return
    rows = [[key, _plain(value)] for key, value in {**_summary(version), **version.metadata}.items()]
    print_table(f"{version.name}@{version.id}", ["what", "value"], rows)
    print_table("Files", ["path", "bytes"], [[path, size] for path, size in files.items()])


@app.command()
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


@app.command()
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


@app.command()
def verify(
    registry: RegistryUrl,
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION; default: every model.")] = "",
    as_json: Json = False,
) -> None:
    """Read every file and compare it with what was published; exit status 1 when there is a fault."""
    from kubecast.registry import Registry, split_reference

    store = Registry.open(registry)
    if name:
        model, version = split_reference(name)
        results = {model: store.verify(model, version)}
    else:
        results = _verify_all(store)
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


@app.command()
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
    names = [name] if name else store.names()
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


@app.command()
def delete(
    registry: RegistryUrl,
    model: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete a version that no alias points at. No one finds it from then on; its files go an hour later."""
    from kubecast.registry import Registry, split_reference

    name, version = split_reference(model)
    if not version:
        raise ConfigError(f"{model!r} names no version; allowed: NAME@VERSION")
    store = Registry.open(registry)
    store.check_delete(name, version)
    if not yes:
        _confirm(f"Delete {name}@{version} from {registry}? It cannot be brought back.")
    after = store.delete(name, version).isoformat(timespec="seconds")
    if as_json:
        print_json({"model": name, "version": version, "files_go_after": after})
    else:
        print(f"deleted    {name}@{version}; the next publish or gc after {after} removes its files")


@app.command()
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


def _verify_all(store: "Registry") -> dict[str, "Verification"]:
    results = {}
    for name in store.names():
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


def _row(store: "Registry", entry: "Entry") -> dict[str, Any]:
    row = {
        "model": entry.name,
        "version": entry.id,
        "aliases": ", ".join(entry.aliases),
        "created": entry.created.isoformat(timespec="seconds"),
        "test_mase": None,
        "state": "deleting" if entry.deleting else "",
    }
    if not entry.deleting:
        try:
            row["test_mase"] = _test_mase(store.load(entry))
        except IntegrityError:
            row["state"] = "damaged"
    return row


def _summary(version: "Version") -> dict[str, Any]:
    return {
        "model": version.name,
        "version": version.id,
        "aliases": ", ".join(version.aliases),
        "created": version.created.isoformat(timespec="seconds"),
        "test_mase": _test_mase(version),
    }


def _test_mase(version: "Version") -> Any:
    test = version.metadata.get("test")
    return test.get("mase") if isinstance(test, dict) else None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
