"""A head that learns from a stream, block by block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.training.stream_block import (
    BATCH,
    EMPTY,
    Documents,
    Head,
    Teacher,
    padded,
    stream_step,
)
from labelgraph_jax.training.streams import StreamLearner

PLACES, DIM = 16, 4


def made(rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[list[int]]]:
    """Documents of a frequent label and a rare one, of which vectors tell little."""
    vectors = rng.normal(size=(count, DIM)).astype(np.float32)
    odds = [-0.2, -4.0] + vectors[:, :2]
    has = rng.random((count, 2)) < 1 / (1 + np.exp(-odds))
    return vectors, [np.flatnonzero(row).tolist() for row in has]


def test_the_threshold_of_a_frequent_label_settles() -> None:
    rng = np.random.default_rng(0)
    learner = StreamLearner(DIM, places=PLACES, memory_bytes=0)
    cuts, shown = [], []
    for _ in range(40):
        found = learner.learn(*made(rng, 500))
        cuts.append(float(learner.state.head.cuts[0]))
        has = found.hits[0] + found.missed[0]
        shown.append((found.hits[0] + found.wrong[0]) / has)
    assert np.ptp(cuts[-20:]) < 0.4
    assert np.mean(shown[-20:]) == pytest.approx(1, abs=0.1)
    assert min(shown[-20:]) > 0.6


@pytest.mark.parametrize("taught", [False, True])
def test_a_step_sums_over_new_and_remembered_documents(taught: bool) -> None:
    rng = np.random.default_rng(1)

    def documents(count: int, room: int) -> Documents:
        vectors, labels = made(rng, count)
        return padded(vectors, labels, room=room, places=PLACES)

    new, old = documents(BATCH, BATCH), documents(30, 50)
    weights = rng.normal(size=(PLACES, DIM)).astype(np.float32)
    active = np.arange(PLACES) < 2
    start = jax.tree.map(lambda value: jnp.full(PLACES, value), EMPTY)
    zeros = jnp.zeros((PLACES, DIM))
    head: Head = start._replace(
        vectors=jnp.array(weights), vector_squares=zeros, active=jnp.array(active)
    )
    held = rng.normal(size=(PLACES, DIM)).astype(np.float32)
    teacher = Teacher(jnp.array(held), head.bias, head.active) if taught else None
    found = stream_step(head, new, old, teacher, rate=0.5, distil=0.25 * taught)
    gradient = np.zeros((PLACES, DIM))
    for given in (new, old):
        for x, ids, there in zip(*map(np.asarray, given), strict=True):
            for n in np.flatnonzero(active & there):
                shown = 1 / (1 + np.exp(-(x @ weights[n] + head.bias[n])))
                wrong = shown - (n in ids)
                if taught:
                    wrong += 0.25 * (
                        shown - 1 / (1 + np.exp(-x @ held[n] - head.bias[n]))
                    )
                gradient[n] += wrong * x / BATCH
    moved = weights - 0.5 * gradient / np.sqrt(gradient**2 + 1e-12)
    np.testing.assert_allclose(found.vectors, moved, atol=1e-4)
    np.testing.assert_allclose(found.vector_squares, gradient**2, rtol=1e-3, atol=1e-9)
