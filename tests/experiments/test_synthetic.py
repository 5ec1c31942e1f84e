"""Synthetic tasks: the paper's formula, its correlations, the same for the same key."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.mmoe.synthetic import (
    PRESETS,
    SyntheticSpec,
    directions_for,
    draw_examples,
    draw_tasks,
    noiseless_targets,
    preset,
    target_variance,
)
from labelgraph_jax.data.documents import DataError
from tests.reference import synthetic as reference

# Pearson correlation of the labels where the weights have the cosine named first.
MEASURED = {
    "google-research": {0.0: 0.0, 0.5: 0.22, 0.9: 0.46, 1.0: 1.0},
    "zoo": {0.0: 0.0, 0.5: 0.43, 0.9: 0.85, 1.0: 1.0},
    # Sines of some draws nearly cancel the linear part, leaving noise (sd 0.25 at 1).
    "keras-mmoe": {0.0: 0.0, 0.5: 0.39, 0.9: 0.82},
}


def cosines(weights: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(weights, axis=1)
    return (weights @ weights.T) / np.outer(lengths, lengths)


def test_two_tasks_have_the_papers_weights_and_labels() -> None:
    tasks = draw_tasks(
        jax.random.key(3), PRESETS["zoo"], directions_for(0.7), features=4
    )
    plain = draw_tasks(
        jax.random.key(3), PRESETS["zoo"], directions_for(0.0), features=4
    )
    basis = np.asarray(plain.weights) / 3.0
    np.testing.assert_allclose(
        tasks.weights, reference.two_task_weights(*basis, 3.0, 0.7), atol=1e-5
    )
    inputs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = reference.targets(
        inputs,
        np.asarray(tasks.weights),
        np.asarray(tasks.frequencies),
        np.asarray(tasks.phases),
    )
    for compute in (noiseless_targets, jax.jit(noiseless_targets)):
        np.testing.assert_allclose(compute(tasks, inputs), expected, atol=2e-4)


@functools.cache
def drawn_weights(count: int) -> Callable[[jax.Array, np.ndarray], jax.Array]:
    spec = SyntheticSpec(2.0, 1, True, 0.0)
    return jax.jit(lambda key, mix: draw_tasks(key, spec, mix, features=8).weights)


@settings(max_examples=40, deadline=None)
@given(
    count=st.sampled_from([1, 2, 3, 6]),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_two_tasks_have_the_cosine_asked_for(
    count: int, share: float, seed: int
) -> None:
    least = -1.0 / max(count - 1, 1)
    correlation = least + share * (1.0 - least)
    directions = directions_for(correlation, count)
    drawn = drawn_weights(count)(jax.random.key(seed), directions)
    weights = np.asarray(drawn, np.float64)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 2.0, rtol=1e-5)
    expected = np.full((count, count), correlation)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(cosines(weights), expected, atol=1e-5)


@functools.cache
def label_statistics(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of 40 data sets of 2,000 labels.

    Pearson correlation of the two tasks at every cosine of `MEASURED` `[C, 40]`, and
    measured over exact variance `[C, 40, 2]`.
    """

    def one(key: jax.Array, directions: jax.Array) -> tuple[jax.Array, jax.Array]:
        tasks = draw_tasks(key, PRESETS[name], directions, features=3)
        _, targets = draw_examples(jax.random.fold_in(key, 1), tasks, 2000)
        exact = target_variance(PRESETS[name], tasks)
        return jnp.corrcoef(targets.T)[0, 1], targets.var(axis=0) / exact

    keys = jax.random.split(jax.random.key(0), 40)
    directions = jnp.stack([jnp.asarray(directions_for(p)) for p in MEASURED[name]])
    data_sets = jax.vmap(jax.vmap(one, in_axes=(0, None)), in_axes=(None, 0))
    pearson, ratios = jax.jit(data_sets)(keys, directions)
    return np.asarray(pearson), np.asarray(ratios)


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_labels_correlate_as_measured(name: str) -> None:
    values, _ = label_statistics(name)
    # Three standard errors of the means, and what was rounded away.
    slack = 3.0 * values.std(axis=1) / np.sqrt(values.shape[1]) + 0.02
    assert (abs(values.mean(axis=1) - list(MEASURED[name].values())) < slack).all()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_variance_of_the_labels_is_known_exactly(name: str) -> None:
    _, ratios = label_statistics(name)
    assert abs(ratios - 1.0).max() < 0.25  # four standard errors of a variance
    assert ratios.mean() == pytest.approx(1.0, abs=0.01)


def test_labels_of_equal_tasks_differ_by_their_noise_alone() -> None:
    tasks = draw_tasks(
        jax.random.key(0), preset("zoo"), directions_for(1.0), features=4
    )
    _, targets = draw_examples(jax.random.key(1), tasks, 2000)
    gap = np.asarray(targets[:, 0] - targets[:, 1])
    assert gap.std() == pytest.approx(0.01 * np.sqrt(2), rel=0.1)


def test_the_fixed_sines_are_the_published_ones() -> None:
    tasks = draw_tasks(
        jax.random.key(0), preset("google-research"), directions_for(0.5)
    )
    assert tasks.weights.shape == (2, 100)
    assert tasks.frequencies.tolist() == list(range(1, 11))
    assert tasks.phases.tolist() == [i * i for i in range(10)]


def test_the_same_key_gives_the_same_data_and_another_key_other_data() -> None:
    def draw(seed: int) -> list[np.ndarray]:
        tasks = draw_tasks(
            jax.random.key(seed), preset("zoo"), directions_for(0.5), features=4
        )
        examples = draw_examples(jax.random.key(seed + 1), tasks, 3)
        return [np.asarray(leaf) for leaf in (*tasks, *examples)]

    for one, same in zip(draw(5), draw(5), strict=True):
        np.testing.assert_array_equal(one, same)
    drawn, other = draw(5), draw(6)
    assert all(
        not np.array_equal(drawn[i], other[i]) for i in (0, 1, 2, 4, 5)
    )  # weights, sines, inputs and targets; the noise level is the same


def test_runs_drawn_together_are_those_drawn_alone() -> None:
    directions = jnp.asarray(directions_for(0.3))

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        tasks = draw_tasks(key, PRESETS["keras-mmoe"], directions, features=4)
        return draw_examples(jax.random.fold_in(key, 1), tasks, 3)

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(draw))(keys)
    for run, key in enumerate(keys):
        for part, alone in zip(together, draw(key), strict=True):
            np.testing.assert_allclose(part[run], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset("nobody"), "no synthetic preset 'nobody'; there are google"),
        (lambda: directions_for(1.1), r"2 tasks must lie in \[-1, 1\], got 1.1"),
        (lambda: directions_for(-0.6, 3), r"3 tasks must lie in \[-0.5, 1\]"),
        (lambda: directions_for(float("nan")), "must lie in"),
        (lambda: directions_for(0.5, 0), "tasks must be at least 1, got 0"),
        (
            lambda: draw_tasks(
                jax.random.key(0), PRESETS["zoo"], directions_for(0.0, 3), features=2
            ),
            "at least 3 features, got 2",
        ),
        (
            lambda: draw_tasks(
                jax.random.key(0),
                PRESETS["zoo"]._replace(scale=0.0),
                directions_for(0.0),
            ),
            "scale must be positive, got 0",
        ),
        (
            lambda: draw_tasks(
                jax.random.key(0),
                PRESETS["zoo"]._replace(noise=-1.0),
                directions_for(0.0),
            ),
            "noise must not be negative, got -1",
        ),
        (
            lambda: draw_tasks(
                jax.random.key(0),
                PRESETS["zoo"]._replace(sines=-1),
                directions_for(0.0),
            ),
            "sines must not be negative, got -1",
        ),
    ],
)
def test_what_makes_no_data_is_refused(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]


def test_no_sines_leave_a_linear_task() -> None:
    spec = SyntheticSpec(2.0, 0, False, 0.0)
    tasks = draw_tasks(jax.random.key(0), spec, directions_for(0.5), features=4)
    inputs, targets = draw_examples(jax.random.key(1), tasks, 3)
    np.testing.assert_allclose(targets, inputs @ tasks.weights.T, atol=1e-5)
    assert float(target_variance(spec, tasks)) == pytest.approx(4.0)
