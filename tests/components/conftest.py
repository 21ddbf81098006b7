"""KFP's executor, as the launcher of a cluster starts it."""

from collections.abc import Iterator

import pytest
from kfp.dsl.types import artifact_types

from tests.support.launcher import Launcher


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact_types, "_MINIO_LOCAL_MOUNT_PREFIX", artifact_types._MINIO_LOCAL_MOUNT_PREFIX)
        yield Launcher(tmp_path_factory.mktemp("launcher"))
