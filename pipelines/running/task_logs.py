"""Logs of tasks: the lines worth showing, and the copy that Kubeflow Pipelines keeps in the store.

KFP's launcher copies each attempt's log to the artifact ``executor-logs-ATTEMPT`` beside the task's outputs,
of a component that fails too, unless its administrator sets PUBLISH_LOGS=false.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from kubecast.errors import NotFound
from kubecast.masking import masked

SHOWN = 50  # lines
_BYTES = 65536  # of a log's end
_LONGEST = 2000  # characters of a line
_LONGEST_REASON = 400  # characters
_LONGEST_ITEM = 100  # characters
# Of KFP's driver and launcher (klog), of its executor, and of Argo's (logrus, or its last words).
_OTHERS = re.compile(
    r"[IWEF]\d{4} \d\d:\d\d:\d\d|\[KFP Executor [^]]* INFO\]"
    r'|time="?\d{4}-\d\d-|Error: exit status \d+'
)
# What a task is given, as those write it: JSON over many lines, whose begin may be cut off.
_JSON = re.compile(
    r"^(?:[IWEF]\d{4} [^\n]*\{\n|\[KFP Executor [^\n]*:\n\{\n|\A(?= ))(?: [^\n]*\n)*\}$", re.MULTILINE
)
_ERROR = re.compile(
    r"(?!Error: exit status \d)(?:ERROR )?((?:\w+\.)*[A-Z]\w*(?<!Warning): \S.*)"
    r"|F\d{4} [^]]*\] (?:KFP driver: driver\.\w+\(.*?\) failed: )?(\S.*)"
)


def logs_uri(command: Sequence[str]) -> str:
    """The URI of an executor's log, by the words of its launcher, without the attempt; empty if not known."""
    try:
        artifacts = _executor_input(command)["outputs"]["artifacts"]
        return str(artifacts["executor-logs"]["artifacts"][0]["uri"])
    except (ValueError, LookupError, TypeError):
        return ""


def input_of(command: Sequence[str], key: str) -> str:
    """One of a task's inputs as ``KEY VALUE``, by the words of its launcher; empty if not known.

    Of a URL or path the last part is shown, which is what iterations of a loop differ in.
    """
    try:
        value = str(_executor_input(command)["inputs"]["parameterValues"][key])
    except (ValueError, LookupError, TypeError):
        return ""
    return masked(f"{key} {value.rstrip('/').rpartition('/')[2]}")[:_LONGEST_ITEM]


def _executor_input(command: Sequence[str]) -> Any:
    return json.loads(command[list(command).index("--executor_input") + 1])


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a task's log that its own container wrote, secrets masked.

    kubecast's JSON lines become ``LEVEL message``. Those of Kubeflow Pipelines and Argo are left out, unless
    there are no others.
    """
    lines = [line.rstrip() for line in _JSON.sub("", text).splitlines() if line.strip()]
    own = [line for line in lines if not _OTHERS.match(line)]
    return tuple(masked(_plain(line))[:_LONGEST] for line in (own or lines)[-SHOWN:])


def headline(lines: Sequence[str]) -> str:
    """The line that names the error, the last one; empty if there is none."""
    errors = (match[1] or match[2] for line in reversed(lines) if (match := _ERROR.match(line)))
    return next(errors, "")[:_LONGEST_REASON]


def read_kept(uri: str, attempt: int) -> str:
    """The end of a log in the store, with the keys of the environment; empty where there is none.

    Args:
        uri: As ``logs_uri`` returns it.
        attempt: Which one; servers before KFP 2.17 add none.

    Raises:
        KubecastError: The store cannot be reached, or not with these keys.
    """
    from kubecast.storage.bucket import Bucket, Deadlines

    folder, _, name = uri.rpartition("/")
    soon = timedelta(seconds=5)
    bucket = Bucket(folder, Deadlines(timedelta(seconds=2), soon, soon, max_retries=0))
    for file in (f"{name}-{attempt}", name):
        with suppress(NotFound):
            return bucket.request_once(file, partial(_end, bucket.client, file))
    return ""


def _end(client: Any, file: str) -> str:
    import obstore

    size = obstore.head(client, file)["size"]
    if not size:  # of which there is no range to get
        return ""
    end = obstore.get_range(client, file, start=max(0, size - _BYTES), end=size)
    return bytes(end).decode(errors="replace")


def _plain(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        written = json.loads(line)
        return f"{written['level']} {written['message']}"
    except (ValueError, LookupError, TypeError):
        return line
