"""`labelgraph train` in two processes: one run, one work directory, one result."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import DataConfig, to_dict
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.training.checkpoint import CheckpointStore
from tests.tiny import tiny_config
from tests.xla import flags

pytestmark = [pytest.mark.process, pytest.mark.slow]


def train_in_two(workdirs: list[Path], options: list[list[str]]) -> list[Any]:
    """Starts both processes, four CPU devices each, and waits for them."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    processes = []
    for process, (workdir, own) in enumerate(zip(workdirs, options, strict=True)):
        environment = os.environ | {
            "LABELGRAPH_COORDINATOR": f"localhost:{port}",
            "LABELGRAPH_PROCESSES": "2",
            "LABELGRAPH_PROCESS_ID": str(process),
            "LABELGRAPH_COMPILATION_CACHE": "0",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flags(4),
        }
        command = [sys.executable, "-m", "labelgraph_jax", "train", *own]
        processes.append(
            subprocess.Popen(
                [*command, "--workdir", str(workdir), "--timeout", "60"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return [(*p.communicate(timeout=240), p.returncode) for p in processes]


@pytest.fixture
def settings(tiny_data: DataConfig, tmp_path: Path) -> Path:
    """A configuration with dropout of every kind, as a file."""
    config = tiny_config(
        tiny_data,
        text={"dropout": 0.2, "token_dropout": 0.1, "dim": 8, "ngrams": False},
        graph={"dropout": 0.2},
        training={"epochs": 3, "batch_size": 16},
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(dataclasses.replace(config))))
    return path


def test_two_processes_leave_the_work_directory_of_one(
    settings: Path, tmp_path: Path
) -> None:
    from labelgraph_jax.config import read_config

    shared = tmp_path / "two"
    options = ["--config", str(settings), "--checkpoint-every", "2"]
    (out, err, code), (other_out, other_err, other) = train_in_two(
        [shared, shared], [options, options]
    )
    assert (code, other) == (0, 0), err + other_err
    assert "micro" in out
    assert "micro" not in other_out
    assert "epoch 3" in err
    assert "epoch" not in other_err
    results = fit(read_config(settings), tmp_path / "one", progress=False)
    found = json.loads((shared / "results.json").read_text())
    assert found["training"]["steps"] == results["training"]["steps"]
    assert len(found["devices"]) == 8
    for name, value in results["test"]["metrics_at_half"].items():
        again = found["test"]["metrics_at_half"][name]
        assert again == pytest.approx(value, abs=1e-6), name
    trees = [
        CheckpointStore(place / "checkpoints").restore_params("last")
        for place in (shared, tmp_path / "one")
    ]
    table = [tree["text_encoder"]["embedding"]["embedding"] for tree in trees]
    np.testing.assert_allclose(*table, rtol=1e-4, atol=1e-5)


def test_processes_with_other_settings_or_folders_end_with_the_reason(
    settings: Path, tmp_path: Path
) -> None:
    options = ["--config", str(settings)]
    ends = train_in_two(
        [tmp_path / "a", tmp_path / "a"], [options, [*options, "--training.seed", "4"]]
    )
    for _, err, code in ends:
        assert code == 2
        assert "the configuration of process 1 differs from process 0's" in err
    assert not (tmp_path / "a").exists()
    ends = train_in_two([tmp_path / "b", tmp_path / "c"], [options, options])
    for _, err, code in ends:
        assert code == 2
        assert "c: is not the folder that process 0 sees under this name" in err
