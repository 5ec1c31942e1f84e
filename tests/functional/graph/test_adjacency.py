import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.graph.adjacency import (
    adjacency_statistics,
    conditional_adjacency,
    cooccurrence,
    identity_adjacency,
    random_adjacency,
    similarity_adjacency,
    taxonomy_adjacency,
    thresholded_adjacency,
    xavier_adjacency,
)
from tests.examples import examples
from tests.reference import adjacency as reference

# One shape for drawn examples, so that each function is compiled once.
DOCUMENTS, LABELS = 7, 5
multi_hot = hnp.arrays(np.bool_, (DOCUMENTS, LABELS))
few_examples = examples(20)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def some_targets(seed=0, documents=30, labels=6):
    return np.random.default_rng(seed).random((documents, labels)) < 0.3


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.float32, jnp.bfloat16])
def test_cooccurrence_counts_documents_like_the_loop(dtype):
    targets = some_targets()
    counts = cooccurrence(jnp.asarray(targets, dtype))
    assert counts.dtype == jnp.float32
    np.testing.assert_array_equal(counts, reference.cooccurrence(targets))


def test_cooccurrence_of_chunks_adds_up():
    targets = some_targets()
    whole = cooccurrence(targets)
    np.testing.assert_array_equal(
        whole, cooccurrence(targets[:11]) + cooccurrence(targets[11:])
    )


def test_cooccurrence_of_no_documents_is_zero():
    np.testing.assert_array_equal(cooccurrence(np.zeros((0, 3))), np.zeros((3, 3)))


@few_examples
@given(multi_hot, st.permutations(range(LABELS)))
def test_permuting_labels_permutes_every_adjacency(targets, order):
    order = np.array(order)
    counts, moved = cooccurrence(targets), cooccurrence(targets[:, order])
    np.testing.assert_array_equal(moved, counts[order][:, order])
    for build in (
        conditional_adjacency,
        lambda c: thresholded_adjacency(c, tau=0.4, p=0.2),
    ):
        np.testing.assert_allclose(build(moved), build(counts)[order][:, order])


@few_examples
@given(multi_hot)
def test_conditional_adjacency_holds_probabilities_with_a_diagonal_of_one(targets):
    counts = cooccurrence(targets)
    adjacency = conditional_adjacency(counts)
    assert ((adjacency >= 0) & (adjacency <= 1)).all()
    np.testing.assert_array_equal(jnp.diagonal(adjacency), np.ones(LABELS))
    np.testing.assert_allclose(adjacency, reference.conditional_adjacency(counts))


def test_conditional_adjacency_divides_each_row_by_the_count_of_its_own_label():
    # Label 0 in four documents, label 1 in one of those.
    counts = cooccurrence(np.array([[1, 1], [1, 0], [1, 0], [1, 0]]))
    adjacency = conditional_adjacency(counts)
    assert adjacency[0, 1] == 0.25
    assert adjacency[1, 0] == 1.0


def test_a_label_without_a_document_receives_from_itself_alone():
    counts = cooccurrence(np.array([[1, 0, 1], [1, 0, 0]]))
    np.testing.assert_array_equal(conditional_adjacency(counts)[1], [0, 1, 0])
    np.testing.assert_array_equal(
        thresholded_adjacency(counts, tau=0.1, p=0.2)[1], [0, 1, 0]
    )


@few_examples
@given(multi_hot, st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([0.0, 0.2, 0.9]))
def test_rows_of_the_thresholded_adjacency_sum_to_one(targets, tau, p):
    counts = cooccurrence(targets)
    adjacency = thresholded_adjacency(counts, tau=tau, p=p)
    np.testing.assert_allclose(adjacency.sum(axis=1), np.ones(LABELS), rtol=1e-6)
    # Where a probability meets tau exactly, its float32 rounding decides.
    probabilities = np.asarray(counts) / np.maximum(np.diagonal(counts), 1)[:, None]
    if (np.abs(probabilities - tau) > 1e-6).all():
        np.testing.assert_allclose(
            adjacency, reference.thresholded_adjacency(counts, tau, p), rtol=1e-6
        )


@pytest.mark.parametrize(
    "parents", [[], [(0, 3)], [(0, 3), (1, 3), (2, 3), (3, 4)], [(0, 1), (0, 2)]]
)
def test_taxonomy_adjacency_joins_children_and_parents_both_ways(parents):
    pairs = np.array(parents, np.int32).reshape(-1, 2)
    adjacency = taxonomy_adjacency(pairs, 5)
    np.testing.assert_array_equal(adjacency, reference.taxonomy_adjacency(parents, 5))


@few_examples
@given(st.integers(0, 999), st.sampled_from([1, 3, 9]))
def test_similarity_adjacency_equals_the_loop(seed, neighbours):
    features = np.random.default_rng(seed).normal(size=(LABELS, 3))
    adjacency = similarity_adjacency(np.float32(features), neighbours=neighbours)
    expected = reference.similarity_adjacency(features, neighbours)
    np.testing.assert_allclose(adjacency, expected, atol=1e-6)


def test_of_equally_alike_labels_the_earlier_ones_are_heard():
    features = np.array([[1, 0], [0, 3], [1, 1], [0, 1], [2, 0]], np.float32)
    adjacency = similarity_adjacency(features, neighbours=1)
    half = np.sqrt(0.5)
    expected = np.eye(5, dtype=np.float32)
    expected[0, 4] = expected[4, 0] = expected[1, 3] = expected[3, 1] = 1.0
    expected[2, 0] = half
    np.testing.assert_allclose(adjacency, expected, rtol=1e-6)


def test_a_label_without_features_or_with_opposite_ones_is_like_no_other():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [-2.0, 0.0]], np.float32)
    np.testing.assert_array_equal(similarity_adjacency(features), np.eye(3))


def test_drawn_adjacencies_keep_to_their_ranges_and_follow_the_key():
    key = jax.random.key(3)
    uniform, signed = random_adjacency(key, 40), xavier_adjacency(key, 40)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.05
    bound = np.sqrt(6 / 80)
    assert np.abs(signed).max() <= bound
    assert np.abs(signed).max() > 0.95 * bound
    assert abs(float((signed < 0).mean()) - 0.5) < 0.05
    np.testing.assert_array_equal(uniform, random_adjacency(key, 40))
    assert (uniform != random_adjacency(jax.random.key(4), 40)).any()


@few_examples
@given(
    hnp.arrays(np.float32, (LABELS, LABELS), elements=st.sampled_from([0, 0, -1, 2]))
)
def test_statistics_equal_the_loop(adjacency):
    found = adjacency_statistics(adjacency)._asdict()
    expected = reference.adjacency_statistics(adjacency)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)


def test_a_single_label_is_a_graph_too():
    counts = cooccurrence(np.ones((3, 1)))
    for adjacency in (
        identity_adjacency(1),
        conditional_adjacency(counts),
        thresholded_adjacency(counts),
        taxonomy_adjacency(np.zeros((0, 2), np.int32), 1),
        similarity_adjacency(np.ones((1, 2), np.float32)),
    ):
        np.testing.assert_array_equal(adjacency, [[1.0]])
    assert adjacency_statistics(identity_adjacency(1)).density == 0


def test_every_adjacency_is_the_same_eager_and_jitted():
    targets = jnp.asarray(some_targets())
    parents = jnp.array([[0, 1], [2, 1]])
    for build, argument in (
        (cooccurrence, targets),
        (lambda t: conditional_adjacency(cooccurrence(t)), targets),
        (lambda t: thresholded_adjacency(cooccurrence(t), tau=0.3), targets),
        (lambda p: taxonomy_adjacency(p, 4), parents),
        (lambda f: similarity_adjacency(f, neighbours=2), jnp.float32(targets)),
        (lambda t: adjacency_statistics(cooccurrence(t)), targets),
    ):
        for eager, jitted in zip(
            jax.tree.leaves(build(argument)),
            jax.tree.leaves(jax.jit(build)(argument)),
            strict=True,
        ):
            np.testing.assert_allclose(eager, jitted, rtol=1e-6)


def test_numbers_out_of_range_are_named():
    counts = jnp.eye(3)
    with pytest.raises(ValueError, match=r"tau must lie in \(0, 1\], got 0"):
        thresholded_adjacency(counts, tau=0.0)
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\), got 1.5"):
        thresholded_adjacency(counts, p=1.5)
    with pytest.raises(ValueError, match=r"neighbours must be at least 1, got 0"):
        similarity_adjacency(jnp.eye(3), neighbours=0)
    with pytest.raises(ValueError, match=r"label indices in 0..2, got 0..3"):
        taxonomy_adjacency(np.array([[0, 3]]), 3)
    with pytest.raises(ValueError, match=r"label indices in 0..2, got -1..0"):
        taxonomy_adjacency(np.array([[0, -1]]), 3)
    for build in (
        identity_adjacency,
        lambda n: random_adjacency(jax.random.key(0), n),
        lambda n: xavier_adjacency(jax.random.key(0), n),
        lambda n: taxonomy_adjacency(np.zeros((0, 2), np.int32), n),
    ):
        with pytest.raises(ValueError, match="at least 1 label, got n = 0"):
            build(0)


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\[documents, labels\], got \(3,\)"):
        cooccurrence(jnp.zeros(3))
    with pytest.raises(ValueError, match=r"\[labels, features\], got \(3,\)"):
        similarity_adjacency(jnp.zeros(3))
    for build, name in (
        (conditional_adjacency, "counts"),
        (thresholded_adjacency, "counts"),
        (adjacency_statistics, "adjacency"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must have .* got \(2, 3\)"):
            build(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"\(child, parent\), got \(2, 3\)"):
        taxonomy_adjacency(jnp.zeros((2, 3), int), 4)
