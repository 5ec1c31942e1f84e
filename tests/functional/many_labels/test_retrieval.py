import re
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.many_labels import label_lists, retrieval
from labelgraph_jax.functional.many_labels.label_lists import LabelScores
from tests.examples import examples
from tests.reference import retrieval as reference

LABELS = 6


def draw(seed: int, queries: int = 3, keys: int = 11, width: int = 4):
    """Queries, keys, up to three labels per key, and a weight per key."""
    generator = np.random.default_rng(seed)
    ids = np.full((keys, 3), -1, np.int32)
    for row in ids:
        own = generator.permutation(LABELS)[: generator.integers(0, 4)]
        row[: len(own)] = own
    return (
        generator.normal(size=(queries, width)).astype(np.float32),
        generator.normal(size=(keys, width)).astype(np.float32),
        ids,
        generator.random(keys).astype(np.float32),
    )


@pytest.mark.parametrize("chunk", [1, 4, 11, 8192])
@pytest.mark.parametrize("k", [1, 5, 11])
def test_the_nearest_keys_are_those_of_plain_loops_whatever_the_chunk(
    k: int, chunk: int
) -> None:
    queries, keys, _, _ = draw(0)
    similarities, rows = reference.nearest_keys(queries, keys, k)
    got = retrieval.nearest_keys(queries, keys, k=k, chunk=chunk)
    np.testing.assert_array_equal(got.rows, rows)
    np.testing.assert_allclose(got.similarities, similarities, rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_the_scores_are_those_of_plain_loops(wrap) -> None:
    queries, keys, ids, weights = draw(1)
    options = {"labels": LABELS, "temperature": 0.3, "k": 7}
    scores = wrap(partial(retrieval.memory_scores, chunk=4, **options))
    expected = reference.memory_scores(queries, keys, ids, weights, **options)
    np.testing.assert_allclose(scores(queries, keys, ids, weights), expected, atol=1e-6)


def test_eager_and_jitted_lists_are_equal() -> None:
    queries, keys, ids, weights = draw(2)
    labels = partial(retrieval.memory_labels, temperature=0.3, k=7, chunk=8)
    with jax.disable_jit():
        eager = labels(queries, keys, ids, weights)
    jitted = jax.jit(labels)(queries, keys, ids, weights)
    np.testing.assert_array_equal(eager.ids, jitted.ids)
    np.testing.assert_allclose(eager.scores, jitted.scores, atol=1e-6)


def test_all_keys_as_neighbours_are_a_whole_softmax_times_the_values() -> None:
    queries, keys, ids, weights = draw(3)
    values = np.zeros((len(keys), LABELS + 1), np.float32)
    values[np.arange(len(keys))[:, None], ids] = weights[:, None]
    expected = jax.nn.softmax(queries @ keys.T / 0.2) @ values[:, :LABELS]
    got = retrieval.memory_scores(
        queries, keys, ids, weights, labels=LABELS, temperature=0.2, k=len(keys)
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_one_key_gives_its_labels_their_whole_weight() -> None:
    found = retrieval.memory_labels(
        np.ones((2, 3), np.float32),
        np.ones((1, 3), np.float32),
        np.int32([[4, -1]]),
        temperature=0.1,
        k=1,
    )
    np.testing.assert_array_equal(found.ids, [[4, -1], [4, -1]])
    np.testing.assert_array_equal(found.scores, [[1, 0], [1, 0]])


def test_of_identical_keys_the_first_are_taken_and_share_alike() -> None:
    queries, keys = np.ones((1, 2), np.float32), np.ones((7, 2), np.float32)
    near = retrieval.nearest_keys(queries, keys, k=4, chunk=3)
    np.testing.assert_array_equal(near.rows, [[0, 1, 2, 3]])
    ids = np.arange(7, dtype=np.int32)[:, None] // 2
    found = retrieval.memory_labels(queries, keys, ids, temperature=0.01, k=4, chunk=3)
    np.testing.assert_array_equal(found.ids, [[0, 1, -1, -1]])
    np.testing.assert_allclose(found.scores, [[0.5, 0.5, 0, 0]])


def test_negative_and_positive_zero_products_are_a_tie() -> None:
    queries = np.float32([[-1.0, 0.0]])
    keys = np.float32([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0]])
    near = retrieval.nearest_keys(queries, keys, k=3, chunk=1)
    np.testing.assert_array_equal(near.rows, [[0, 1, 2]])


@examples(12)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 6))
def test_the_best_of_a_mixture_from_lists_are_the_best_of_the_whole(
    seed: int, weight: float, k: int
) -> None:
    queries, keys, ids, weights = draw(seed)
    found = retrieval.memory_labels(
        queries, keys, ids, weights, temperature=0.5, k=4, chunk=4
    )
    classifier = np.random.default_rng(seed).random((3, LABELS), np.float32)
    memory = np.asarray(label_lists.dense_scores(found, LABELS))
    whole = np.asarray(label_lists.mix_scores(classifier, memory, weight=weight))
    listed = reference.top_scores(classifier, 4)
    at_memory = np.take_along_axis(classifier, np.maximum(found.ids, 0), axis=1)
    got = label_lists.mix_top_labels(
        listed, found, at_memory, weight=weight, k=min(k, 4)
    )
    expected = reference.top_scores(whole, min(k, 4))
    if weight < 1:  # else labels in neither list tie at 0
        np.testing.assert_array_equal(got.ids, expected[0])
    np.testing.assert_array_equal(got.scores, expected[1])


@examples(12)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.2, 3.0]))
def test_the_scores_of_a_query_add_up_to_what_its_neighbours_carry(
    seed: int, temperature: float
) -> None:
    queries, keys, _, _ = draw(seed)
    one_each = np.arange(len(keys), dtype=np.int32)[:, None] % LABELS
    found = retrieval.memory_labels(
        queries, keys, one_each, temperature=temperature, k=5
    )
    np.testing.assert_allclose(found.scores.sum(axis=1), 1, atol=1e-5)
    for row in np.asarray(found.ids):
        real = row[row >= 0]
        assert (np.diff(real) > 0).all()
        assert (row[len(real) :] == -1).all()


def test_with_weight_0_the_mixture_is_exactly_the_classifier() -> None:
    classifier = np.random.default_rng(0).random((5, 7), np.float32)
    got = label_lists.mix_scores(classifier, np.ones_like(classifier), weight=0.0)
    np.testing.assert_array_equal(got, classifier)


def test_extreme_products_give_neither_nan_nor_infinity() -> None:
    queries = np.float32([[1e18, 0], [-1e18, 0]])
    keys = np.float32([[1e18, 0], [-1e18, 0], [0, 0]])
    scores = retrieval.memory_scores(
        queries, keys, np.int32([[0], [1], [2]]), labels=3, temperature=1e-2, k=3
    )
    np.testing.assert_array_equal(scores, [[1, 0, 0], [0, 1, 0]])


def test_keys_without_labels_score_nothing() -> None:
    queries, keys, ids, _ = draw(4)
    found = retrieval.memory_labels(
        queries, keys, np.full_like(ids, -1), temperature=0.3, k=3
    )
    assert (np.asarray(found.ids) == -1).all()
    assert (np.asarray(found.scores) == 0).all()


def test_scores_of_labels_are_looked_up_in_a_list() -> None:
    found = LabelScores(jnp.int32([[1, 4, -1]]), jnp.float32([[0.5, 0.25, 0.0]]))
    got = label_lists.scores_at(found, np.int32([[4, -1, 0, 1, 9]]))
    np.testing.assert_array_equal(got, [[0.25, 0, 0, 0.5, 0]])


def test_the_matrix_holds_no_label_beyond_its_last() -> None:
    found = LabelScores(jnp.int32([[1, 9, -1]]), jnp.float32([[0.5, 1.0, 2.0]]))
    np.testing.assert_array_equal(label_lists.dense_scores(found, 3), [[0, 0.5, 0]])


def memory(queries, keys, ids, weights, **options):
    options = {"temperature": 0.1, "k": 2} | options
    return retrieval.memory_labels(queries, keys, ids, weights, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k, i, w: memory(q, k, i, w, k=12), "number of keys, 11; got 12"),
        (lambda q, k, i, w: memory(q, k, i, w, k=0), "between 1 and .* got 0"),
        (lambda q, k, i, w: memory(q, k, i, w, chunk=0), "chunk must be >= 1, got 0"),
        (
            lambda q, k, i, w: memory(q, k, i, w, temperature=0.0),
            "temperature must be above 0, got 0.0",
        ),
        (
            lambda q, k, i, w: label_lists.mix_scores(q, q, weight=-0.1),
            r"weight of the memory must lie in \[0, 1\], got -0.1",
        ),
        (
            lambda q, k, i, w: label_lists.top_scores(LabelScores(i, i), k=0),
            "k must be >= 1, got 0",
        ),
        (
            lambda q, k, i, w: label_lists.mix_top_labels(
                (i, i * 1.0), (i, i * 1.0), i * 1.0, weight=0.0, k=0
            ),
            "k must be >= 1, got 0",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(*draw(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q, k, i, w: memory(q[:, :2], k, i, w), "one width, got 2 and 4"),
        (lambda q, k, i, w: memory(q, k, i[:3], w), "label_ids must have one row"),
        (lambda q, k, i, w: memory(q, k, i, w[:3]), "weights must have one row"),
        (
            lambda q, k, i, w: label_lists.mix_scores(q, q[:1], weight=0.1),
            r"one shape, got \(3, 4\) and \(1, 4\)",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call, message: str) -> None:
    # The shapes in the signatures, which tests check, refuse them first.
    with pytest.raises((ValueError, jaxtyping.TypeCheckError)) as refused:
        call(*draw(0))
    if isinstance(refused.value, ValueError):
        assert re.search(message, str(refused.value))
