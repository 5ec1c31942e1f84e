import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.text.recurrent import (
    LstmWeights,
    bidirectional_lstm,
    lstm,
)
from tests.examples import examples
from tests.reference import recurrent as reference

BATCH, STEPS, FEATURES, SIZE = 4, 6, 3, 5
few_examples = examples(20)
masks = hnp.arrays(np.bool_, (BATCH, STEPS))
compiled = jax.jit(lstm, static_argnames="reverse")
# Right-padded, full, empty, and padded on the left with a hole.
MASK = np.array(
    [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 1, 1],
    ],
    bool,
)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def some_inputs(seed=0, batch=BATCH, steps=STEPS, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(batch, steps, FEATURES)), dtype)


def some_weights(seed=1, dtype=jnp.float32):
    rng = np.random.default_rng(seed)
    return LstmWeights(
        jnp.asarray(rng.normal(size=(FEATURES, 4 * SIZE)), dtype),
        jnp.asarray(rng.normal(size=(SIZE, 4 * SIZE)) * 0.5, dtype),
        jnp.asarray(rng.normal(size=4 * SIZE), dtype),
    )


def some_state(seed=2):
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(rng.normal(size=(BATCH, SIZE)), jnp.float32)
        for name in ("initial_hidden", "initial_cell")
    }


def plain_scan(inputs, mask, weights, hidden, cell, *, reverse):
    """The equations under autodiff, nothing hoisted: what gradients must equal."""

    def step(carry, at_step):
        (hidden, cell), (x, real) = carry, at_step
        gates = x @ weights.input_kernel + hidden @ weights.recurrent_kernel
        i, f, g, o = jnp.split(gates + weights.bias, 4, axis=-1)
        new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_hidden = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
        kept = jnp.where(real, new_hidden, hidden), jnp.where(real, new_cell, cell)
        return kept, jnp.where(real, new_hidden, 0.0)

    by_step = jnp.swapaxes(inputs, 0, 1), jnp.asarray(mask).T[:, :, None]
    (hidden, cell), outputs = jax.lax.scan(
        step, (hidden, cell), by_step, reverse=reverse
    )
    return jnp.swapaxes(outputs, 0, 1), hidden, cell


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_lstm_equals_the_loop_over_real_tokens(reverse, started):
    state = some_state() if started else {}
    found = lstm(
        some_inputs(), jnp.asarray(MASK), *some_weights(), reverse=reverse, **state
    )
    expected = reference.lstm(
        some_inputs(), MASK, *some_weights(), reverse=reverse, **state
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@few_examples
@given(masks, st.booleans(), st.integers(0, 99))
def test_what_stands_at_padding_changes_nothing(mask, reverse, seed):
    inputs, weights = some_inputs(seed), some_weights(seed + 1)
    noisy = jnp.where(mask[:, :, None], inputs, 1e3)
    one = compiled(inputs, mask, *weights, reverse=reverse)
    other = compiled(noisy, mask, *weights, reverse=reverse)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (np.asarray(one[0])[~mask] == 0).all()
    assert (np.abs(one[0]) < 1).all()


@few_examples
@given(masks, st.permutations(range(BATCH)), st.booleans())
def test_permuting_documents_permutes_outputs(mask, order, reverse):
    order = np.array(order)
    plain = compiled(some_inputs(), mask, *some_weights(), reverse=reverse)
    moved = compiled(
        some_inputs()[order], mask[order], *some_weights(), reverse=reverse
    )
    for a, b in zip(plain, moved, strict=True):
        np.testing.assert_allclose(a[order], b, atol=1e-6)


@few_examples
@given(masks)
def test_reading_backwards_is_reading_the_mirrored_text(mask):
    backward = compiled(some_inputs(), mask, *some_weights(), reverse=True)
    mirrored = compiled(some_inputs()[:, ::-1], mask[:, ::-1], *some_weights())
    np.testing.assert_allclose(backward[0], mirrored[0][:, ::-1], atol=1e-6)
    np.testing.assert_allclose(backward[1], mirrored[1], atol=1e-6)


def test_the_final_state_is_that_of_the_last_real_token():
    outputs, hidden, _ = lstm(some_inputs(), jnp.asarray(MASK), *some_weights())
    np.testing.assert_array_equal(hidden[0], outputs[0, 2])
    np.testing.assert_array_equal(hidden[1], outputs[1, 5])
    np.testing.assert_array_equal(hidden[2], np.zeros(SIZE))
    np.testing.assert_array_equal(hidden[3], outputs[3, 5])


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_text_read_in_two_parts_ends_in_the_same_state(cut):
    inputs, weights = some_inputs(), some_weights()
    mask = jnp.asarray(MASK)
    outputs, hidden, cell = lstm(inputs, mask, *weights)
    first = lstm(inputs[:, :cut], mask[:, :cut], *weights)
    second = lstm(
        inputs[:, cut:],
        mask[:, cut:],
        *weights,
        initial_hidden=first[1],
        initial_cell=first[2],
    )
    np.testing.assert_allclose(second[1], hidden, atol=1e-6)
    np.testing.assert_allclose(second[2], cell, atol=1e-6)
    np.testing.assert_allclose(second[0], outputs[:, cut:], atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("used", ["outputs", "hidden", "cell", "all"])
def test_gradients_equal_autodiff_of_the_plain_scan(reverse, used):
    mask = jnp.asarray(MASK)
    rng = np.random.default_rng(5)
    factors = [
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        * (used in ("all", ("outputs", "hidden", "cell")[place]))
        for place, shape in enumerate(
            [(BATCH, STEPS, SIZE), (BATCH, SIZE), (BATCH, SIZE)]
        )
    ]

    def ours(inputs, weights, hidden, cell):
        results = lstm(
            inputs,
            mask,
            *weights,
            reverse=reverse,
            initial_hidden=hidden,
            initial_cell=cell,
        )
        return sum((f * r).sum() for f, r in zip(factors, results, strict=True))

    def plain(inputs, weights, hidden, cell):
        results = plain_scan(inputs, mask, weights, hidden, cell, reverse=reverse)
        return sum((f * r).sum() for f, r in zip(factors, results, strict=True))

    arguments = some_inputs(), some_weights(), *some_state().values()
    found = jax.grad(ours, argnums=range(4))(*arguments)
    expected = jax.grad(plain, argnums=range(4))(*arguments)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert jnp.abs(found[0][1]).max() > 1e-3
    # Padding, and the document without a token, get exactly nothing.
    assert (np.asarray(found[0])[~MASK] == 0).all()


def test_bidirectional_gradients_equal_autodiff_of_the_plain_scan():
    mask = jnp.asarray(MASK)
    zeros = jnp.zeros((BATCH, SIZE))

    def ours(inputs, forward, backward):
        document, outputs = bidirectional_lstm(inputs, mask, forward, backward)
        return (document**2).sum() + (outputs**3).sum()

    def plain(inputs, forward, backward):
        total = 0.0
        for weights, reverse in ((forward, False), (backward, True)):
            outputs, last, _ = plain_scan(
                inputs, mask, weights, zeros, zeros, reverse=reverse
            )
            total += (last**2).sum() + (outputs**3).sum()
        return total

    arguments = some_inputs(), some_weights(1), some_weights(2)
    found = jax.jit(jax.grad(ours, argnums=range(3)))(*arguments)
    expected = jax.grad(plain, argnums=range(3))(*arguments)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_bfloat16_stays_bfloat16_and_close_in_value_and_gradient(reverse):
    def total(inputs, weights):
        outputs, hidden, cell = lstm(
            inputs, jnp.asarray(MASK), *weights, reverse=reverse
        )
        summed = outputs.sum() + hidden.sum() + cell.sum()
        return summed.astype(jnp.float32), outputs

    grad = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
    (low, outputs), low_gradients = grad(
        some_inputs(dtype=jnp.bfloat16), some_weights(dtype=jnp.bfloat16)
    )
    (high, _), high_gradients = grad(some_inputs(), some_weights())
    assert outputs.dtype == jnp.bfloat16
    np.testing.assert_allclose(low, high, atol=0.3)
    for a, b in zip(
        jax.tree.leaves(low_gradients), jax.tree.leaves(high_gradients), strict=True
    ):
        assert a.dtype == jnp.bfloat16
        scale = float(jnp.abs(b).max())
        np.testing.assert_allclose(a.astype(jnp.float32), b, atol=0.1 * scale + 0.02)


def test_bidirectional_lstm_is_last_forward_beside_last_backward():
    mask = jnp.asarray(MASK)
    forward, backward = some_weights(1), some_weights(2)
    document, outputs = bidirectional_lstm(some_inputs(), mask, forward, backward)
    ahead = reference.lstm(some_inputs(), MASK, *forward)
    back = reference.lstm(some_inputs(), MASK, *backward, reverse=True)
    np.testing.assert_allclose(
        document, np.concatenate([ahead[1], back[1]], axis=1), atol=2e-6
    )
    np.testing.assert_allclose(
        outputs, np.concatenate([ahead[0], back[0]], axis=2), atol=2e-6
    )


@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 9), (3, 1), (2, 17)])
def test_any_number_of_documents_and_tokens_will_do(batch, steps):
    inputs = some_inputs(batch=batch, steps=steps)
    mask = np.ones((batch, steps), bool)
    found = lstm(inputs, jnp.asarray(mask), *some_weights())
    expected = reference.lstm(inputs, mask, *some_weights())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_huge_inputs_saturate_and_keep_gradients_finite():
    def total(inputs):
        return lstm(inputs, jnp.asarray(MASK), *some_weights())[0].sum()

    value, gradient = jax.value_and_grad(total)(some_inputs() * 1e30)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_is_the_same_eager_and_jitted_and_mapped(reverse):
    mask = jnp.asarray(MASK)
    eager = lstm(some_inputs(), mask, *some_weights(), reverse=reverse)
    jitted = compiled(some_inputs(), mask, *some_weights(), reverse=reverse)
    mapped = jax.vmap(
        lambda weights: lstm(some_inputs(), mask, *weights, reverse=reverse)
    )(jax.tree.map(lambda *x: jnp.stack(x), some_weights(1), some_weights(2)))
    for a, b, c in zip(eager, jitted, mapped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, c[0], atol=1e-6)


def test_gradients_can_be_mapped_over_documents():
    def total(weights, inputs, mask):
        return (lstm(inputs[None], mask[None], *weights)[1] ** 2).sum()

    mask = jnp.asarray(MASK)
    each = jax.vmap(jax.grad(total), in_axes=(None, 0, 0))(
        some_weights(), some_inputs(), mask
    )
    whole = jax.grad(
        lambda weights: (lstm(some_inputs(), mask, *weights)[1] ** 2).sum()
    )(some_weights())
    for a, b in zip(each, whole, strict=True):
        np.testing.assert_allclose(a.sum(axis=0), b, atol=1e-5)


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    mask = jnp.asarray(MASK)
    inputs, (kernel, recurrent, bias) = some_inputs(), some_weights()
    run = functools.partial(lstm, inputs, mask)
    with pytest.raises(ValueError, match=r"\[batch, tokens, features\], got \(4, 6\)"):
        lstm(inputs[:, :, 0], mask, kernel, recurrent, bias)
    with pytest.raises(ValueError, match=r"mask must have shape \(4, 6\) .* \(4, 5\)"):
        lstm(inputs, mask[:, :5], kernel, recurrent, bias)
    with pytest.raises(ValueError, match=r"\[hidden, 4 hidden\], got \(4, 20\)"):
        run(kernel, recurrent[:4], bias)
    with pytest.raises(ValueError, match=r"input_kernel must have shape \(3, 20\)"):
        run(kernel[:2], recurrent, bias)
    with pytest.raises(ValueError, match=r"bias must have shape \(20,\), got \(19,\)"):
        run(kernel, recurrent, bias[:19])
    for name in ("initial_hidden", "initial_cell"):
        with pytest.raises(ValueError, match=rf"{name} must have shape \(4, 5\), got"):
            run(kernel, recurrent, bias, **{name: jnp.zeros((4, 6))})
