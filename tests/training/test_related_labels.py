"""Linear heads under a prior of all labels: their optimum, and what a graph adds."""

import numpy as np
import pytest
from scipy.optimize import minimize

from labelgraph_jax.training.few_labels import BIAS_STRENGTH
from labelgraph_jax.training.related_labels import fit_related_heads, label_prior

M, N, D = 40, 5, 3


def drawn(seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(M, D)).astype(np.float32)
    names = rng.normal(size=(N, D)).astype(np.float32)
    scores = vectors @ names.T + rng.normal(size=(M, N))
    message = rng.random((N, N))
    return vectors, (scores > 0).astype(np.float32), names, message / message.sum(1)


@pytest.mark.parametrize("form", ["free", "free + features + message"])
def test_the_head_is_the_optimum_of_its_sum(form) -> None:
    vectors, targets, names, message = drawn()
    prior = label_prior(form, [message], names, heads=1)
    q, v, features = (np.asarray(x, float) for x in prior)
    strength, usual = 3.0, np.log(targets.sum(0) + 0.5)
    usual -= np.log(M - targets.sum(0) + 0.5)
    kinds = int(np.any(features)) * len(features)

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        free, shared = x[: D * N].reshape(D, N), x[D * N : D * N + kinds]
        head = free @ (q * np.sqrt(v)).T
        if kinds:
            head = head + np.einsum("k,knd->dn", shared, features)
        return free, head, x[D * N + kinds :]

    def total(x: np.ndarray) -> float:
        free, head, bias = parts(x)
        centred = vectors - vectors.mean(axis=0)
        logits = centred @ head + bias
        loss = np.logaddexp(0, logits) - targets * logits
        held = (free**2).sum() / (2 * strength)
        return loss.sum() + held + ((bias - usual) ** 2).sum() / (2 * BIAS_STRENGTH)

    best = minimize(total, np.zeros(D * N + kinds + N), method="L-BFGS-B")
    found = fit_related_heads(
        vectors, targets, np.ones(M, np.float32), np.float32(strength), prior, steps=500
    )
    _, head, bias = parts(best.x)
    np.testing.assert_allclose(found[:-1], head, atol=0.02)
    np.testing.assert_allclose(found[-1], bias - vectors.mean(0) @ head, atol=0.02)


def test_a_label_without_documents_receives_from_its_neighbour() -> None:
    vectors, targets, names, _ = drawn()
    targets[:, 0] = 0
    message = np.eye(N)
    message[0] = [0.5, 0.5, 0, 0, 0]
    silent = np.zeros_like(names)
    once, strength = np.ones(M, np.float32), np.float32(10)
    alone, beside = (
        np.asarray(fit_related_heads(vectors, targets, once, strength, prior))
        for prior in (
            label_prior("free", [message], silent, heads=1),
            label_prior("free + message", [message], silent, heads=1),
        )
    )

    def alike(head: np.ndarray) -> float:
        one, other = head[:-1, 0], head[:-1, 1]
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    assert alike(beside) > alike(alone) + 0.1


def test_documents_of_no_weight_are_not_read() -> None:
    vectors, targets, names, message = drawn()
    prior = label_prior("features + message", [message], names, heads=1)
    weights = np.ones(M, np.float32)
    weights[30:] = 0
    found = [
        fit_related_heads(x, y, w, np.float32(3), prior, steps=300)
        for x, y, w in (
            (vectors, targets, weights),
            (vectors[:30], targets[:30], weights[:30]),
        )
    ]
    np.testing.assert_allclose(*found, atol=1e-3)
