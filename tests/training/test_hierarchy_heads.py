"""Linear heads under a taxonomy: what a label receives from its relatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array

from labelgraph_jax.data.labels.taxonomy import hierarchy_edges
from labelgraph_jax.training.hierarchy_heads import (
    first_head,
    head_loss,
    hierarchy_scores,
    label_vectors,
)

PARENTS = np.array([[0, 3], [1, 3], [2, 4], [3, 4]])


def test_a_label_vector_is_its_own_and_what_relatives_send() -> None:
    rng = np.random.default_rng(0)
    sets = csr_array(rng.random((40, 5)) < 0.4)
    edges = hierarchy_edges(PARENTS, sets)
    head = (
        rng.normal(size=(5, 3)).astype(np.float32),
        np.zeros(5, np.float32),
        rng.normal(size=3).astype(np.float32),
        rng.normal(size=5).astype(np.float32),
    )
    weights = np.zeros((5, 5))
    weights[np.asarray(edges.receivers), np.asarray(edges.senders)] = edges.weights
    received, sent = weights.sum(1), weights.sum(0)
    wanted = head[0].copy()
    for i in range(5):
        for j in range(5):
            gate = 1 / (1 + np.exp(-(head[0][j] @ head[2] + head[3][j])))
            share = weights[i, j] / np.sqrt(received[i] * sent[j])
            wanted[i] += share * gate * head[0][j]
    found = label_vectors(tuple(map(jnp.asarray, head)), edges)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(label_vectors(head, None), head[0])


def test_relatives_teach_a_label_that_has_few_documents() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros((60, 5), np.float32)
    targets[:, 4] = rng.random(60) < 0.5
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    edges = hierarchy_edges(PARENTS, csr_array(targets))
    # Label 2 has no document: what moves it is its parent's.
    loss, start = head_loss("graph", PARENTS), first_head(targets, 4)

    def alone(head: tuple[jax.Array, ...]) -> jax.Array:
        only = jnp.asarray(targets).at[:, :4].set(0)
        return loss(head, vectors, only, None, 0.0, 0.0, None, edges)

    slope = jax.grad(alone)(tuple(map(jnp.asarray, start)))
    moved = jax.tree.map(lambda a, g: a - 0.1 * g, start, slope)
    assert np.abs(label_vectors(moved, edges)[2]).max() > 0


@pytest.mark.parametrize("kind", ["none", "graph"])
def test_scores_come_from_heads_that_never_saw_the_document(kind: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    targets = (rng.random((30, 5)) < 0.4).astype(np.float32)
    fold = np.arange(30) % 3
    found = hierarchy_scores(vectors, targets, fold, kind=kind, parents=PARENTS)
    other = targets.copy()
    other[fold == 0] = 1 - other[fold == 0]
    again = hierarchy_scores(vectors, other, fold, kind=kind, parents=PARENTS)
    np.testing.assert_array_equal(found[fold == 0], again[fold == 0])
    assert np.abs(found[fold == 1] - again[fold == 1]).max() > 0.1
