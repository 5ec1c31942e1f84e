"""Rates, groups, decay and clipping do what their numbers say."""

import math
from typing import Any

import jax
import numpy as np
import optax
import pytest

from labelgraph_jax.training.optimizer import (
    has_weight_decay,
    make_optimizer,
    make_schedule,
)


def rates(schedule: str, steps: int = 10, warmup: int = 4) -> list[float]:
    rate = make_schedule(2.0, warmup_steps=warmup, total_steps=10, schedule=schedule)
    return [float(rate(step)) for step in range(steps)]


def test_the_rate_climbs_evenly_and_reaches_its_peak_at_the_last_warm_up_step() -> None:
    np.testing.assert_allclose(rates("cosine")[:5], [0.5, 1.0, 1.5, 2.0, 2.0])


def test_the_cosine_falls_to_zero_at_the_end() -> None:
    expected = [1 + math.cos(math.pi * x / 6) for x in range(7)]
    np.testing.assert_allclose(rates("cosine", 11)[4:], expected, atol=1e-6)
    assert rates("cosine", 13)[12] == 0


def test_the_line_falls_evenly_and_the_constant_stays() -> None:
    np.testing.assert_allclose(rates("linear", 11)[4:], np.linspace(2, 0, 7), atol=1e-6)
    assert rates("constant")[4:] == [2.0] * 6


def test_no_step_has_a_rate_of_zero() -> None:
    for schedule in ("cosine", "linear", "constant"):
        for warmup in (0, 4, 10):
            assert min(rates(schedule, warmup=warmup)) > 0


@pytest.mark.parametrize(
    ("path", "shape", "decays"),
    [
        ("encoder/dense/kernel", (4, 3), True),
        ("embedding/table", (4, 3), True),
        ("encoder/dense/bias", (3,), False),
        ("attention/query/bias", (2, 3), False),
        ("layer_norm/scale", (3,), False),
        ("label_bias", (3,), False),
    ],
)
def test_matrices_decay_and_biases_and_norms_do_not(
    path: str, shape: tuple[int, ...], decays: bool
) -> None:
    assert has_weight_decay(path, np.zeros(shape)) is decays


def first_update(gradient: Any, params: Any, **options: Any) -> Any:
    settings = {
        "learning_rate": 0.1,
        "total_steps": 10,
        "schedule": "constant",
        "weight_decay": 0.0,
        "clip_norm": None,
    }
    optimizer = make_optimizer(**(settings | options))
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    return updates


def tree(value: float) -> dict[str, Any]:
    return {
        name: {"kernel": np.full((2, 2), value, np.float32)} for name in ("enc", "head")
    }


def test_the_body_moves_at_its_own_rate() -> None:
    updates = first_update(
        tree(1.0),
        tree(1.0),
        body_learning_rate=0.01,
        is_body=lambda path: path.startswith("enc"),
    )
    np.testing.assert_allclose(updates["enc"]["kernel"], -0.01, rtol=1e-5)
    np.testing.assert_allclose(updates["head"]["kernel"], -0.1, rtol=1e-5)


def test_decay_is_decoupled_and_spares_biases() -> None:
    params = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    zero = jax.tree.map(np.zeros_like, params)
    updates = first_update(zero, params, weight_decay=0.5)
    np.testing.assert_allclose(updates["kernel"], -0.05)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_the_clipped_norm_leaves_frozen_parameters_out() -> None:
    gradient = tree(1.0)
    gradient["enc"]["kernel"] *= 1000
    options = {"clip_norm": 0.5, "is_frozen": lambda path: path.startswith("enc")}
    optimizer = make_optimizer(
        learning_rate=0.1, total_steps=10, schedule="constant", **options
    )
    params = tree(1.0)
    _, state = optimizer.update(gradient, optimizer.init(params), params)
    (moments,) = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if "mu" in jax.tree_util.keystr(path)
    ]
    # Norm 2 clipped to 0.5, each entry 1 -> 0.25, the first moment a tenth of it.
    np.testing.assert_allclose(moments, 0.025, rtol=1e-6)


def test_without_groups_it_is_optax_adamw() -> None:
    params, gradient = tree(0.5), tree(0.3)
    plain = optax.adamw(0.1, weight_decay=0.0)
    expected, _ = plain.update(gradient, plain.init(params), params)
    updates = first_update(gradient, params)
    np.testing.assert_allclose(
        updates["enc"]["kernel"], expected["enc"]["kernel"], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite; got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive"),
        ({"body_learning_rate": -1.0}, "body_learning_rate must be positive"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0; got -0.1"),
        ({"clip_norm": 0.0}, "clip_norm must be positive"),
        ({"total_steps": 0}, "total_steps must be a whole number >= 1; got 0"),
        ({"warmup_steps": -1}, "warmup_steps must be a whole number >= 0; got -1"),
        ({"warmup_steps": 11}, r"warmup_steps \(11\) must not exceed total_steps"),
        ({"schedule": "step"}, "schedule must be one of .*cosine.*; got 'step'"),
    ],
)
def test_a_number_out_of_its_range_is_refused_by_name(
    options: dict[str, Any], message: str
) -> None:
    settings = {"learning_rate": 0.1, "total_steps": 10}
    with pytest.raises(ValueError, match=message):
        make_optimizer(**(settings | options))
