"""The tests that need eight devices run in a process that has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.process
@pytest.mark.slow
def test_all_tests_of_eight_devices_pass(tmp_path: Path) -> None:
    # Neither a worker's settings nor the caller's options: all of them, in one process.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "XLA_FLAGS"))
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={tmp_path / 'devices'}", "tests/devices"),
        ],
        env=environment | {"LABELGRAPH_TEST_DEVICES": "8"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and " skipped" not in done.stdout, done.stdout
