"""The training loop: steps, validation, early stopping, checkpoints, and resuming."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.objectives import Params
from labelgraph_jax.training.progress import Display
from labelgraph_jax.training.run import BatchIterator, NonFiniteLossError, Run
from labelgraph_jax.training.signals import Stop, StopRequestedError, stop_on_signals
from labelgraph_jax.training.step import TrainState
from labelgraph_jax.training.throughput import ProfileSteps

__all__ = ["BatchIterator", "NonFiniteLossError", "TrainResult", "train_loop"]


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

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
    config: Mapping[str, object] | None = None,
    checkpoint_every: int | None = None,
    log_every: int = 10,
    progress: bool = True,
    stop: Stop | None = None,
    profile: ProfileSteps | None = None,
) -> TrainResult:
    """Train to `total_steps`, from the newest checkpoint in `store` if there is one.

    Each epoch ends with a validation and, where it is due, a checkpoint. A run that was
    stopped anywhere, and goes on with the same arguments on the same devices, ends with
    the parameters of the uninterrupted run, bit for bit. SIGTERM and Ctrl-C save and
    return a result with `interrupted`. Losses are read one step late, so the devices
    never wait.

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
        stop: from `stop_on_signals`, where more than training handles signals.
        profile: steps to trace, into `profile/` beside the log.

    With several processes each calls this with its own rows of the same batches; one of
    them has a `log`.

    Raises:
        NonFiniteLossError: the loss or the gradient is not finite; nothing of it is
            saved.
        ValueError: a number out of range, `metric` not among the metrics, or batches
            that end before `total_steps`.
    """
    # Refuse arguments that contradict each other.
    _check_arguments(
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        log_every=log_every,
        checkpoint_every=1 if checkpoint_every is None else checkpoint_every,
        patience=1 if patience is None else patience,
    )
    if evaluate_fn is not None and metric is None:
        raise ValueError("evaluate_fn needs `metric`: the value that picks the best")
    run = Run(compiled, batches, store, log, config, log_every, total_steps, profile)
    if profile is not None and profile.first > total_steps:
        raise ValueError(
            f"the steps to trace, {profile.first} to {profile.last}, lie after the "
            f"run's last step, {total_steps}"
        )
    # Begin, or go on from the newest checkpoint.
    run.start(state)
    del state  # placed as a copy; the first one may leave the devices
    at = run.at
    resumed_from = at.step
    stopped_early = interrupted = False
    # Signals, display and trace are released however the loop ends.
    with (
        nullcontext(stop) if stop is not None else stop_on_signals() as stop,
        Display(total_steps, at.step, enabled=progress) as run.display,
        ExitStack() as stack,
    ):
        if resumed_from:
            anew = "; the optimizer's averages begin anew" * run.fresh_optimizer
            run.display.say(
                f"going on after step {resumed_from} of {total_steps}{anew}"
            )
            if profile is not None and profile.first <= resumed_from:
                run.display.say(f"no trace: step {profile.first} is already done")
        stack.callback(run.stop_trace, broken_off=True)
        # Validate at an epoch's end, stop when asked to, take a step, save when due.
        while True:
            epoch_ends = at.step % steps_per_epoch == 0 or at.step == total_steps
            if epoch_ends and at.evaluated_step < at.step:
                try:
                    run.finish_epoch(steps_per_epoch, evaluate_fn, metric, stop)
                except StopRequestedError:
                    interrupted = True
                    break
            stopped_early = patience is not None and at.epochs_without_gain >= patience
            if at.step >= total_steps or stopped_early:
                break
            if stop.poll():
                interrupted = True
                break
            run.train_one_step()
            epoch_ends = at.step % steps_per_epoch == 0 or at.step == total_steps
            due = checkpoint_every is not None and at.step % checkpoint_every == 0
            if due and not epoch_ends:
                run.save()
        # Save the last state.
        run.save()
        run.stop_trace()
    run.finish()
    return TrainResult(
        step=at.step,
        best_step=at.best_step,
        best_metric=at.best_metric,
        history=tuple(at.history),
        stopped_early=stopped_early,
        interrupted=interrupted,
        seconds=at.seconds,
        documents_per_second=at.documents / max(at.train_seconds, 1e-9),
        state=compiled.collect(compiled.whole(run.state)),
        resumed_from=resumed_from,
    )


def _check_arguments(**counts: int) -> None:
    for name, value in counts.items():
        if value != int(value) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1; got {value}")
