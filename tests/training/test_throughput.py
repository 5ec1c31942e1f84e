"""What a run says of its speed: percentiles, shares, FLOPs, and a trace."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.training import throughput
from labelgraph_jax.training.compiled_step import (
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.loop import NonFiniteLossError
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step
from labelgraph_jax.training.throughput import (
    ProfileSteps,
    StepClock,
    matrix_peak,
    program_flops,
)

from .conftest import (
    TOTAL_STEPS,
    Batches,
    apply_without_dropout,
    assert_same_bits,
    logistic_loss,
    train,
)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("profiled")
    train(workdir, profile=ProfileSteps(2, 4))
    return workdir


@pytest.fixture
def no_trace_left() -> Iterator[None]:
    """Ends a trace that a test left open, which would be in the way of all others."""
    yield
    with contextlib.suppress(RuntimeError):
        jax.profiler.stop_trace()


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(1e-4, 10.0), st.floats(0.0, 1.0), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_the_summary_is_numpy_s_percentiles_and_shares(
    steps: list[tuple[float, float, bool]],
) -> None:
    clock = StepClock()
    for seconds, share, idle in steps:
        clock.step(seconds, seconds * share, idle, 0.0)
    times = np.array([seconds for seconds, _, _ in steps])
    waits = np.array([seconds * share for seconds, share, _ in steps])
    idle_waits = waits * np.array([idle for _, _, idle in steps])
    summary = clock.summary()
    assert {f"speed/step_seconds_p{p}" for p in (50, 90, 99)} <= summary.keys()
    for share in (50, 90, 99):
        assert summary[f"speed/step_seconds_p{share}"] == np.percentile(times, share)
    assert summary["speed/input_share"] == pytest.approx(waits.sum() / times.sum())
    assert summary["speed/input_bound_share"] == pytest.approx(
        idle_waits.sum() / times.sum()
    )
    assert 0 <= summary["speed/input_bound_share"] <= summary["speed/input_share"]
    assert "speed/mfu" not in summary  # XLA did not count


def test_flops_are_per_step_and_a_share_of_all_devices_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throughput, "matrix_peak", lambda: 50.0)
    clock = StepClock()
    clock.step(1.0, 0.0, False, 300.0)
    clock.step(3.0, 0.0, False, 500.0)
    summary = clock.summary()
    assert summary["speed/flops_per_step"] == 400.0
    assert summary["speed/mfu"] == pytest.approx(800.0 / 4.0 / (50.0 * 8))


def test_no_step_has_no_summary() -> None:
    assert StepClock().summary() == {}


@pytest.mark.parametrize(
    ("analysis", "flops"),
    [
        ({"flops": 12.0, "bytes accessed": 3.0}, 12.0),
        ([{"flops": 12}], 12.0),
        (({"flops": 12}, {"flops": 99}), 12.0),
        ({"bytes accessed": 3.0}, 0.0),
        ({"flops": -1.0}, 0.0),
        ({}, 0.0),
        ([], 0.0),
        ([None], 0.0),
        (None, 0.0),
        ("flops", 0.0),
    ],
)
def test_the_count_of_a_program_is_read_from_what_xla_gives(
    analysis: Any, flops: float
) -> None:
    assert program_flops(analysis) == flops


def test_the_peak_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_peaks", {})
    monkeypatch.setitem(throughput._PEAK_SIZES, "cpu", (64, jnp.float32))
    first = matrix_peak()
    assert 0 < first < 1e16
    monkeypatch.setattr(jax, "jit", lambda *_: pytest.fail("it was measured again"))
    assert matrix_peak() == first


def test_steps_to_trace_are_read() -> None:
    assert ProfileSteps.parse("") is None
    assert ProfileSteps.parse("10:20") == ProfileSteps(10, 20)
    assert ProfileSteps.parse("1:1") == ProfileSteps(1, 1)


@pytest.mark.parametrize(
    "text",
    ["10", "20:10", "0:5", "a:b", ":", "1:", ":2", "1:2:3", "-1:2", "1.0:2", " "],
)
def test_steps_to_trace_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match="to profile are written FIRST:LAST, as 10:20; got "
    ) as refused:
        ProfileSteps.parse(text)
    assert repr(text) in str(refused.value)


def flops_of(kind: str, rows: int, features: int, labels: int) -> float:
    optimizer = optax.sgd(0.1)
    step = make_train_step(
        multi_label_objective(apply_without_dropout, logistic_loss),
        optimizer,
        jax.random.key(0),
    )
    if kind == "pmap":
        compiled = compile_train_step_pmap(step)
    else:
        compiled = compile_train_step(step, make_mesh(jax.devices()[: int(kind)]))
    params = {
        "head": {"kernel": jnp.zeros((features, labels)), "bias": jnp.zeros(labels)}
    }
    state = compiled.place_state(init_train_state(params, optimizer))
    batch = compiled.place_batch(
        {
            "inputs": np.ones((rows, features), np.float32),
            "targets": np.zeros((rows, labels), np.float32),
        }
    )
    assert compiled.flops(batch) == 0.0  # not compiled yet
    compiled(state, batch)
    return compiled.flops(batch)


@pytest.mark.parametrize("kind", ["1", "8", "pmap"])
def test_the_flops_of_a_linear_step_are_those_of_its_two_products(kind: str) -> None:
    rows, features, labels = 512, 32, 16
    flops = flops_of(kind, rows, features, labels)
    # Logits and the kernel's gradient, over all devices; what is left is entry by
    # entry: a few dozen per logit, a few per parameter and device.
    products = 2 * 2 * rows * features * labels
    assert products <= flops <= 2 * products


def test_a_trace_of_the_steps_asked_for_is_left(profiled: Path) -> None:
    files = [path for path in (profiled / "profile").rglob("*") if path.is_file()]
    assert any(path.name.endswith(".xplane.pb") for path in files)
    assert all(path.stat().st_size for path in files)


def test_a_traced_run_learns_what_another_one_does(
    profiled: Path, tmp_path: Path
) -> None:
    whole = train(tmp_path)
    again = train(profiled)
    assert again.resumed_from == TOTAL_STEPS
    assert_same_bits(whole.state, again.state)
    assert not (tmp_path / "profile").exists()


def test_the_log_tells_the_speed(profiled: Path) -> None:
    lines = [
        json.loads(line)
        for line in (profiled / "metrics.jsonl").read_text("utf-8").splitlines()
    ]
    for line in lines:
        if "loss" not in line:
            continue
        assert 0 < line["speed/step_seconds_p50"] <= line["speed/step_seconds_p99"]
        assert 0 <= line["speed/input_bound_share"] <= line["speed/input_share"] <= 1
        assert line["speed/flops_per_step"] > 0
        assert line["speed/mfu"] > 0
    assert sum("speed/mfu" in line for line in lines) == 7


def test_a_profile_past_the_last_step_ends_with_the_run(
    tmp_path: Path, no_trace_left: None
) -> None:
    train(tmp_path, profile=ProfileSteps(12, 99))
    assert any((tmp_path / "profile").rglob("*.xplane.pb"))
    jax.profiler.start_trace(str(tmp_path / "next"))  # refused while one goes on


def test_a_loss_that_is_not_finite_while_tracing_names_its_step(
    tmp_path: Path, no_trace_left: None
) -> None:
    class Poisoned(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            if self.position == 7:
                batch["inputs"][0, 0] = np.nan
            return batch

    with pytest.raises(NonFiniteLossError, match="not finite at step 7 "):
        train(tmp_path, Poisoned(), profile=ProfileSteps(6, 9))


def test_a_run_that_breaks_off_while_tracing_leaves_no_trace_open(
    tmp_path: Path, no_trace_left: None
) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(tmp_path / "cut", Batches(raise_at=6), profile=ProfileSteps(2, 9))
    jax.profiler.start_trace(str(tmp_path / "next"))  # refused while one goes on
