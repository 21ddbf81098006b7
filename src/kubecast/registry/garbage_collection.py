"""Garbage collection: deleted versions and uploads that were never published go after a grace time.

Versions: marked in the refs, then after a grace time the commit record goes, then the files, then the mark;
any process can go on where another was killed.

Uploads: one with no commit record after its grace gets an empty one from here. As the writer must create that
same object, one of the two wins. Then the files go; the empty record goes in a later run.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from kubecast.registry.manifest import Refs
from kubecast.registry.names import version_time
from kubecast.registry.records import Records

DELETE_GRACE = timedelta(hours=1)  # a reader that has resolved a version may still be loading it
UPLOAD_GRACE = timedelta(hours=24)  # a writer gives up after half of it


@dataclass(frozen=True)
class Collected:
    """The version ids of what garbage collection removed, or would remove."""

    deleted: list[str]  # versions that were deleted or retired
    uploads: list[str]  # files that were never published
    records: list[str]  # empty commit records of such uploads, from earlier runs

    def to_json(self) -> dict[str, list[str]]:
        """Return it as plain lists by kind."""
        return asdict(self)


def finish_deletions(records: Records, now: datetime, grace: timedelta) -> list[str]:
    """Remove the versions that any process marked a grace time ago, and return them."""
    due = _due(records.refs(), now, grace)
    for version in due:
        records.remove(version)
    if due:
        records.update(lambda refs: refs.unmarked(due))
    return due


def collect(
    records: Records, now: datetime, delete_grace: timedelta, upload_grace: timedelta, dry_run: bool
) -> Collected:
    """Remove what is due, or with `dry_run` only list it."""
    refs = records.refs()
    deleted = _due(refs, now, delete_grace) if dry_run else finish_deletions(records, now, delete_grace)
    folders = set(records.list_folders()) - set(refs.deleting)
    commits = records.commits()
    stale = [v for v in sorted(folders) if not commits.get(v) and now - version_time(v) >= upload_grace]
    stale = [v for v in stale if records.list_files(v)]  # SeaweedFS lists folders for a while that are empty
    spent = [v for v in sorted(set(commits) - set(stale)) if not commits[v]]
    spent = [v for v in spent if now - version_time(v) >= 2 * upload_grace]
    if not dry_run:
        stale = [version for version in stale if _give_up(records, version)]
        for version in spent:
            records.remove_commit(version)
    return Collected(deleted=deleted, uploads=stale, records=spent)


def _due(refs: Refs, now: datetime, grace: timedelta) -> list[str]:
    return sorted(version for version, since in refs.deleting.items() if now - since >= grace)


def _give_up(records: Records, version: str) -> bool:
    given_up = records.abort(version)
    if given_up:
        records.remove_data(version)
    return given_up
