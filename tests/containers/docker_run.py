"""Runs a compiled pipeline through `kfp.local.DockerRunner`, in a process of its own: it changes `print`."""

import json
import sys
from pathlib import Path
from typing import Any

from kfp import local
from kfp.components import load_component_from_file


def main(compiled: str, arguments: dict[str, Any], root: str, runner: dict[str, Any], outputs: str) -> None:
    local.init(runner=local.DockerRunner(**runner), pipeline_root=root)
    task = load_component_from_file(compiled)(**arguments)
    found = {name: getattr(value, "path", value) for name, value in task.outputs.items()}
    Path(outputs).write_text(json.dumps(found))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
