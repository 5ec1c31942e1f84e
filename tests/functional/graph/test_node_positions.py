import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.graph.node_positions import node_positions
from tests.examples import examples


def two_groups():
    """Nodes 0-4 and 5-9, each group connected within itself alone."""
    weights = np.zeros((10, 10))
    weights[:5, :5] = weights[5:, 5:] = 1.0
    return weights


def test_nodes_that_are_connected_stand_nearer_than_those_that_are_not():
    found = np.asarray(node_positions(two_groups()))
    distance = np.linalg.norm(found[:, None] - found[None], axis=-1)
    same = two_groups() > 0
    np.fill_diagonal(same, False)
    assert distance[same].max() < distance[:5, 5:].min()


def test_the_same_graph_is_placed_alike_eager_and_jitted():
    first, again = (np.asarray(node_positions(two_groups())) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    with jax.disable_jit():
        eager = node_positions(two_groups()[:4, :4], steps=2)
    np.testing.assert_allclose(
        eager, node_positions(two_groups()[:4, :4], steps=2), atol=1e-4
    )


def test_one_step_is_the_formula():
    weights = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    spring = (weights + weights.T) / 2
    spring /= spring.max()
    ideal = 1 / np.sqrt(3)
    start = []
    for place in range(3):
        radius, angle = np.sqrt((place + 0.5) / 3), place * 2.399963229728653
        start.append([radius * np.cos(angle), radius * np.sin(angle)])
    moved = np.zeros((3, 2))
    for i in range(3):
        force = -0.1 * np.array(start[i]) / ideal
        for j in range(3):
            apart = np.subtract(start[i], start[j])
            distance = max(np.linalg.norm(apart), 1e-3)
            force = force + apart * (
                ideal**2 / distance**2 - spring[i, j] * distance / ideal
            )
        length = np.linalg.norm(force)
        moved[i] = start[i] + force / length * min(length, 0.2)
    moved -= moved.mean(0)
    moved /= np.abs(moved).max()
    np.testing.assert_allclose(node_positions(weights, steps=1), moved, atol=1e-5)


@examples(15)
@given(seed=st.integers(0, 99), density=st.floats(0, 1))
def test_positions_are_finite_within_the_unit_square_and_apart(seed, density):
    rng = np.random.default_rng(seed)
    weights = rng.random((6, 6)) * (rng.random((6, 6)) < density)
    found = np.asarray(node_positions(weights))
    assert np.isfinite(found).all() and np.abs(found).max() <= 1.0 + 1e-6
    distance = np.linalg.norm(found[:, None] - found[None], axis=-1)
    assert distance[~np.eye(6, dtype=bool)].min() > 1e-3


def test_a_single_node_and_a_graph_without_edges_have_positions():
    np.testing.assert_array_equal(node_positions(np.zeros((1, 1))), [[0.0, 0.0]])
    assert np.isfinite(node_positions(np.zeros((4, 4)))).all()
