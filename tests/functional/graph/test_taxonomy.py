import itertools
import time

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.graph.taxonomy import (
    ancestor_matrix,
    ancestor_probabilities,
    hierarchical_counts,
    imply_ancestors,
    summarise_hierarchical_counts,
)
from tests.examples import examples
from tests.reference import taxonomy as reference

# One shape for drawn examples, so that each function is compiled once.
DOCUMENTS, LABELS, EDGES = 5, 6, 8
few_examples = examples(25)
multi_hot = hnp.arrays(np.bool_, (DOCUMENTS, LABELS))
shares = hnp.arrays(np.float32, (DOCUMENTS, LABELS), elements=st.floats(0, 1, width=16))
# Edges go from the label that is earlier in a shuffled order to a later one, so the
# graph has diamonds and shortcuts but never a cycle.
forward = list(itertools.combinations(range(LABELS), 2))
graphs = st.tuples(
    st.lists(st.sampled_from(forward), min_size=EDGES, max_size=EDGES),
    st.permutations(range(LABELS)),
).map(lambda drawn: np.array(drawn[1], np.int32)[np.array(drawn[0])])

# 0 under 1 and 2, both under 3: a diamond; 4 under 0; 5 alone.
DIAMOND = np.array([[0, 1], [0, 2], [1, 3], [2, 3], [4, 0]], np.int32)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_the_ancestors_of_a_diamond_are_all_that_lie_above():
    above = {
        i: set(np.flatnonzero(row)) for i, row in enumerate(ancestor_matrix(DIAMOND, 6))
    }
    assert above == {0: {1, 2, 3}, 1: {3}, 2: {3}, 3: set(), 4: {0, 1, 2, 3}, 5: set()}


@few_examples
@given(graphs)
def test_ancestors_equal_the_loop_and_are_a_strict_order(parents):
    ancestors = np.asarray(ancestor_matrix(parents, LABELS))
    np.testing.assert_array_equal(
        ancestors, reference.ancestor_matrix(parents.tolist(), LABELS)
    )
    assert not ancestors.diagonal().any()
    assert not (ancestors & ancestors.T).any()
    assert ((ancestors.astype(int) @ ancestors > 0) <= ancestors).all()


def test_a_chain_as_deep_as_there_are_labels_is_climbed_to_its_top():
    chain = np.array([(i, i + 1) for i in range(29)])
    np.testing.assert_array_equal(
        ancestor_matrix(chain, 30), np.triu(np.ones((30, 30), bool), k=1)
    )


def test_no_edge_means_no_ancestor():
    none = np.zeros((0, 2), np.int32)
    assert not ancestor_matrix(none, 3).any()
    decisions = np.eye(3, dtype=bool)
    nobody = np.zeros((3, 3), bool)
    np.testing.assert_array_equal(imply_ancestors(decisions, nobody), decisions)
    assert hierarchical_counts(decisions, decisions, nobody).violations == 0


@few_examples
@given(graphs, multi_hot, multi_hot)
def test_implied_decisions_equal_the_loop_and_are_a_closure(parents, some, others):
    ancestors = np.asarray(ancestor_matrix(parents, LABELS))
    implied = imply_ancestors(some, ancestors)
    np.testing.assert_array_equal(implied, reference.imply_ancestors(some, ancestors))
    np.testing.assert_array_equal(imply_ancestors(implied, ancestors), implied)
    assert (implied >= some).all()
    both = imply_ancestors(some | others, ancestors)
    np.testing.assert_array_equal(both, implied | imply_ancestors(others, ancestors))
    on_device = imply_ancestors(jnp.asarray(some), jnp.asarray(ancestors))
    assert isinstance(implied, np.ndarray) and isinstance(on_device, jax.Array)
    np.testing.assert_array_equal(on_device, implied)


@few_examples
@given(graphs, shares, st.floats(0, 1, width=16))
def test_raised_probabilities_equal_the_loop_and_give_consistent_decisions(
    parents, probabilities, threshold
):
    ancestors = np.asarray(ancestor_matrix(parents, LABELS))
    raised = ancestor_probabilities(probabilities, ancestors)
    np.testing.assert_array_equal(
        raised, reference.ancestor_probabilities(probabilities, ancestors)
    )
    np.testing.assert_array_equal(
        raised >= threshold, imply_ancestors(probabilities >= threshold, ancestors)
    )
    np.testing.assert_array_equal(
        ancestor_probabilities(jnp.asarray(probabilities), jnp.asarray(ancestors)),
        raised,
    )


@few_examples
@given(graphs, multi_hot, multi_hot)
def test_hierarchical_metrics_equal_those_of_the_sets(parents, decisions, truth):
    ancestors = np.asarray(ancestor_matrix(parents, LABELS))
    found = summarise_hierarchical_counts(
        hierarchical_counts(decisions, truth.astype(np.float32), ancestors)
    )
    expected = reference.hierarchical_metrics(decisions, truth, ancestors)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_a_prediction_near_the_truth_in_the_taxonomy_is_worth_a_share():
    # Siblings 1 and 2 under 0: two of the two augmented labels are not both wrong.
    ancestors = ancestor_matrix(np.array([[1, 0], [2, 0]]), 3)
    counts = hierarchical_counts(
        np.array([[False, True, False]]), np.array([[0, 0, 1]]), ancestors
    )
    assert summarise_hierarchical_counts(counts) == {
        "hierarchical_precision": 0.5,
        "hierarchical_recall": 0.5,
        "hierarchical_f1": 0.5,
        "taxonomy_violations": 1.0,
        "taxonomy_violations_in_truth": 1.0,
    }


def test_hierarchical_counts_add_over_batches_and_skip_padding():
    generator = np.random.default_rng(0)
    decisions, truth = generator.random((2, 7, 6)) < 0.3
    ancestors = np.asarray(ancestor_matrix(DIAMOND, 6))
    whole = hierarchical_counts(decisions, truth, ancestors)
    first = hierarchical_counts(decisions[:4], truth[:4], ancestors)
    rest = hierarchical_counts(decisions[4:], truth[4:], ancestors)
    assert first + rest == whole
    padded = hierarchical_counts(decisions, truth, ancestors, np.arange(7) < 4)
    assert padded == first
    nothing = hierarchical_counts(decisions, truth, ancestors, np.zeros(7, bool))
    assert set(summarise_hierarchical_counts(nothing).values()) == {0.0}


def test_what_is_not_annotated_counts_nowhere():
    # Truth and prediction name 1, which lies under 0.
    ancestors = np.asarray(ancestor_matrix(np.array([[1, 0]]), 2))
    named, first = np.array([[False, True]]), np.array([[True, False]])
    for mask, expected in ((first, (0, 1, 0, 1, 0, 1)), (~first, (1, 1, 1, 1, 0, 1))):
        counts = hierarchical_counts(named, named, ancestors, target_mask=mask)
        assert tuple(map(int, counts)) == expected
    counts = hierarchical_counts(named, named, ancestors)
    assert tuple(map(int, counts)) == (2, 2, 2, 1, 1, 1)


def test_every_taxonomy_function_is_the_same_eager_and_jitted():
    generator = np.random.default_rng(1)
    decisions = jnp.asarray(generator.random((4, 6)) < 0.3)
    truth = jnp.asarray(generator.random((4, 6)) < 0.3)
    scores = jnp.asarray(generator.random((4, 6)), jnp.float32)
    ancestors = ancestor_matrix(DIAMOND, 6)
    for function, arguments in (
        (lambda parents: ancestor_matrix(parents, 6), (jnp.asarray(DIAMOND),)),
        (imply_ancestors, (decisions, ancestors)),
        (ancestor_probabilities, (scores, ancestors)),
        (hierarchical_counts, (decisions, truth, ancestors)),
    ):
        eager, jitted = function(*arguments), jax.jit(function)(*arguments)
        jax.tree.map(np.testing.assert_array_equal, eager, jitted)


def test_edges_that_make_no_taxonomy_are_named():
    with pytest.raises(ValueError, match="no cycle; label 1 is its own ancestor"):
        ancestor_matrix(np.array([[0, 1], [1, 2], [2, 1]]), 3)
    with pytest.raises(ValueError, match="no cycle; label 0 is its own ancestor"):
        ancestor_matrix(np.array([[0, 0]]), 2)
    with pytest.raises(ValueError, match=r"label indices in 0..2, got 0..3"):
        ancestor_matrix(np.array([[0, 3]]), 3)
    with pytest.raises(ValueError, match="at least 1 label, got n = 0"):
        ancestor_matrix(np.zeros((0, 2), np.int32), 0)


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(child, parent\), got \(2, 3\)"):
        ancestor_matrix(jnp.zeros((2, 3), int), 4)


def test_a_deep_taxonomy_costs_edges_times_labels_and_no_more():
    levels = 3000
    pairs = np.array([[level + 1, level] for level in range(levels - 1)])
    start = time.process_time()
    found = ancestor_matrix(pairs, levels)
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(found, np.tri(levels, k=-1, dtype=bool))


def test_a_cycle_is_told_with_all_its_labels():
    pairs = np.array([[4, 3], [1, 0], [2, 1], [3, 2], [1, 3]])
    with pytest.raises(ValueError, match=r"label 1 .* 1 < 3 < 2 < 1 \(each under"):
        ancestor_matrix(pairs, 5)
    ring = np.stack([np.arange(100), (np.arange(100) + 1) % 100], axis=1)
    with pytest.raises(ValueError, match=r"0 < 1 < 2 < 3 < \.\.\. < 97 < 98 < 99 < 0"):
        ancestor_matrix(ring, 100)
