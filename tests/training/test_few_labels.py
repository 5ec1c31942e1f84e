"""Linear heads on document vectors, and what unlabelled documents are taken to be."""

import numpy as np
import pytest
from scipy.optimize import minimize

from labelgraph_jax.training.few_labels import (
    Precision,
    document_graph,
    fit_heads,
    fit_student,
    head_probabilities,
    spread_scores,
    targets_of_scores,
)


def planted(
    documents: int, seed: int = 0, labels: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1, and labels that their directions give."""
    generator = np.random.default_rng((seed, 1))
    vectors = generator.normal(size=(documents, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    heads = np.random.default_rng(0).normal(size=(6, labels))
    cut = np.array([0.5, 1.0, 1.5, 2.0][:labels])
    return vectors.astype(np.float32), (vectors @ heads > cut).astype(np.float32)


def test_a_head_is_the_optimum_of_the_weighted_sum() -> None:
    vectors, targets = planted(60)
    weights = np.random.default_rng(2).random((60, 4)).astype(np.float32)
    found = np.asarray(fit_heads(vectors, targets, weights, np.float32(3), steps=300))
    wide = np.concatenate([vectors, np.ones((60, 1))], axis=1)
    held = np.array([1 / 3] * 6 + [1 / 100])
    for label in range(4):

        def loss(head: np.ndarray, label: int = label) -> float:
            signs = 1 - 2 * targets[:, label]
            cells = np.logaddexp(0, signs * (wide @ head))
            return float(weights[:, label] @ cells + (held * head**2).sum() / 2)

        best = minimize(loss, np.zeros(7))
        assert loss(found[:, label]) == pytest.approx(best.fun, abs=1e-4)


def test_a_document_of_weight_0_teaches_nothing() -> None:
    vectors, targets = planted(60)
    weights = np.ones((60, 1), np.float32)
    weights[40:] = 0
    one = fit_heads(vectors, targets, weights, np.float32(3))
    targets[40:] = 1 - targets[40:]
    other = fit_heads(vectors, targets, weights, np.float32(3))
    np.testing.assert_array_equal(one, other)


def test_precision_is_a_curve_that_rises_through_the_shares() -> None:
    scores = np.array([[0.1, 0.2], [0.2, 0.9], [0.9, 0.9]])
    targets = np.array([[0, 0], [1, 1], [1, 0]])
    curve = Precision.measured(scores, targets)
    assert curve.of(np.array([0.0, 0.9, 1.0])) == pytest.approx([0, 2 / 3, 2 / 3])
    assert (np.diff(curve.of(np.linspace(0, 1, 20))) >= 0).all()


def test_class_aware_targets_recover_the_frequency_of_each_label() -> None:
    vectors, targets = planted(4200)
    labelled, unlabelled = vectors[:200], vectors[200:]
    head = fit_heads(
        labelled, targets[:200], np.ones((200, 1), np.float32), np.float32(30)
    )
    scores = np.asarray(head_probabilities(head, unlabelled))
    precision = Precision.measured(scores[:100], targets[200:300])
    # The prior is the true one, so that its own error does not count.
    counts = targets.mean(axis=0) * 4200
    found = targets_of_scores("cap", scores, counts, 4200, precision)
    share = found.targets.mean(axis=0)
    np.testing.assert_allclose(share, targets[200:].mean(axis=0), rtol=0.1)


@pytest.mark.parametrize("kind", ["cap", "graph", "teacher", "vat", "none"])
def test_a_label_without_a_positive_is_never_a_pseudo_positive(kind: str) -> None:
    scores = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    precision = Precision(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    found = targets_of_scores(kind, scores, np.array([4, 0, 9]), 20, precision)  # type: ignore[arg-type]
    assert not (found.targets * found.weights)[:, 1].any()
    assert found.positives[1] == 0
    assert np.isnan(found.precision[1])
    if kind in ("cap", "graph", "teacher"):
        assert found.positives[2] > 0
        assert 0 < found.precision[2] <= 1
        assert (found.weights <= 1).all()


def test_labels_spread_to_near_documents_but_not_from_documents_kept_out() -> None:
    angles = np.array([0.0, 2.0, 0.1, 2.1])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    graph = document_graph(vectors, 2)
    assert np.asarray(graph.rows)[0].tolist()[:2] == [0, 2]
    targets = np.array([[1.0, 0.0], [0.0, 1.0]])
    scores = np.zeros((2, 2))
    found = spread_scores(graph, targets, scores, np.array([True, True]))
    assert found[0, 0] > found[0, 1]
    assert found[1, 1] > found[1, 0]
    without = spread_scores(graph, targets, scores, np.array([True, False]))
    assert not without[:, 1].any()


def test_without_unlabelled_documents_the_student_is_its_teacher_bit_for_bit() -> None:
    vectors, targets = planted(40)
    teacher = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    precision = Precision(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    nothing = targets_of_scores(
        "cap", np.zeros((0, 4), np.float32), targets.sum(axis=0), 40, precision
    )
    found = fit_student(
        "cap",
        vectors,
        targets,
        np.ones(40),
        vectors[:0],
        nothing,
        teacher,
        strength=1.0,
    )
    assert found is teacher
