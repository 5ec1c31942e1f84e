"""What a loop over chunks of labels gives is what the whole matrix gives."""

from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import example as example_of
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.losses.balanced import (
    class_balanced_loss,
    distribution_balanced_loss,
    negative_tolerant_loss,
)
from labelgraph_jax.functional.losses.elementwise import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
)
from labelgraph_jax.functional.many_labels.label_chunks import (
    chunked_loss,
    decision_counts,
    top_labels,
)
from labelgraph_jax.functional.many_labels.label_layout import label_layout
from tests.examples import examples
from tests.reference import label_chunks as reference

LABELS = 22
GENERATOR = np.random.default_rng(0)
COUNTS = GENERATOR.integers(0, 30, LABELS)
LOSSES = {
    "cross-entropy": (binary_cross_entropy, {}),
    "weighed, smoothed": (
        binary_cross_entropy,
        {
            "positive_weight": GENERATOR.uniform(0.5, 3, LABELS).astype(np.float32),
            "label_smoothing": 0.1,
        },
    ),
    "focal": (focal_loss, {"gamma": 1.5}),
    "asymmetric": (asymmetric_loss, {"gamma_positive": 1.0, "margin": 0.1}),
    "class-balanced": (class_balanced_loss, {"counts": COUNTS, "beta": 0.8}),
    "negative-tolerant": (
        negative_tolerant_loss,
        {"counts": COUNTS, "documents": np.full(LABELS, 90)},
    ),
    "distribution-balanced": (
        distribution_balanced_loss,
        {"counts": COUNTS, "documents": 90, "label_smoothing": 0.05},
    ),
}


@pytest.fixture
def unchecked():
    """Shapes are not checked by jaxtyping, as outside the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def example(seed=0, rows=5, features=4, labels=LABELS, places=4):
    """Documents, labels, bias, positives with holes, and a mask."""
    rng = np.random.default_rng(seed)
    documents = rng.normal(size=(rows, features)).astype(np.float32)
    vectors = rng.normal(size=(labels, features)).astype(np.float32)
    bias = rng.normal(size=labels).astype(np.float32)
    positives = np.full((rows, places), -1, np.int32)
    for row in positives:
        count = rng.integers(0, min(places, labels) + 1)
        row[rng.permutation(places)[:count]] = rng.permutation(labels)[:count]
    mask = np.arange(rows) != rows - 2
    return (documents, vectors, bias, positives), mask


def multi_hot(positives, labels):
    targets = np.zeros((len(positives), labels), np.float32)
    for row, ids in enumerate(positives):
        targets[row, ids[ids >= 0]] = 1
    return targets


def dense(loss, arrays, mask, options):
    documents, labels, bias, positives = arrays
    targets = multi_hot(np.asarray(positives), len(labels))
    logits = jnp.asarray(documents) @ jnp.asarray(labels).T + bias
    return loss(logits, targets, example_mask=mask, **options)


def with_gradient(function, arrays, form=lambda f: f):
    def of(factors):
        return function((*factors, arrays[3]))

    return form(jax.value_and_grad(of, has_aux=True))(arrays[:3])


@pytest.mark.parametrize(
    ("name", "chunk"),
    [*((name, 6) for name in LOSSES), ("cross-entropy", 1), ("cross-entropy", 100)],
)
def test_a_chunked_loss_and_its_gradient_are_those_of_the_dense_one(name, chunk):
    loss, options = LOSSES[name]
    arrays, mask = example()

    def chunked(arrays):
        return chunked_loss(
            *arrays, loss=loss, example_mask=mask, chunk=chunk, **options
        )

    expected = with_gradient(lambda a: dense(loss, a, mask, options), arrays, jax.jit)
    np.testing.assert_allclose(chunked(arrays), expected[0], rtol=2e-6)
    found = with_gradient(chunked, arrays, jax.jit)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
        found,
        expected,
    )


def test_the_gradient_is_the_same_without_jit():
    arrays, mask = example()

    def chunked(arrays):
        return chunked_loss(*arrays, example_mask=mask, chunk=6)

    found = with_gradient(chunked, arrays)
    compiled = with_gradient(chunked, arrays, jax.jit)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
        found,
        compiled,
    )


@examples(6)
@given(
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(0, 5),
    st.integers(1, 40),
    st.integers(0, 10**6),
)
@example_of(rows=2, labels=1, places=0, chunk=5, seed=0)
@example_of(rows=1, labels=13, places=2, chunk=1, seed=1)
def test_any_shape_and_chunk_gives_the_sum_of_the_cells(
    rows, labels, places, chunk, seed
):
    arrays, _ = example(seed, rows, 2, labels, places)
    mask = np.random.default_rng(seed).random(rows) < 0.7
    found = chunked_loss(*arrays, example_mask=mask, chunk=chunk)
    expected = reference.cross_entropy(*arrays, mask)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 5, 12, 48, 200])
@pytest.mark.parametrize("labels", [1, 7, 96, 101])
def test_chunks_hold_every_label_once_and_their_ids_ascend(labels, chunk):
    layout = label_layout(labels, chunk)
    seen = []
    everything = jnp.arange(labels)
    rebuilt = jnp.zeros(labels, int)
    for number in range(layout.chunks):
        number = jnp.int32(number)
        ids = np.asarray(layout.ids(number))
        assert len(ids) <= chunk
        assert (np.diff(ids) > 0).all()
        piece = layout.take(everything, number)
        np.testing.assert_array_equal(piece, ids)
        rebuilt = layout.put(rebuilt, piece, number)
        seen += ids[np.asarray(layout.is_new(number))].tolist()
    assert sorted(seen) == list(range(labels))
    np.testing.assert_array_equal(rebuilt, everything)


def test_labels_that_a_mesh_divides_are_cut_into_shares_of_every_device():
    assert label_layout(1_000_000, 4096).shares % 8 == 0
    assert label_layout(12, 4096).shares % 6 == 0
    assert label_layout(101, 4096).shares == 1


def test_a_loss_may_be_given_as_a_partial():
    arrays, mask = example()
    loss = partial(focal_loss, gamma=3.0)
    whole = chunked_loss(*arrays, loss=focal_loss, gamma=3.0, example_mask=mask)
    assert chunked_loss(*arrays, loss=loss, example_mask=mask) == whole


def test_padding_adds_nothing_and_gets_no_gradient_even_if_it_is_no_number():
    arrays, mask = example()
    arrays[0][~mask] = np.nan
    (loss, weight), gradient = with_gradient(
        lambda a: chunked_loss(*a, example_mask=mask, chunk=8), arrays
    )
    assert np.isfinite(loss)
    assert weight == mask.sum() * LABELS
    assert all(np.isfinite(part).all() for part in gradient)
    assert not gradient[0][~mask].any()


def test_a_batch_of_padding_alone_is_zero_with_zero_gradient():
    arrays, mask = example()
    (loss, weight), gradient = with_gradient(
        lambda a: chunked_loss(*a, example_mask=mask & False, chunk=8), arrays
    )
    assert loss == weight == 0
    assert not any(np.any(part) for part in gradient)


def test_bfloat16_vectors_give_a_float32_loss_and_gradients_of_their_own_type():
    arrays, mask = example()
    narrow = tuple(jnp.asarray(a, jnp.bfloat16) for a in arrays[:3])
    wide = tuple(a.astype(jnp.float32) for a in narrow)
    found = with_gradient(
        lambda a: chunked_loss(*a, example_mask=mask, chunk=8), (*narrow, arrays[3])
    )
    expected = with_gradient(
        lambda a: chunked_loss(*a, example_mask=mask, chunk=8), (*wide, arrays[3])
    )
    assert found[0][0].dtype == jnp.float32
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for part, other in zip(found[1], expected[1], strict=True):
        assert part.dtype == jnp.bfloat16
        np.testing.assert_allclose(part.astype(np.float32), other, rtol=0.02, atol=0.02)


def test_the_whole_matrix_of_logits_is_never_made():
    arrays, mask = example(labels=960)

    def loss(documents, labels, bias):
        return chunked_loss(
            documents, labels, bias, arrays[3], example_mask=mask, chunk=96
        )[0]

    program = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*arrays[:3]).as_text()
    assert "5x96x" in program
    assert "5x960x" not in program


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk": 0}, "chunk must be at least 1 label, got 0"),
        ({"positive_weight": np.ones(3)}, r"positive_weight must be one number per la"),
        ({"label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\), got 1.0"),
        ({"loss": class_balanced_loss}, "class_balanced_loss needs counts"),
        ({"loss": partial(focal_loss, 1)}, "takes keywords alone"),
        ({"loss": focal_loss, "gamma": -1.0}, "gamma must be >= 0, got -1.0"),
        (
            {"loss": class_balanced_loss, "counts": COUNTS, "gamma": -1.0},
            "gamma must be >= 0, got -1.0",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arrays, _ = example()
    with pytest.raises(ValueError, match=message):
        chunked_loss(*arrays, **change)


@pytest.mark.parametrize(
    ("labels", "chunk"), [(1, 4), (22, 1), (22, 5), (24, 12), (29, 100)]
)
def test_the_best_labels_are_those_of_a_stable_argsort(labels, chunk):
    rng = np.random.default_rng(labels)
    # Few distinct scores, so that many are equal.
    documents = rng.integers(-1, 2, (6, 3)).astype(np.float32)
    vectors = rng.integers(-1, 2, (labels, 3)).astype(np.float32)
    bias = rng.integers(-1, 2, labels).astype(np.float32)
    k = min(labels, 7)
    logits, ids = top_labels(documents, vectors, bias, k=k, chunk=chunk)
    scores = np.asarray(reference.logits(documents, vectors, bias))
    np.testing.assert_array_equal(ids, reference.top_labels(scores, k))
    np.testing.assert_array_equal(logits, np.take_along_axis(scores, ids, axis=1))
    assert ids.dtype == jnp.int32
    assert logits.dtype == jnp.float32


def test_all_labels_can_be_ranked_even_where_scores_are_minus_infinity():
    bias = np.array([-np.inf, 1, -np.inf, 2, 1, -np.inf, 0], np.float32)
    _, ids = top_labels(np.ones((1, 1)), np.zeros((7, 1)), bias, k=7, chunk=3)
    assert ids[0].tolist() == [3, 1, 4, 6, 0, 2, 5]


def test_shapes_that_do_not_fit_are_named(unchecked):
    (documents, labels, bias, positives), _ = example()
    with pytest.raises(ValueError, match=r"together: got \(5, 4\), \(22, 4\), \(3,"):
        chunked_loss(documents, labels, bias[:3], positives)


@pytest.mark.parametrize("k", [0, 23])
def test_more_best_labels_than_labels_are_refused(k):
    arrays, _ = example()
    with pytest.raises(ValueError, match=f"got k = {k} of 22 labels"):
        top_labels(*arrays[:3], k=k)


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("chunk", [1, 6])
def test_decisions_are_counted_as_in_a_loop(chunk, at_least_one):
    arrays, mask = example(3)
    thresholds = np.random.default_rng(1).uniform(0.6, 0.99, LABELS).astype(np.float32)
    counts = decision_counts(
        *arrays, thresholds, example_mask=mask, at_least_one=at_least_one, chunk=chunk
    )
    of_labels, of_documents = reference.decision_counts(
        reference.logits(*arrays[:3]), arrays[3], thresholds, mask, at_least_one
    )
    np.testing.assert_array_equal(counts[:3], of_labels)
    np.testing.assert_array_equal(counts.documents, of_documents)


def test_thresholds_of_another_length_are_refused(unchecked):
    arrays, _ = example()
    with pytest.raises(ValueError, match=r"each of 22 labels, got the shape \(3,\)"):
        decision_counts(*arrays, np.ones(3, np.float32))
