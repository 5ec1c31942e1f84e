"""Several processes are one run: they agree, stop together, and move."""

import ast
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.training.checkpoint import CheckpointStore
from tests.training import row_model
from tests.training.conftest import (
    STEPS_PER_EPOCH,
    TOTAL_STEPS,
    compiled_step,
    optimizer,
    train,
)

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def start(workdir: Path, action: str, processes: int = 2) -> list[Any]:
    """Starts the workers; four devices each."""
    port = str(free_port())
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.training.worker", port),
                *(str(processes), str(process), str(workdir), action),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]


def run(workdir: Path, action: str) -> list[tuple[int, str, str]]:
    """Exit code, last words and standard error of each of two workers."""
    ends = []
    for process, worker in enumerate(start(workdir, action)):
        _, err = worker.communicate(timeout=240)
        told = workdir.with_name(f"{workdir.name}.{process}.txt")
        words = told.read_text() if told.exists() else ""
        ends.append((worker.returncode, words, err))
    return ends


def params_in(workdir: Path) -> Any:
    return CheckpointStore(workdir / "checkpoints").restore_params("last")


def assert_close(left: Any, right: Any) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        left,
        right,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of two processes with four devices each."""
    workdir = tmp_path_factory.mktemp("together")
    for code, out, err in run(workdir, "jit"):
        assert code == 0, err
        assert out.startswith(f"ended False {TOTAL_STEPS}")
    return workdir


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_two_processes_learn_what_one_device_and_eight_learn(
    together: Path, tmp_path: Path, parallel: str
) -> None:
    eight = train(tmp_path / "eight", compiled=compiled_step(8, parallel))
    one = train(tmp_path / "one")
    found = params_in(together)
    assert_close(found, one.state.params)
    assert_close(found, jax.device_get(eight.state.params))


def test_every_process_reports_the_same_losses(together: Path, tmp_path: Path) -> None:
    work = tmp_path / "run"
    ends = run(work, "pmap")
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2]
    losses = [ast.literal_eval(re.findall(r"\[.*\]", out)[0]) for _, out, _ in ends]
    assert losses[0] == losses[1]
    whole = train(tmp_path / "one")
    expected = [entry["loss"] for entry in whole.history]
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5)
    assert_close(params_in(work), params_in(together))


@pytest.mark.parametrize("action", ["rows", "rows pmap"])
def test_two_processes_move_the_rows_that_one_device_moves(
    tmp_path: Path, action: str
) -> None:
    ends = run(tmp_path / "two", action)
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2]
    one = train(tmp_path / "one", **row_model.settings())
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        params_in(tmp_path / "two"),
        jax.device_get(one.state.params),
    )


def test_only_the_first_process_writes_the_log(together: Path) -> None:
    steps = re.findall(r'"step": (\d+)', (together / "metrics.jsonl").read_text())
    assert steps == ["2", "4", "5", "6", "8", "10", "12", "13"]


def test_a_notice_to_one_process_stops_all_of_them_at_the_same_step(
    together: Path, tmp_path: Path
) -> None:
    ends = run(tmp_path, "terminate")
    assert [code for code, _, _ in ends] == [0, 0], ends[1][2]
    stopped = {out.split(" [")[0] for _, out, _ in ends}
    (line,) = stopped
    step = int(line.removeprefix("ended True "))
    assert 7 <= step < TOTAL_STEPS
    assert CheckpointStore(tmp_path / "checkpoints").steps()[-1] == step
    # One process with one device goes on, and two processes with eight do.
    moved = train(tmp_path)
    assert moved.resumed_from == step
    assert_close(params_in(tmp_path), params_in(together))


def test_a_run_of_one_device_goes_on_in_two_processes(
    together: Path, tmp_path: Path
) -> None:
    from tests.training.conftest import Batches

    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(tmp_path, Batches(raise_at=8))
    assert CheckpointStore(tmp_path / "checkpoints").steps() == [STEPS_PER_EPOCH]
    ends = run(tmp_path, "jit")
    assert [code for code, _, _ in ends] == [0, 0], ends[0][2]
    assert_close(params_in(tmp_path), params_in(together))


def test_a_process_that_dies_takes_the_others_along_in_time(tmp_path: Path) -> None:
    began = time.time()
    (survivor, died) = run(tmp_path, "kill")
    assert died[0] == -9
    killed = float(died[1].split()[-1])
    # Gloo notices at once, the heartbeat of 10 s at last; both end with an error.
    assert survivor[0] not in (0, 2), survivor
    if survivor[1].startswith("died"):
        assert float(survivor[1].split()[1].rstrip(":")) - killed < 30
    assert time.time() - began < 120
    assert CheckpointStore(tmp_path / "checkpoints").steps() == [STEPS_PER_EPOCH]


@pytest.mark.parametrize(
    ("action", "messages"),
    [
        ("differ", ["the settings of process 1 differs from process 0's"] * 2),
        ("fail", ["process 1 failed: invalid literal", "invalid literal"]),
    ],
)
def test_what_is_wrong_in_one_process_is_an_error_in_all(
    tmp_path: Path, action: str, messages: list[str]
) -> None:
    ends = run(tmp_path, action)
    assert [code for code, _, _ in ends] == [2, 2], ends
    for (_, out, _), message in zip(ends, messages, strict=True):
        assert message in out
    assert not (tmp_path / "checkpoints").exists()


def test_a_checkpoint_of_two_processes_is_read_by_one_cpu(together: Path) -> None:
    with CheckpointStore(together / "checkpoints") as store:
        best = store.restore_params("best")
        state = compiled_step().place_state
        assert state is not None
        assert set(best) == {"head"}
        restored = store.restore_all(
            params=params_in(together),
            opt_state=optimizer().init(params_in(together)),
        )
    assert restored.step == TOTAL_STEPS
    assert restored.data_state == {"position": TOTAL_STEPS}
