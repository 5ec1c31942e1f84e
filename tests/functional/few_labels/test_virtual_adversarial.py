"""The direction that moves labels most, against an eigenvector; its divergence."""

import jax
import numpy as np
import pytest
from scipy.special import rel_entr

import labelgraph_jax as lg

F = lg.functional


def test_the_divergence_is_that_of_scipy_also_of_large_logits():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 5, 4)) * 3
    p, q = 1 / (1 + np.exp(-ours)), 1 / (1 + np.exp(-theirs))
    wanted = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum(-1)
    np.testing.assert_allclose(F.bernoulli_divergence(ours, theirs), wanted, rtol=1e-4)
    assert np.isfinite(F.bernoulli_divergence(np.array([90.0]), np.array([-90.0])))


def test_the_direction_is_the_eigenvector_of_the_curvature():
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(6, 3)).astype(np.float32)
    x = rng.normal(size=(4, 6)).astype(np.float32)
    found = F.virtual_adversarial_direction(
        lambda x: x @ kernel, x, jax.random.key(0), radius=0.1, steps=60
    )
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), 0.1 * np.linalg.norm(x, axis=1), rtol=1e-5
    )
    for row, change in zip(x, np.asarray(found), strict=True):
        p = 1 / (1 + np.exp(-(row @ kernel)))
        curvature = kernel @ np.diag(p * (1 - p)) @ kernel.T
        top = np.linalg.eigh(curvature)[1][:, -1]
        assert abs(top @ change) / np.linalg.norm(change) > 0.99


def test_a_change_of_token_vectors_has_the_length_of_the_whole_document():
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    found = F.virtual_adversarial_direction(
        lambda x: x.sum(1), x, jax.random.key(0), radius=0.5
    )
    size = np.sqrt((x**2).sum((1, 2)))
    np.testing.assert_allclose(
        np.sqrt((np.asarray(found) ** 2).sum((1, 2))), 0.5 * size, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("logits", "x", "radius"),
    [
        (lambda x: 0 * x[:, :1], np.ones((2, 3)), 0.1),
        (lambda x: x, np.zeros((2, 3)), 0.1),
        (lambda x: x, np.ones((2, 3)), 0.0),
    ],
)
def test_nothing_that_moves_no_label_is_changed(logits, x, radius):
    found = F.virtual_adversarial_direction(logits, x, jax.random.key(0), radius=radius)
    assert found.shape == (2, 3)
    assert not found.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1.0}, "radius must be at least 0"),
        ({"probe": 0.0}, "probe must be positive"),
        ({"steps": 0}, "steps must be positive"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        F.virtual_adversarial_direction(
            lambda x: x, np.ones((1, 2)), jax.random.key(0), **options
        )
