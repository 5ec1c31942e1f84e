"""Adapting heads to other documents: planted shifts, alignments and choices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.training.adaptation import KINDS, Head, fit_adapted, prior_odds
from labelgraph_jax.training.adaptation_choice import choose_adaptation, information
from labelgraph_jax.training.domains import (
    DOMAIN,
    alignment,
    domain_logits,
    domain_loss,
    domain_parameters,
    domain_probe,
    relative_coral,
    reversal_scale,
)

DIM, LABELS, COUNT = 16, 6, 800


def planted(
    seed: int, *, nuisance: float = 3.0, leak: float = 2.0, rarer: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Source, target and test vectors with their labels.

    One direction tells the domain, and of source documents the number of their labels
    as well; five others the labels, which are `rarer` in the target.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(5, LABELS)) * 1.5
    turned = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    parts = []
    for is_target in (False, True, True):
        z = rng.normal(size=(COUNT, DIM))
        noise = rng.normal(size=(COUNT, LABELS)) * 0.5
        y = (z[:, :5] @ weights + noise > 1.2 + rarer * is_target).astype(np.float32)
        z[:, -1] *= 0.5
        z[:, -1] += nuisance if is_target else leak * (y.mean(1) - y.mean())
        parts += [(z @ turned).astype(np.float32), y]
    return tuple(parts)


def micro_f1(head: Head, vectors: np.ndarray, truth: np.ndarray) -> float:
    decided = head.probabilities(vectors) >= 0.5
    return float(200 * (decided * truth).sum() / (decided.sum() + truth.sum()))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_adversary_takes_a_planted_nuisance_out_and_closes_the_gap(
    seed: int,
) -> None:
    source, labels, target, hidden, test, truth = planted(seed)
    key = jax.random.key(seed + 10)
    heads = {
        "none": fit_adapted("none", source, labels, target, key),
        "adversarial": fit_adapted("adversarial", source, labels, target, key),
        "oracle": fit_adapted("none", target, hidden, target, key),
    }
    f1 = {name: micro_f1(head, test, truth) for name, head in heads.items()}
    gap = f1["oracle"] - f1["none"]
    assert gap > 5
    assert f1["adversarial"] - f1["none"] >= 0.5 * gap
    assert domain_probe(source, target, key)[0] >= 0.95
    adapted = heads["adversarial"].features
    assert domain_probe(adapted(source), adapted(target), key)[0] <= 0.65


@pytest.mark.parametrize(
    "shift",
    [{}, {"nuisance": 0.0, "leak": 0.0}, {"nuisance": 0.0, "leak": 0.0, "rarer": 1.0}],
    ids=["nuisance", "no shift", "rarer labels"],
)
def test_auto_is_never_worse_than_the_source_alone(shift: dict[str, float]) -> None:
    source, labels, target, _, test, truth = planted(0, **shift)
    key = jax.random.key(0)
    chosen = choose_adaptation(source, labels, target, key)
    none, auto = (
        micro_f1(
            fit_adapted(kind, source, labels, target, key, decay=chosen.decay),
            test,
            truth,
        )
        for kind in ("none", chosen.kind)
    )
    assert auto >= none - 0.5
    assert chosen.reason
    if not shift:
        assert (chosen.kind, auto > none + 2) == ("adversarial", True)
        assert chosen.effective < 30 and not chosen.gains
    elif "rarer" not in shift:
        assert chosen.accuracy < 0.6 and set(chosen.gains) == set(KINDS) - {"none"}


def test_with_weight_0_every_kind_is_the_source_alone_bit_for_bit() -> None:
    source, labels, target, *_ = planted(0)
    key = jax.random.key(0)
    plain = fit_adapted("none", source, labels, target, key)
    for kind in KINDS:
        head = fit_adapted(kind, source, labels, target, key, weight=0.0)
        np.testing.assert_array_equal(head.weights, plain.weights)
        np.testing.assert_array_equal(head.bias, plain.bias)


def test_the_prior_moves_as_far_as_labels_have_become_rare() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([1.0, -1.0], [800, 3200])  # a half of the source documents
    posterior = 1 / (1 + np.exp(-2 * (truth + rng.normal(size=4000))))
    odds = prior_odds(posterior[:, None].astype(np.float32), np.array([0.5]))
    assert odds[0] == pytest.approx(np.log(0.2 / 0.8), abs=0.15)
    # A label without a document stays as it is.
    odds = prior_odds(np.full((10, 2), 0.5, np.float32), np.array([0.0, 0.5]))
    assert odds.tolist() == [0.0, 0.0]
    source, labels, target, *_ = planted(0)
    key = jax.random.key(0)
    plain, moved = (
        fit_adapted(kind, source, labels, target, key) for kind in ("none", "prior")
    )
    np.testing.assert_array_equal(plain.weights, moved.weights)
    assert not np.array_equal(plain.bias, moved.bias)


def test_the_conditional_form_and_coral_close_a_part_of_the_gap() -> None:
    source, labels, target, _, test, truth = planted(0)
    key = jax.random.key(10)
    none = micro_f1(fit_adapted("none", source, labels, target, key), test, truth)
    for kind in ("adversarial", "coral"):
        is_one = kind == "adversarial"
        head = fit_adapted(kind, source, labels, target, key, conditional=is_one)
        assert micro_f1(head, test, truth) > none + 3


def test_the_loss_of_two_domains_weighs_both_alike_and_reverses_its_gradient() -> None:
    key = jax.random.key(0)
    params = domain_parameters(3, key)
    near, far = jax.random.normal(key, (5, 3)), jax.random.normal(key, (2, 3)) + 1
    found = domain_loss(params, near, far)
    log = [jax.nn.log_sigmoid(-domain_logits(params, near)).mean()]
    log.append(jax.nn.log_sigmoid(domain_logits(params, far)).mean())
    assert float(found) == pytest.approx(-float(sum(log)) / 2, rel=1e-5)
    # Inside the objective of the driver: the features' gradient is turned round.
    batch = {
        "x": near,
        "example_mask": jnp.ones(5, bool),
        "unlabelled_x": near[:, None] + 1,
        "unlabelled_example_mask": jnp.ones((5, 1), bool),
        "unlabelled_progress": jnp.full(5, 0.3),
    }

    def vectors(params, batch, *, key):
        return batch["x"] * params["scale"], batch["x"]

    extra = alignment(vectors, "adversarial", labels=3, weight=2.0)
    own = {"scale": jnp.ones(3), DOMAIN: params}
    gradient = jax.grad(extra)(own, batch, key)

    def plain(own):
        both = near * own["scale"], (near + 1) * own["scale"]
        return domain_loss(own[DOMAIN], *both) / 3

    expected = jax.grad(plain)(own)
    scale = -2.0 * float(reversal_scale(0.3))
    np.testing.assert_allclose(
        gradient["scale"], scale * expected["scale"], rtol=1e-4, atol=1e-7
    )
    for name, array in expected[DOMAIN].items():
        np.testing.assert_allclose(gradient[DOMAIN][name], array, rtol=1e-4, atol=1e-7)


def test_the_reversed_gradient_grows_from_0_to_1() -> None:
    scales = [float(reversal_scale(p)) for p in (0.0, 0.1, 0.5, 1.0)]
    assert scales[0] == 0 and scales == sorted(scales)
    assert scales[1] == pytest.approx(2 / (1 + np.exp(-1)) - 1, rel=1e-5)
    assert scales[-1] > 0.999


def test_relative_coral_does_not_change_with_the_scale_of_vectors() -> None:
    one = jax.random.normal(jax.random.key(0), (40, 4))
    other = one * jnp.array([1.0, 2.0, 0.5, 1.0])
    found = float(relative_coral(one, other))
    assert 0 < found < 1
    assert float(relative_coral(7 * one, 7 * other)) == pytest.approx(found, rel=1e-4)
    assert float(relative_coral(one, one)) == 0


def test_predictions_that_are_the_same_for_all_documents_tell_nothing() -> None:
    same = np.tile([0.3, 0.9], (20, 1))
    assert information(same) == pytest.approx(0, abs=1e-9)
    sure = np.repeat([[0.0, 1.0], [1.0, 0.0]], 10, axis=0)
    assert information(sure) == pytest.approx(2 * np.log(2), abs=1e-4)


def test_bad_arguments_are_named() -> None:
    source, labels, target, *_ = planted(0)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"kind must be one of .*got 'dann'"):
        fit_adapted("dann", source, labels, target, key)
    with pytest.raises(ValueError, match=r"source's 16 numbers, got \[0, 16\]"):
        fit_adapted("coral", source, labels, target[:0], key)
