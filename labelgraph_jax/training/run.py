"""The moving parts of a training run: one step, one validation, one save."""

import dataclasses
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.functional.trees import Batch, Params, Tree
from labelgraph_jax.training.averaging import begun_at
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.checkpoint_files import (
    CheckpointMismatchError,
    Restored,
    flat_tree,
)
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.progress import Display, clock
from labelgraph_jax.training.signals import Stop
from labelgraph_jax.training.step import Metrics, TrainState
from labelgraph_jax.training.throughput import ProfileSteps, StepClock


class NonFiniteLossError(ValueError):
    """The loss or its gradient is no longer a number; the last checkpoint stands."""


class BatchIterator(Protocol):
    """Batches with a position: a Grain `DatasetIterator`, for one."""

    def __next__(self) -> Batch: ...

    def get_state(self) -> object:
        """Return the position, as a checkpoint keeps it."""

    def set_state(self, state: object, /) -> None:
        """Go on from a position of `get_state`."""


@dataclass
class Progress:
    """Progress of the loop: plain JSON values, part of every checkpoint.

    `row` is the line of the log that is still open: a validation may add to it.
    """

    step: int = 0
    evaluated_step: int = 0
    best_step: int | None = None
    best_metric: float | None = None
    epochs_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    epoch_loss: float = 0.0
    epoch_documents: float = 0.0
    window_loss: float = 0.0
    window_documents: float = 0.0
    window_seconds: float = 0.0
    seconds: float = 0.0
    train_seconds: float = 0.0
    documents: float = 0.0
    row: dict[str, Any] = field(default_factory=dict)

    def note(self, value: float) -> None:
        """Take a validation value: the best so far, or one more without a gain."""
        # A value that is not a number is no gain, nor a bar for later ones.
        if value > (-math.inf if self.best_metric is None else self.best_metric):
            self.best_step, self.best_metric = self.step, value
            self.epochs_without_gain = 0
        else:
            self.epochs_without_gain += 1


class Run:
    """Actions of a `train_loop` call between two of its decisions."""

    def __init__(
        self,
        compiled: CompiledStep,
        batches: BatchIterator,
        store: CheckpointStore | None,
        log: MetricsLog | None,
        config: Mapping[str, object] | None,
        log_every: int,
        total_steps: int,
        profile: ProfileSteps | None = None,
    ) -> None:
        self.compiled, self.batches = compiled, batches
        self.store, self.log = store, log
        self.config, self.log_every, self.total_steps = config, log_every, total_steps
        self.at = Progress()
        self.unread: deque[tuple[int, Metrics]] = deque()
        self.saved_step: int | None = None
        self.clock = time.perf_counter()
        self.steps_clock = StepClock()
        self.last_step_end: float | None = None
        self.profile, self.profiling = profile, False
        self.fresh_optimizer = False
        self.display: Display

    def start(self, state: TrainState) -> None:
        """Place the state: the newest checkpoint's, or the one given."""
        if self.store is not None and self.store.written():
            # On the host: `place_state` knows where each array goes.
            fresh = state.opt_state
            restored = self._restore(state)
            known = {field.name for field in dataclasses.fields(Progress)}
            kept = {k: v for k, v in restored.progress.items() if k in known}
            self.at = Progress(**(kept | {"step": restored.step}))
            opt_state, self.saved_step = restored.opt_state, restored.step
            if restored.data_state is not None:
                self.batches.set_state(restored.data_state)
            if opt_state is None:
                # Parameters alone: the averages of the optimizer begin anew.
                self.batches.set_state({"next_index": restored.step})
                fresh = begun_at(fresh, restored.params, restored.step)
                opt_state = self.compiled.anew(fresh, restored.step)
                self.saved_step = None
                self.fresh_optimizer = True
            step = jnp.asarray(restored.step, jnp.int32)
            state = TrainState(step, restored.params, opt_state)
        if self.log is not None:
            self.log.truncate(self.at.row.get("step", self.at.step + 1) - 1)
        self.state: Any = self.compiled.place_state(state)

    def _restore(self, state: TrainState) -> Restored:
        """The newest checkpoint, also one whose optimizer's state has another form."""
        assert self.store is not None
        params, earlier = _shapes(state.params), self.compiled.earlier
        try:
            return self.store.restore_all(
                params=params, opt_state=_shapes(state.opt_state), alone=True
            )
        except CheckpointMismatchError:
            if earlier is None:
                raise
        template, convert = earlier
        restored = self.store.restore_all(
            params=params, opt_state=_shapes(template(state)), alone=True
        )
        opt_state = convert(
            flat_tree(restored.opt_state), state.opt_state, restored.step
        )
        return dataclasses.replace(restored, opt_state=opt_state)

    def train_one_step(self) -> None:
        """Send one batch to the devices and read the loss of the step before it."""
        self.trace_if_asked()
        asked = time.perf_counter()
        try:
            batch = next(self.batches)
        except StopIteration:
            raise ValueError(
                f"the batches ended after step {self.at.step}; the run was to take "
                f"{self.total_steps}"
            ) from None
        placed = self.compiled.place_batch(batch)
        waited = time.perf_counter() - asked
        idle = all(_is_ready(metrics) for _, metrics in self.unread)
        known = self.compiled.knows(placed)
        self.state, metrics = self.compiled(self.state, placed)
        self.at.step += 1
        self.unread.append((self.at.step, metrics))
        if len(self.unread) > 1:
            self.read_oldest()
        now = time.perf_counter()
        if self.last_step_end is None:
            self.read_all()  # the first step of this process: compiled, and done
            self.display.say(f"first step done {_process_age():.1f} s after the start")
            now = time.perf_counter()
        elif not known:
            self.steps_clock.compiling_seconds += now - self.last_step_end
        else:
            flops = self.compiled.flops(placed)
            self.steps_clock.step(now - self.last_step_end, waited, idle, flops)
        self.last_step_end = now
        self.tick(training=True)

    def trace_if_asked(self) -> None:
        """Start the profiler before its first step, and end it after its last."""
        if self.profile is None or self.log is None:
            return
        if self.profiling and self.at.step >= self.profile.last:
            self.stop_trace()
        elif not self.profiling and self.at.step + 1 == self.profile.first:
            self.read_all()
            jax.profiler.start_trace(str(self.log.workdir / "profile"))
            self.profiling = True

    def stop_trace(self, *, broken_off: bool = False) -> None:
        """Write the trace, with every step that was sent, unless the run broke off."""
        if self.profiling and self.log is not None:
            if not broken_off:
                self.read_all()
            jax.profiler.stop_trace()
            self.profiling, self.profile = False, None
            self.display.say(f"a trace is in {self.log.workdir / 'profile'}")

    def read_oldest(self) -> None:
        """Wait for a step's numbers, check them, and add them to the log."""
        step, metrics = self.unread.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self.check_finite(step, values)
        self.write_row()
        at, documents = self.at, values["examples"]
        at.documents += documents
        at.epoch_documents += documents
        at.epoch_loss += values["loss"] * documents
        at.window_documents += documents
        at.window_loss += values["loss"] * documents
        self.display.advance(step, values["loss"], documents)
        if step % self.log_every == 0 or step == self.total_steps:
            at.row = {
                "step": step,
                **values,
                "loss": at.window_loss / max(at.window_documents, 1.0),
                "documents_per_second": at.window_documents
                / max(at.window_seconds, 1e-9),
                **self.steps_clock.summary(),
            }
            self.steps_clock = StepClock()
            at.window_loss = at.window_documents = at.window_seconds = 0.0

    def check_finite(self, step: int, values: dict[str, float]) -> None:
        """Raise `NonFiniteLossError` where the loss or the gradient is not finite."""
        wrong = [
            name
            for name in ("loss", "gradient_norm")
            if not math.isfinite(values[name])
        ]
        if not wrong:
            return
        self.unread.clear()  # later steps went on from this one
        self.finish()
        kept = self.store.steps() if self.store is not None else []
        raise NonFiniteLossError(
            f"{' and '.join(wrong)} not finite at step {step} "
            f"({', '.join(f'{name} {values[name]}' for name in wrong)}); "
            + (
                f"the checkpoint of step {kept[-1]} is kept"
                if kept
                else "no checkpoint was saved before it"
            )
            + "; a lower learning rate or clip norm may help"
        )

    def read_all(self) -> None:
        """Read every step's numbers that are still on the devices."""
        while self.unread:
            self.read_oldest()
        self.tick(training=True)

    def write_row(self) -> None:
        """Close the open line of the log, if there is one."""
        row, self.at.row = self.at.row, {}
        if self.log is not None and row:
            self.log.write(row.pop("step"), row)

    def finish_epoch(
        self,
        steps_per_epoch: int,
        evaluate_fn: Callable[[Params], dict[str, float]] | None,
        metric: str | None,
        stop: Stop,
    ) -> None:
        """Validate, note the best, write the epoch down and save."""
        self.read_all()
        at = self.at
        # Validate, with all parameters brought up to date.
        scores: dict[str, float] = {}
        if evaluate_fn is not None:
            self.state = self.compiled.settle(self.state)
            whole = self.compiled.whole(self.state)
            with stop.during():
                scores = evaluate_fn(self.compiled.collect(whole.params))
            del whole
        scores = {name: float(score) for name, score in scores.items()}
        self.tick(training=False)
        loss = at.epoch_loss / max(at.epoch_documents, 1.0)
        epoch = math.ceil(at.step / steps_per_epoch)
        value = _selected(scores, metric) if evaluate_fn is not None else None
        # Note the epoch: the best step, the history, the log and the terminal.
        if value is not None:
            at.note(value)
        at.evaluated_step = at.step
        at.epoch_loss = at.epoch_documents = 0.0
        at.history.append({**scores, "step": at.step, "epoch": epoch, "loss": loss})
        named = {f"validation/{name}": score for name, score in scores.items()}
        at.row |= {"step": at.step, "epoch": epoch, "epoch_loss": loss, **named}
        self.write_row()
        best = " (best)" if at.best_step == at.step else ""
        shown = f", {metric} {value:.4f}{best}" if value is not None else ""
        rate = at.documents / max(at.train_seconds, 1e-9)
        left = at.train_seconds * (self.total_steps - at.step) / max(at.step, 1)
        self.display.say(
            f"epoch {epoch}, step {at.step} of {self.total_steps}: loss {loss:.4f}"
            f"{shown}, {rate:,.0f} documents/s"
            + (f", at most {clock(left)} left" if at.step < self.total_steps else "")
        )
        self.save(value, if_due=True)
        self.last_step_end = time.perf_counter()

    def save(self, value: float | None = None, *, if_due: bool = False) -> None:
        """Save this step, unless it is saved, not yet due or not finite."""
        self.read_all()
        if self.store is None or (value is None and self.saved_step == self.at.step):
            return
        collected = self.compiled.collect(self.compiled.whole(self.state))
        if not bool(_all_finite(collected.params)):
            self.finish()
            raise NonFiniteLossError(
                f"a parameter is not finite after step {self.at.step}; checkpoints "
                f"kept: {self.store.steps()}"
            )
        if self.log is not None:
            self.log.flush()
        if self.store.save(
            self.at.step,
            collected.params,
            collected.opt_state,
            self.batches.get_state(),
            self.config,
            metric=value,
            progress=dataclasses.asdict(self.at),
            if_due=if_due,
        ):
            self.saved_step = self.at.step
        if self.last_step_end is not None:
            self.last_step_end = time.perf_counter()
        self.tick(training=True)

    def finish(self) -> None:
        """Close the log's last line and wait for what is being written."""
        self.stop_trace()
        self.write_row()
        if self.store is not None:
            self.store.flush()
            self.store.wait()
        if self.log is not None:
            self.log.flush()
        self.tick(training=True)

    def tick(self, *, training: bool) -> None:
        """Add the time since the last tick to the run's clocks."""
        now = time.perf_counter()
        elapsed, self.clock = now - self.clock, now
        self.at.seconds += elapsed
        if training:
            self.at.train_seconds += elapsed
            self.at.window_seconds += elapsed


def _shapes(tree: Tree) -> Tree:
    """The tree's shapes, to be restored to the host."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)


def _is_ready(tree: Metrics) -> bool:
    return all(leaf.is_ready() for leaf in jax.tree.leaves(tree))


def _process_age() -> float:
    """Seconds since this process was started."""
    try:
        with Path("/proc/self/stat").open("rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf(
            "SC_CLK_TCK"
        )
    except (OSError, AttributeError, ValueError, IndexError):
        return time.perf_counter() - _IMPORTED


_IMPORTED = time.perf_counter()


@jax.jit
def _all_finite(tree: Params) -> jax.Array:
    leaves = [
        jnp.all(jnp.isfinite(leaf))
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.bool_(True)


def _selected(scores: dict[str, float], metric: str | None) -> float:
    if metric not in scores:
        raise ValueError(
            f"metric {metric!r} is not among the validation metrics: {sorted(scores)}"
        )
    return scores[metric]
