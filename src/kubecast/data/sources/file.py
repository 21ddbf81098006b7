"""One file of comma-separated text or Parquet, plain or gzip's."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubecast.data.sources.base import Part, Request
from kubecast.data.sources.content import read_content
from kubecast.data.sources.location import read_file
from kubecast.data.sources.spool import spooled
from kubecast.errors import DataError


@dataclass
class File:
    """One file; its digest is the SHA-256 of its bytes."""

    request: Request
    ordered = True
    _digest: str = field(default="", init=False)

    def digest(self) -> str:
        """The SHA-256 of the bytes, which are not held in memory."""
        if not self._digest:
            digest = hashlib.sha256()
            for chunk in self._chunks():
                digest.update(chunk)
            self._digest = digest.hexdigest()
        return self._digest

    def parts(self) -> Iterator[Part]:
        """The rows: of text all at once."""
        where = self.request.location
        with spooled(self._chunks()) as (path, self._digest):
            self.request.check_digest(self._digest)
            for part in read_content(path, where, self.request):
                if not part.table.num_rows:
                    found = "a header and no rows" if part.unit == "line" else "no rows"
                    raise DataError(f"{where}: {found}; allowed: at least one row")
                yield part

    def _chunks(self) -> Iterator[bytes]:
        return read_file(self.request.location, self.request.check_size)
