import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.losses.elementwise import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
)
from tests.examples import examples
from tests.reference import losses as reference

SHAPE = (3, 4)
LOSSES = {
    "cross-entropy": (binary_cross_entropy, reference.binary_cross_entropy, {}),
    "focal": (focal_loss, reference.focal_loss, {"gamma": 1.5}),
    "asymmetric": (
        asymmetric_loss,
        reference.asymmetric_loss,
        {"gamma_positive": 1.0, "gamma_negative": 3.0, "margin": 0.05},
    ),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def example(seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, SHAPE).astype(np.float32)
    targets = (rng.random(SHAPE) < 0.4).astype(np.float32)
    options = {
        "target_mask": rng.random(SHAPE) < 0.8,
        "example_mask": np.array([True, False, True]),
        "positive_weight": rng.uniform(0.5, 3, SHAPE[1]).astype(np.float32),
    }
    return logits, targets, options


@every_loss
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("masked", [False, True])
def test_a_loss_equals_its_loop_eager_and_jitted(name, smoothing, masked):
    loss, loop, settings_ = LOSSES[name]
    logits, targets, options = example()
    options = options if masked else {}
    expected = loop(logits, targets, label_smoothing=smoothing, **options, **settings_)

    def call(logits, targets, options):
        return loss(logits, targets, label_smoothing=smoothing, **options, **settings_)

    arguments = jax.tree.map(jnp.asarray, (logits, targets, options))
    for form in (call, jax.jit(call)):
        result = form(*arguments)
        np.testing.assert_allclose(result, expected, rtol=2e-6)
        assert all(part.dtype == jnp.float32 for part in result)


@every_loss
@examples(30)
@given(
    st.lists(
        st.tuples(st.floats(-40, 40, width=32), st.sampled_from([0.0, 0.3, 1.0])),
        min_size=12,
        max_size=12,
    )
)
def test_a_loss_equals_its_loop_for_any_logits_and_soft_targets(name, cells):
    loss, loop, settings_ = LOSSES[name]
    logits, targets = np.array(cells, np.float32).T.reshape(2, *SHAPE)
    result = loss(jnp.asarray(logits), jnp.asarray(targets), **settings_)
    np.testing.assert_allclose(
        result, loop(logits, targets, **settings_), rtol=1e-5, atol=1e-6
    )


@every_loss
def test_the_gradient_equals_the_slope_of_the_loop(name):
    loss, loop, settings_ = LOSSES[name]
    logits, targets, options = example(1)
    gradient = jax.grad(lambda x: loss(x, targets, **options, **settings_)[0])(
        jnp.asarray(logits)
    )
    slope, h = np.zeros(SHAPE), 1e-5
    for cell in np.ndindex(SHAPE):
        step = np.zeros(SHAPE)
        step[cell] = h
        above, _ = loop(logits.astype(float) + step, targets, **options, **settings_)
        below, _ = loop(logits.astype(float) - step, targets, **options, **settings_)
        slope[cell] = (above - below) / (2 * h)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5)


@every_loss
@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf, 3e38, 1.0])
@pytest.mark.parametrize("target", [np.nan, 1.0])
@pytest.mark.parametrize("mask", ["target_mask", "example_mask"])
def test_a_masked_cell_adds_nothing_whatever_it_holds(name, logit, target, mask):
    loss, _, settings_ = LOSSES[name]
    logits, targets, _ = example()
    clean = {mask: np.ones(SHAPE if mask == "target_mask" else SHAPE[0], bool)}
    clean[mask][1] = False
    dirty_logits, dirty_targets = logits.copy(), targets.copy()
    dirty_logits[1], dirty_targets[1] = logit, target

    def value(x, y):
        return loss(x, y, **clean, **settings_)

    assert value(dirty_logits, dirty_targets) == value(logits, targets)
    gradient = jax.grad(lambda x: value(x, dirty_targets)[0])(jnp.asarray(dirty_logits))
    np.testing.assert_array_equal(gradient[1], 0.0)
    assert np.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("logit", [1e4, -1e4, 1e30, -1e30])
def test_extreme_logits_give_finite_losses_and_gradients(name, logit):
    loss, _, settings_ = LOSSES[name]
    logits = jnp.full((1, 2), logit)
    targets = jnp.asarray([[0.0, 1.0]])
    value, gradient = jax.value_and_grad(lambda x: loss(x, targets, **settings_)[0])(
        logits
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_a_wrong_extreme_logit_costs_its_own_size():
    loss_sum, _ = binary_cross_entropy(
        jnp.asarray([[1e4, -1e4]]), jnp.asarray([[0.0, 1.0]])
    )
    assert loss_sum == 2e4


@pytest.mark.parametrize(("logit", "target"), [(np.inf, 1.0), (-np.inf, 0.0)])
def test_a_right_infinite_logit_costs_nothing(logit, target):
    loss_sum, weight_sum = binary_cross_entropy(
        jnp.full((1, 1), logit), jnp.full((1, 1), target)
    )
    assert (loss_sum, weight_sum) == (0.0, 1.0)


@every_loss
def test_sums_over_two_halves_add_up_to_the_sum_over_the_whole(name):
    loss, _, settings_ = LOSSES[name]
    logits, targets, options = example()
    whole = loss(logits, targets, target_mask=options["target_mask"], **settings_)
    halves = [
        loss(
            logits[part],
            targets[part],
            target_mask=options["target_mask"][part],
            **settings_,
        )
        for part in (slice(0, 1), slice(1, 3))
    ]
    np.testing.assert_allclose(whole, np.sum(halves, axis=0), rtol=1e-6)


@every_loss
def test_permuting_labels_changes_no_loss(name):
    loss, _, settings_ = LOSSES[name]
    logits, targets, _ = example()
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        loss(logits[:, order], targets[:, order], **settings_),
        loss(logits, targets, **settings_),
        rtol=1e-6,
    )


def test_gamma_zero_is_the_cross_entropy_and_a_higher_one_costs_less():
    logits, targets, _ = example()
    plain, _ = binary_cross_entropy(logits, targets)
    np.testing.assert_allclose(focal_loss(logits, targets, gamma=0.0)[0], plain, 1e-6)
    assert focal_loss(logits, targets, gamma=2.0)[0] < plain


def test_a_negative_below_the_margin_has_no_loss_and_no_gradient():
    def value(x):
        return asymmetric_loss(x, jnp.zeros((1, 1)), margin=0.1)[0]

    loss, gradient = jax.value_and_grad(value)(jnp.full((1, 1), -3.0))
    assert (loss, gradient) == (0.0, 0.0)
    assert value(jnp.full((1, 1), 0.0)) > 0


def test_half_precision_logits_and_boolean_targets_are_summed_in_float32():
    logits, targets, _ = example()
    half = jnp.asarray(logits, jnp.bfloat16)
    result = binary_cross_entropy(half, targets > 0)
    expected = binary_cross_entropy(half.astype(jnp.float32), targets)
    assert result == expected
    assert result[0].dtype == jnp.float32


def test_no_document_at_all_costs_nothing_and_weighs_nothing():
    assert binary_cross_entropy(jnp.zeros((0, 4)), jnp.zeros((0, 4))) == (0.0, 0.0)


def test_settings_out_of_range_are_refused():
    cells = jnp.zeros((1, 1))
    with pytest.raises(
        ValueError, match=r"label_smoothing must lie in \[0, 1\), got 1"
    ):
        binary_cross_entropy(cells, cells, label_smoothing=1.0)
    with pytest.raises(ValueError, match="the negative gamma must be >= 0, got -1"):
        asymmetric_loss(cells, cells, gamma_negative=-1.0)
    with pytest.raises(ValueError, match=r"margin must lie in \[0, 1\), got 1"):
        asymmetric_loss(cells, cells, margin=1.0)
