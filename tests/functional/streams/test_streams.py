"""Reservoirs, drift, running quantiles and decaying edges, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax as lg
from tests.reference import streams as reference

F = lg.functional


def scanned(labels, uniforms, places, count):
    def step(memory, offered):
        return F.reservoir_insert(memory, *offered)

    start = F.Reservoir.empty(places, count)
    return jax.lax.scan(step, start, (jnp.asarray(labels), jnp.asarray(uniforms)))


@given(st.integers(0, 2**31), st.sampled_from([1, 3, 7]))
def test_a_reservoir_is_that_of_a_loop(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.choice(count, 40, p=rng.dirichlet(np.ones(count)))
    uniforms = rng.random((40, 2)).astype(np.float32)
    memory, places = scanned(labels, uniforms, 9, count)
    owners, found = reference.reservoir(labels, uniforms, 9, count)
    assert memory.owners.tolist() == owners
    assert places.tolist() == found
    assert memory.stored.tolist() == [owners.count(n) for n in range(count)]


def test_with_one_label_every_document_stays_with_the_same_probability():
    uniforms = np.random.default_rng(0).random((2_000, 20, 2)).astype(np.float32)
    labels = np.zeros(20, int)

    def kept(draws):
        _, places = scanned(labels, draws, 5, 1)
        slots = jnp.where(places < 0, 5, places)
        last = jnp.full(5, -1).at[slots].set(jnp.arange(20), mode="drop")
        return jnp.zeros(20).at[last].set(1)

    share = np.asarray(jax.jit(jax.vmap(kept))(uniforms).mean(axis=0))
    np.testing.assert_allclose(share, 0.25, atol=0.04)


def test_a_rare_label_keeps_its_documents_in_a_full_memory():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(500) % 50 == 7, 1, 0)
    memory, _ = scanned(labels, rng.random((500, 2), np.float32), 20, 2)
    assert memory.stored.tolist() == [10, 10]
    assert memory.seen.tolist() == [490, 10]


def test_a_reservoir_without_places_is_refused():
    with pytest.raises(ValueError, match="places and labels must be at least 1, got 0"):
        F.Reservoir.empty(0, 2)


@given(st.integers(0, 2**31))
def test_drift_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=60).astype(np.float32)
    values[30:] += 1

    def step(state, value):
        return F.page_hinkley(state, value, tolerance=0.1, threshold=3.0)

    _, found = jax.lax.scan(step, F.PageHinkley.start(), jnp.asarray(values))
    assert found.tolist() == reference.page_hinkley(values.tolist(), 0.1, 3.0)


def test_a_constant_stream_never_drifts():
    state = F.PageHinkley.start()
    for _ in range(50):
        state, drift = F.page_hinkley(state, 2.0)
        assert not drift


@pytest.mark.parametrize("wrong", [{"tolerance": -1.0}, {"threshold": -0.5}])
def test_a_negative_tolerance_is_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 0, got"):
        F.page_hinkley(F.PageHinkley.start(), 1.0, **wrong)


@given(st.integers(0, 2**31))
def test_running_quantiles_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    values, estimates = rng.normal(size=(6, 4)), rng.normal(size=4)
    mask = rng.random((6, 4)) < 0.4
    arrays = [x.astype(np.float32) for x in (estimates, values)]
    found = F.running_quantile(*arrays, mask, quantile=0.3, rates=0.2)
    expected = reference.running_quantile(arrays[0], arrays[1], mask, 0.3, 0.2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_running_quantile_finds_the_quantile():
    values = np.random.default_rng(0).random((20_000, 1)).astype(np.float32)

    def step(estimate, row):
        mask = jnp.ones((1, 1), bool)
        moved = F.running_quantile(estimate, row, mask, quantile=0.8, rates=0.02)
        return moved, moved

    _, path = jax.lax.scan(step, jnp.zeros(1), values[:, None])
    assert abs(float(path[5_000:].mean()) - 0.8) < 0.02


def test_a_quantile_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="quantile must be between 0 and 1, got 2"):
        F.running_quantile(
            jnp.zeros(1), jnp.zeros((1, 1)), jnp.ones((1, 1)) > 0, quantile=2.0
        )


def no_edges(size, n):
    free = jnp.full(size, n)
    return F.Edges(free, free, jnp.zeros(size))


@given(st.integers(0, 2**31))
def test_decaying_edges_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    edges, held = no_edges(12, 4), {}
    add = jax.jit(lambda *a: F.decayed_edges(*a, decay=0.5, n=4))
    for _ in range(4):
        to, by = rng.integers(0, 4, (2, 5))
        weights = rng.random(5).astype(np.float32)
        weights[0] = 0
        edges = add(edges, to, by, weights)
        pairs = list(zip(to.tolist(), by.tolist(), strict=True))
        new = zip(pairs, weights.tolist(), strict=True)
        held = reference.decayed_edges(held, new, 0.5, 12)
        found = {
            (i, j): w
            for i, j, w in zip(*(part.tolist() for part in edges), strict=True)
            if w > 0
        }
        assert list(found) == list(held)
        np.testing.assert_allclose(list(found.values()), list(held.values()), rtol=1e-5)


def test_of_too_many_pairs_the_heaviest_stay():
    to, weights = jnp.array([0, 1, 2]), jnp.array([1.0, 3.0, 2.0])
    edges = F.decayed_edges(no_edges(2, 3), to, to, weights, decay=0.9, n=3)
    assert edges.receivers.tolist() == [1, 2]


def test_a_decay_above_1_is_refused():
    with pytest.raises(ValueError, match=r"decay must lie in 0\.\.1, got 1.5"):
        F.decayed_edges(
            no_edges(1, 1), *[jnp.zeros(1, int)] * 2, jnp.ones(1), decay=1.5, n=1
        )
