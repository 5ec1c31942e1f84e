"""The training loop: steps, validation, early stopping, checkpoints, and resuming."""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.logs import Display, MetricsLog
from labelgraph_jax.training.objectives import Batch, Params
from labelgraph_jax.training.parallel import CompiledStep
from labelgraph_jax.training.signals import Stop, StopRequestedError, stop_on_signals
from labelgraph_jax.training.step import Metrics, TrainState


class NonFiniteLossError(ValueError):
    """The loss or its gradient is no longer a number; the last checkpoint stands."""


class BatchIterator(Protocol):
    """Batches with a position: a Grain `DatasetIterator`, for one."""

    def __next__(self) -> Batch: ...
    def get_state(self) -> Any: ...
    def set_state(self, state: Any, /) -> None: ...


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
      step: steps done, over all restarts.
      best_step: step of the best validation; None before the first.
      best_metric: its value.
      history: one entry per validation: step, epoch, loss and the metrics.
      stopped_early: patience ran out.
      interrupted: a signal ended the run; the same call goes on from there.
      seconds: time spent training and evaluating, over all restarts.
      documents_per_second: documents trained on per second outside of evaluation,
        compilation included.
      state: the last state, as one logical copy.
      resumed_from: the step this call started at; 0 for a fresh run.
    """

    step: int
    best_step: int | None
    best_metric: float | None
    history: tuple[dict[str, Any], ...]
    stopped_early: bool
    interrupted: bool
    seconds: float
    documents_per_second: float
    state: TrainState
    resumed_from: int


@dataclass
class _Progress:
    """Where the loop is: plain JSON values, part of every checkpoint."""

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


def train_loop(
    state: TrainState,
    compiled: CompiledStep,
    batches: BatchIterator,
    *,
    total_steps: int,
    steps_per_epoch: int,
    evaluate_fn: Callable[[Params], dict[str, float]] | None = None,
    metric: str | None = None,
    patience: int | None = None,
    store: CheckpointStore | None = None,
    log: MetricsLog | None = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    log_every: int = 10,
    progress: bool = True,
) -> TrainResult:
    """Train to `total_steps`, from the newest checkpoint in `store` if there is one.

    Each epoch ends with a validation and a checkpoint. A run that was stopped anywhere,
    and goes on with the same arguments on the same devices, ends with the parameters
    of the uninterrupted run, bit for bit. SIGTERM and Ctrl-C save and return a result
    with `interrupted`. Losses are read one step late, so the devices never wait.

    Args:
      state: the first state, on the host or a device; left as it is.
      compiled: from `compile_train_step` or `compile_train_step_pmap`.
      batches: an iterator with `get_state` and `set_state`, at its beginning.
      total_steps: steps in all, those before a restart included.
      steps_per_epoch: how often to validate and checkpoint; the end counts as well.
      evaluate_fn: validation metrics of the parameters.
      metric: which of them picks the best checkpoint; higher is better.
      patience: stop after so many validations in a row without a better one.
      store: where checkpoints are; None trains without.
      log: where numbers are written, or None.
      config: a JSON object stored in every checkpoint.
      checkpoint_every: also save every so many steps within an epoch.
      log_every: steps per line in the log; each gives the mean loss since the last.
      progress: show a bar on a terminal, or a line per epoch elsewhere.

    Raises:
      NonFiniteLossError: the loss or the gradient is not finite; nothing of it is
        saved.
      ValueError: a number out of range, `metric` not among the metrics, or batches
        that end before `total_steps`.
    """
    _check_arguments(
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        log_every=log_every,
        checkpoint_every=1 if checkpoint_every is None else checkpoint_every,
        patience=1 if patience is None else patience,
    )
    if evaluate_fn is not None and metric is None:
        raise ValueError("evaluate_fn needs `metric`: the value that picks the best")
    loop = _Loop(compiled, batches, store, log, config, log_every, total_steps)
    loop.start(state)
    at = loop.at
    resumed_from = at.step
    stopped_early = interrupted = False
    with (
        stop_on_signals() as stop,
        Display(total_steps, at.step, enabled=progress) as loop.display,
    ):
        if resumed_from:
            loop.display.say(f"going on after step {resumed_from} of {total_steps}")
        while True:
            epoch_ends = at.step % steps_per_epoch == 0 or at.step == total_steps
            if epoch_ends and at.evaluated_step < at.step:
                try:
                    loop.finish_epoch(steps_per_epoch, evaluate_fn, metric, stop)
                except StopRequestedError:
                    interrupted = True
                    break
            stopped_early = patience is not None and at.epochs_without_gain >= patience
            if at.step >= total_steps or stopped_early:
                break
            if stop.requested:
                interrupted = True
                break
            loop.train_one_step()
            epoch_ends = at.step % steps_per_epoch == 0 or at.step == total_steps
            due = checkpoint_every is not None and at.step % checkpoint_every == 0
            if due and not epoch_ends:
                loop.save()
        if interrupted:
            loop.save()
            where = "saved" if store is not None else "not saved: there is no store"
            loop.display.say(
                f"stopped by a signal at step {at.step} of {total_steps} ({where}); "
                "run the same command again to go on"
            )
    loop.finish()
    return TrainResult(
        step=at.step,
        best_step=at.best_step,
        best_metric=at.best_metric,
        history=tuple(at.history),
        stopped_early=stopped_early,
        interrupted=interrupted,
        seconds=at.seconds,
        documents_per_second=at.documents / max(at.train_seconds, 1e-9),
        state=compiled.collect(loop.state),
        resumed_from=resumed_from,
    )


class _Loop:
    """The moving parts of one `train_loop` call."""

    def __init__(
        self,
        compiled: CompiledStep,
        batches: BatchIterator,
        store: CheckpointStore | None,
        log: MetricsLog | None,
        config: Mapping[str, Any] | None,
        log_every: int,
        total_steps: int,
    ) -> None:
        self.compiled, self.batches, self.store, self.log = (
            compiled,
            batches,
            store,
            log,
        )
        self.config, self.log_every, self.total_steps = config, log_every, total_steps
        self.at = _Progress()
        self.unread: deque[tuple[int, Metrics]] = deque()
        self.row: dict[str, float] = {}
        self.saved_step: int | None = None
        self.clock = time.perf_counter()
        self.display: Display

    def start(self, state: TrainState) -> None:
        """Place the state: the newest checkpoint's, or the one given."""
        if self.store is not None and self.store.steps():
            restored = self.store.restore_all(
                params=state.params, opt_state=state.opt_state
            )
            self.at = _Progress(**restored.progress)
            self.batches.set_state(restored.data_state)
            state = TrainState(
                jnp.asarray(restored.step, jnp.int32),
                restored.params,
                restored.opt_state,
            )
            self.saved_step = restored.step
        if self.log is not None:
            self.log.truncate(self.at.step)
        self.state = self.compiled.place_state(state)

    def train_one_step(self) -> None:
        """Send one batch to the devices and read the loss of the step before it."""
        try:
            batch = next(self.batches)
        except StopIteration:
            raise ValueError(
                f"the batches ended after step {self.at.step}; the run was to take "
                f"{self.total_steps}"
            ) from None
        placed = self.compiled.place_batch(batch)
        self.state, metrics = self.compiled(self.state, placed)
        self.at.step += 1
        self.unread.append((self.at.step, metrics))
        if len(self.unread) > 1:
            self.read_oldest()
        self.tick(training=True)

    def read_oldest(self) -> None:
        """Wait for a step's numbers, check them, and add them to the log."""
        step, metrics = self.unread.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self.check_finite(step, values)
        at, documents = self.at, values["examples"]
        at.documents += documents
        at.epoch_documents += documents
        at.epoch_loss += values["loss"] * documents
        at.window_documents += documents
        at.window_loss += values["loss"] * documents
        self.display.advance(step, values["loss"], documents)
        if step % self.log_every == 0 or step == self.total_steps:
            self.row = {
                **values,
                "loss": at.window_loss / max(at.window_documents, 1.0),
                "documents_per_second": at.window_documents
                / max(at.window_seconds, 1e-9),
            }
            at.window_loss = at.window_documents = at.window_seconds = 0.0
            if self.unread:  # else an epoch may end here: one line for both
                self.write_row(step)

    def check_finite(self, step: int, values: dict[str, float]) -> None:
        wrong = [
            name
            for name in ("loss", "gradient_norm")
            if not math.isfinite(values[name])
        ]
        if not wrong:
            return
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

    def write_row(self, step: int, more: dict[str, float] | None = None) -> None:
        row = self.row | (more or {})
        self.row = {}
        if self.log is not None and row:
            self.log.write(step, row)

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
        scores: dict[str, float] = {}
        if evaluate_fn is not None:
            with stop.during():
                scores = evaluate_fn(self.compiled.collect(self.state.params))
        self.tick(training=False)
        loss = at.epoch_loss / max(at.epoch_documents, 1.0)
        epoch = math.ceil(at.step / steps_per_epoch)
        value = _selected(scores, metric) if evaluate_fn is not None else None
        if value is not None and (at.best_metric is None or value > at.best_metric):
            at.best_step, at.best_metric, at.epochs_without_gain = at.step, value, 0
        elif value is not None:
            at.epochs_without_gain += 1
        at.evaluated_step = at.step
        at.epoch_loss = at.epoch_documents = 0.0
        at.history.append({"step": at.step, "epoch": epoch, "loss": loss, **scores})
        named = {f"validation/{name}": score for name, score in scores.items()}
        self.write_row(at.step, {"epoch": epoch, "epoch_loss": loss, **named})
        best = " (best)" if at.best_step == at.step else ""
        shown = f", {metric} {value:.4f}{best}" if value is not None else ""
        rate = at.documents / max(at.train_seconds, 1e-9)
        self.display.say(
            f"epoch {epoch}, step {at.step} of {self.total_steps}: loss {loss:.4f}"
            f"{shown}, {rate:,.0f} documents/s"
        )
        self.save(value)

    def save(self, value: float | None = None) -> None:
        """Save this step, unless it is saved or not finite."""
        self.read_all()
        self.write_row(self.at.step)
        if self.store is None or (value is None and self.saved_step == self.at.step):
            return
        collected = self.compiled.collect(self.state)
        if not bool(_all_finite(collected.params)):
            self.finish()
            raise NonFiniteLossError(
                f"a parameter is not finite after step {self.at.step}; checkpoints "
                f"kept: {self.store.steps()}"
            )
        if self.log is not None:
            self.log.flush()
        self.store.save(
            self.at.step,
            collected.params,
            collected.opt_state,
            self.batches.get_state(),
            self.config,
            metric=value,
            progress=dataclasses.asdict(self.at),
        )
        self.saved_step = self.at.step
        self.tick(training=True)

    def finish(self) -> None:
        """Wait for what is being written."""
        if self.store is not None:
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


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
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
    return float(scores[metric])


def _check_arguments(**counts: int) -> None:
    for name, value in counts.items():
        if value != int(value) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; got {value}")
