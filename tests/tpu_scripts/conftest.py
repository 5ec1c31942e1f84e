from pathlib import Path

import pytest

from tests.tpu_scripts.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
