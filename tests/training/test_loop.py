"""The loop resumes exactly, stops early, keeps the best, and never saves nonsense."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import pytest

from labelgraph_jax.training.checkpoint import (
    CheckpointStore,
    DamagedCheckpointWarning,
)
from labelgraph_jax.training.loop import NonFiniteLossError

from .conftest import (
    FEATURES,
    LABELS,
    STEPS_PER_EPOCH,
    TOTAL_STEPS,
    Batches,
    assert_same_bits,
    compiled_step,
    train,
)

ROOT = Path(__file__).parents[2]


def logged(workdir: Path) -> list[dict[str, Any]]:
    lines = (workdir / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: line[name]
            for name in line
            if name != "documents_per_second" and not name.startswith("speed/")
        }
        for line in lines
    ]


@pytest.mark.parametrize("cut", [1, 5, 7, 12])
def test_a_run_cut_off_anywhere_ends_bit_identical(tmp_path: Path, cut: int) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(tmp_path / "cut", Batches(raise_at=cut))
    resumed = train(tmp_path / "cut")
    assert resumed.resumed_from == cut // STEPS_PER_EPOCH * STEPS_PER_EPOCH
    assert_same_bits(whole.state, resumed.state)
    assert whole.history == resumed.history
    assert whole.best_step == resumed.best_step
    assert whole.best_metric == resumed.best_metric
    assert without_times(logged(tmp_path / "whole")) == without_times(
        logged(tmp_path / "cut")
    )


@pytest.mark.parametrize("cut", [3, 7, 12])
def test_a_run_that_seldom_saves_ends_bit_identical_and_keeps_its_best(
    tmp_path: Path, cut: int
) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(tmp_path / "cut", Batches(raise_at=cut), seconds_between=1e9)
    resumed = train(tmp_path / "cut", seconds_between=1e9)
    # The first epoch is saved at once, and nothing after it.
    assert resumed.resumed_from == (STEPS_PER_EPOCH if cut > STEPS_PER_EPOCH else 0)
    assert_same_bits(whole.state, resumed.state)
    assert whole.history == resumed.history
    whole_store, store = (
        CheckpointStore(tmp_path / name / "checkpoints") for name in ("whole", "cut")
    )
    assert store.best_step == whole_store.best_step == whole.best_step
    assert_same_bits(whole_store.restore_params(), store.restore_params())
    assert store.steps()[-1] == TOTAL_STEPS


def test_between_two_saves_the_best_parameters_are_held_and_then_written(
    tmp_path: Path,
) -> None:
    values = iter([0.5, 0.7, 0.9, 0.6, 0.4, 0.3, 0.2])
    train(
        tmp_path / "seldom",
        steps_per_epoch=2,
        evaluate_fn=lambda params: {"accuracy": next(values)},
        seconds_between=1e9,
    )
    store = CheckpointStore(tmp_path / "seldom" / "checkpoints")
    assert (store.best_step, store.best_metric) == (6, 0.9)
    assert store.steps() == [2, 6, 13]
    assert not (store.folder / "6" / "opt_state").exists()
    train(tmp_path / "short", steps_per_epoch=2, total_steps=6)
    short = CheckpointStore(tmp_path / "short" / "checkpoints")
    assert_same_bits(store.restore_params("best"), short.restore_params(6))


def test_a_diverging_run_that_seldom_saves_keeps_its_best(tmp_path: Path) -> None:
    class Poisoned(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            if self.position == 12:
                batch["inputs"][0, 0] = np.nan
            return batch

    values = iter([0.5, 0.9])
    with pytest.raises(NonFiniteLossError, match="the checkpoint of step 10 is kept"):
        train(
            tmp_path,
            Poisoned(),
            evaluate_fn=lambda params: {"accuracy": next(values)},
            seconds_between=1e9,
        )
    assert CheckpointStore(tmp_path / "checkpoints").best_step == 10


def test_checkpoints_within_an_epoch_shorten_what_is_lost(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", Batches(raise_at=9), checkpoint_every=2)
    resumed = train(tmp_path / "cut", checkpoint_every=2)
    assert resumed.resumed_from == 8
    assert_same_bits(whole.state, resumed.state)
    assert without_times(logged(tmp_path / "whole")) == without_times(
        logged(tmp_path / "cut")
    )


def test_the_given_state_survives_the_donating_step(tmp_path: Path) -> None:
    from labelgraph_jax.training.loop import train_loop
    from labelgraph_jax.training.step import init_train_state

    from .conftest import initial_params, optimizer

    params = jax.device_put(initial_params())
    state = init_train_state(params, optimizer())
    train_loop(
        state,
        compiled_step(),
        Batches(),
        total_steps=2,
        steps_per_epoch=2,
        progress=False,
    )
    assert_same_bits(params, initial_params())


class GrainSource:
    """Documents for Grain."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        inputs = np.random.default_rng(index).normal(size=FEATURES).astype(np.float32)
        targets = (inputs[:LABELS] > 0).astype(np.float32)
        return {"inputs": inputs, "targets": targets}


def grain_batches(*, prefetch: bool) -> Any:
    dataset = grain.MapDataset.source(GrainSource()).seed(3).shuffle().repeat()
    batched = dataset.batch(8).to_iter_dataset(
        grain.ReadOptions(
            num_threads=2 if prefetch else 0, prefetch_buffer_size=4 * prefetch
        )
    )
    return iter(batched)


class Cut:
    """An iterator that breaks off."""

    def __init__(self, batches: Any, after: int) -> None:
        self.batches, self.left = batches, after
        self.get_state, self.set_state = batches.get_state, batches.set_state

    def __next__(self) -> Any:
        if self.left == 0:
            raise RuntimeError("pulled the plug")
        self.left -= 1
        return next(self.batches)


@pytest.mark.parametrize("prefetch", [False, True])
def test_a_grain_iterator_resumes_at_the_very_next_batch(
    tmp_path: Path, prefetch: bool
) -> None:
    whole = train(tmp_path / "whole", grain_batches(prefetch=prefetch))
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", Cut(grain_batches(prefetch=prefetch), 8))
    resumed = train(tmp_path / "cut", grain_batches(prefetch=prefetch))
    assert resumed.resumed_from == 5
    assert_same_bits(whole.state, resumed.state)


def child_code(workdir: Path, body: str) -> list[str]:
    """A process of its own that trains slowly, then writes its result down."""
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import tests.conftest
from pathlib import Path
import jax, numpy as np
from tests.training.conftest import Batches, train
class Slow(Batches):
    def __next__(self):
        time.sleep({{pause}} if self.position >= 6 else 0)
        return super().__next__()
{{body}}
"""
    return [sys.executable, "-c", code.format(body=body, pause=0.7)]


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the child took too long"
        time.sleep(0.02)


@pytest.mark.process
def test_a_killed_process_loses_only_the_steps_since_the_last_save(
    tmp_path: Path,
) -> None:
    work = tmp_path / "killed"
    body = f"train(Path({str(work)!r}), Slow(), checkpoint_every=2)"
    process = subprocess.Popen(
        child_code(work, body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: (work / "checkpoints" / "6" / "checksums.json").exists(), process)
    process.kill()
    process.communicate()
    resumed = train(work, checkpoint_every=2)
    assert resumed.resumed_from >= 6
    whole = train(tmp_path / "whole", checkpoint_every=2)
    assert_same_bits(whole.state, resumed.state)
    assert [line["step"] for line in logged(work)] == [2, 4, 5, 6, 8, 10, 12, 13]


@pytest.mark.process
def test_sigterm_saves_at_once_and_says_so(tmp_path: Path) -> None:
    work = tmp_path / "stopped"
    body = f"""
result = train(Path({str(work)!r}), Slow(), progress=True)
print(result.interrupted, result.step, flush=True)
"""
    process = subprocess.Popen(
        child_code(work, body),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: (work / "checkpoints" / "5").exists(), process)
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    interrupted, step = out.split()
    assert interrupted == "True"
    assert 5 <= int(step) < TOTAL_STEPS
    assert "stopped by" not in err  # who called says it, once
    resumed = train(work)
    assert resumed.resumed_from == int(step)
    assert_same_bits(train(tmp_path / "whole").state, resumed.state)


def test_a_signal_during_validation_stops_it_and_validates_again_later(
    tmp_path: Path,
) -> None:
    from .conftest import accuracy

    def interrupted_evaluation(params: Any) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the signal did not end the validation")

    stopped = train(tmp_path / "cut", evaluate_fn=interrupted_evaluation, log_every=5)
    assert stopped.interrupted
    assert (stopped.step, stopped.history) == (STEPS_PER_EPOCH, ())
    resumed = train(tmp_path / "cut", evaluate_fn=accuracy, log_every=5)
    whole = train(tmp_path / "whole", log_every=5)
    assert whole.history == resumed.history
    assert_same_bits(whole.state, resumed.state)
    assert without_times(logged(tmp_path / "whole")) == without_times(
        logged(tmp_path / "cut")
    )
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ctrl_c_before_the_first_step_saves_step_zero(tmp_path: Path) -> None:
    class Interrupting(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            os.kill(os.getpid(), signal.SIGINT)
            return super().__next__()

    stopped = train(tmp_path, Interrupting())
    assert stopped.interrupted
    assert stopped.step == 1
    assert train(tmp_path).resumed_from == 1


def test_a_finished_run_called_again_only_reports(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path, Batches(raise_at=0))
    assert again.resumed_from == again.step == TOTAL_STEPS
    assert_same_bits(first.state, again.state)
    assert again.history == first.history


def test_training_stops_when_patience_runs_out_also_after_a_restart(
    tmp_path: Path,
) -> None:
    values = iter([0.5, 0.7, 0.6, 0.7])
    options: dict[str, Any] = {
        "steps_per_epoch": 2,
        "evaluate_fn": lambda params: {"accuracy": next(values)},
        "patience": 2,
    }
    result = train(tmp_path, **options)
    assert result.stopped_early
    assert (result.step, result.best_step, result.best_metric) == (8, 4, 0.7)
    assert [entry["accuracy"] for entry in result.history] == [0.5, 0.7, 0.6, 0.7]
    again = train(tmp_path, **options)
    assert again.stopped_early
    assert again.step == 8


def test_a_metric_that_is_not_a_number_is_neither_a_gain_nor_a_bar(
    tmp_path: Path,
) -> None:
    values = iter([math.nan, 0.2, math.nan])
    result = train(tmp_path, evaluate_fn=lambda params: {"accuracy": next(values)})
    assert (result.best_step, result.best_metric) == (10, 0.2)
    with CheckpointStore(tmp_path / "checkpoints") as store:
        assert (store.best_step, store.best_metric) == (10, 0.2)


def test_the_best_and_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    values = iter([0.5, 0.9, 0.6, 0.7, 0.8, 0.1, 0.2])
    train(
        tmp_path,
        steps_per_epoch=2,
        evaluate_fn=lambda params: {"accuracy": next(values)},
    )
    with CheckpointStore(tmp_path / "checkpoints") as store:
        assert store.steps() == [4, 12, 13]
        assert (store.best_step, store.best_metric) == (4, 0.9)


def test_a_damaged_newest_checkpoint_costs_its_steps_not_the_run(
    tmp_path: Path,
) -> None:
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", Batches(raise_at=12))
    for file in (tmp_path / "cut" / "checkpoints" / "10" / "params").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:7])
    with pytest.warns(DamagedCheckpointWarning, match="the one before is used"):
        resumed = train(tmp_path / "cut")
    assert resumed.resumed_from == 5
    whole = train(tmp_path / "whole")
    assert_same_bits(whole.state, resumed.state)
    assert whole.history == resumed.history


@pytest.mark.parametrize("bad_step", [1, 7, 10])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, bad_step: int
) -> None:
    class Poisoned(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            if self.position == bad_step:
                batch["inputs"][0, 0] = np.nan
            return batch

    good = (bad_step - 1) // STEPS_PER_EPOCH * STEPS_PER_EPOCH
    kept = f"the checkpoint of step {good} is kept" if good else "no checkpoint"
    with pytest.raises(
        NonFiniteLossError,
        match=f"loss and gradient_norm not finite at step {bad_step} .*{kept}",
    ):
        train(tmp_path, Poisoned())
    with CheckpointStore(tmp_path / "checkpoints") as store:
        assert store.steps() == ([good] if good else [])


def test_the_log_has_one_line_per_step_with_the_mean_since_the_last(
    tmp_path: Path,
) -> None:
    train(tmp_path)
    lines = logged(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 5, 6, 8, 10, 12, 13]
    assert lines[5]["epoch"] == 2
    assert 0 <= lines[5]["validation/accuracy"] <= 1
    assert {"loss", "gradient_norm", "documents_per_second"} <= lines[0].keys()


def test_a_line_per_epoch_is_printed_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, progress=True)
    first, *lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"first step done \d+\.\d s after the start", first)
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1, step 5 of 13: loss ")
    assert "accuracy" in lines[0]
    assert re.search(r"documents/s, at most \d+:\d\d left$", lines[0])
    assert lines[-1].endswith("documents/s")


def test_a_terminal_gets_a_bar_with_loss_speed_and_time_left(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    train(tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "13/13" in shown
    assert "documents/s" in shown
    assert "epoch 3, step 13 of 13" in shown


def test_an_unknown_metric_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'f1' is not among .*\['accuracy'\]"):
        train(tmp_path, metric="f1")


def test_batches_that_end_too_early_say_when(tmp_path: Path) -> None:
    class Short(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            if self.position == 3:
                raise StopIteration
            return super().__next__()

    with pytest.raises(ValueError, match="ended after step 3; the run was to take 13"):
        train(tmp_path, Short())


@pytest.mark.parametrize(
    "name", ["total_steps", "steps_per_epoch", "log_every", "patience"]
)
def test_a_count_below_one_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1; got 0"):
        train(tmp_path, **{name: 0})
