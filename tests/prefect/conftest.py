"""One Prefect server and one worker for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect.serving import Prefect

MODEL_KEY = "sk-MARKED-model-7f3a91c2"
TRAINING_KEY = "hf-MARKED-training-5d20e8b4"


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server with its worker. The worker's environment holds one key; the other is in a Secret block."""
    with Prefect(tmp_path_factory.mktemp("prefect"), {"TRAINING_KEY": TRAINING_KEY}).serving() as prefect:
        code = "import sys; from prefect.blocks.system import Secret; Secret(value=sys.argv[1]).save('model-key')"
        prefect.python(code, MODEL_KEY)
        with prefect.working():
            yield prefect


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pools."""
    return tmp_path_factory.mktemp("pools")
