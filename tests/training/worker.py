"""One process of several that train the linear model together.

python -m tests.training.worker PORT PROCESSES PROCESS_ID WORKDIR ACTION [DEVICES]
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.xla import flags

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = flags(int(sys.argv[6]) if len(sys.argv) > 6 else 4)

import jax
import numpy as np

from labelgraph_jax.data.batches.touched import TABLE_ROWS
from labelgraph_jax.training import hosts
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_rows import (
    compile_row_step,
    compile_row_step_pmap,
)
from labelgraph_jax.training.compiled_step import (
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import train_loop
from labelgraph_jax.training.parallel import make_mesh, process_rows
from labelgraph_jax.training.step import init_train_state
from tests.training import conftest as linear
from tests.training import row_model

GLOBAL_ROWS = 16


class OwnRows(linear.Batches):
    """This process's rows of every batch, and trouble at one of them."""

    def __init__(self, trouble: Any = None) -> None:
        super().__init__(GLOBAL_ROWS)
        self.trouble = trouble

    def __next__(self) -> dict[str, np.ndarray]:
        if self.trouble is not None:
            self.trouble(self.position)
        batch = super().__next__()
        rows = process_rows(GLOBAL_ROWS, make_mesh())
        first = jax.process_index() * rows
        return {name: value[first : first + rows] for name, value in batch.items()}


def tell(line: str) -> None:
    """To a file beside the work directory: Gloo writes to standard output."""
    workdir = Path(sys.argv[4])
    workdir.with_name(f"{workdir.name}.{sys.argv[3]}.txt").write_text(line)


def trouble(action: str) -> Any:
    """What goes wrong in process 1."""
    if jax.process_index() != 1:
        return None

    def act(position: int) -> None:
        if action == "terminate" and position > 7:
            time.sleep(0.5)  # the notice goes round while steps go on
        if position == 7 and action == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        if position == 7 and action == "kill":
            time.sleep(2)  # the save of the epoch before is whole
            tell(f"killed {time.time()}")
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def main() -> None:
    port, processes, process, workdir, action = sys.argv[1:6]
    hosts.HEARTBEAT_SECONDS = 10
    if int(processes) > 1:
        address = f"localhost:{port}"
        hosts.initialise(hosts.Hosts(address, int(processes), int(process), 60))
    try:
        if action == "differ":
            hosts.require_same({"the code": "same", "the settings": process})
        if action == "fail":
            hosts.together(lambda: int("x") if process == "1" else 0)
        result = train(Path(workdir), action)
    except ValueError as error:
        tell(f"error: {error}")
        hosts.leave(2)
        raise
    except RuntimeError as error:
        tell(f"died {time.time()}: {type(error).__name__}")
        hosts.leave(3)
        raise
    losses = [entry["loss"] for entry in result.history]
    tell(f"ended {result.interrupted} {result.step} {losses}")


def train_rows(workdir: Path, action: str) -> Any:
    """The bag over a table, of which every process reads the rows of all."""

    class OwnPart(row_model.RowBatches):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            table_rows = batch.pop(TABLE_ROWS)
            rows = process_rows(GLOBAL_ROWS, make_mesh())
            own = slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
            return {name: x[own] for name, x in batch.items()} | {
                TABLE_ROWS: table_rows
            }

    parallel = "pmap" if action.endswith("pmap") else "jit"
    compiled = (
        compile_row_step_pmap(row_model.row_step())
        if parallel == "pmap"
        else compile_row_step(row_model.row_step(), make_mesh())
    )
    with CheckpointStore(workdir / "checkpoints", metric="accuracy") as store:
        return train_loop(
            row_model.row_step().init(row_model.initial_params()),
            compiled,
            OwnPart(),
            total_steps=linear.TOTAL_STEPS,
            steps_per_epoch=linear.STEPS_PER_EPOCH,
            evaluate_fn=lambda params: row_model.mean_logit(jax.device_get(params)),
            metric="accuracy",
            store=store,
            progress=False,
        )


def train(workdir: Path, action: str) -> Any:
    if action.startswith("rows"):
        return train_rows(workdir, action)
    step = linear.train_step()
    mesh = make_mesh()
    compiled = (
        compile_train_step_pmap(step)
        if action == "pmap"
        else compile_train_step(step, mesh)
    )
    log = MetricsLog(workdir, tensorboard=False) if hosts.is_first() else None
    with CheckpointStore(workdir / "checkpoints", metric="accuracy") as store:
        return train_loop(
            init_train_state(linear.initial_params(), linear.optimizer()),
            compiled,
            OwnRows(trouble(action)),
            total_steps=linear.TOTAL_STEPS,
            steps_per_epoch=linear.STEPS_PER_EPOCH,
            evaluate_fn=linear.accuracy,
            metric="accuracy",
            store=store,
            log=log,
            progress=False,
            log_every=2,
        )


if __name__ == "__main__":
    main()
