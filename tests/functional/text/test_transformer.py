import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.text import transformer as F  # noqa: N812
from tests.examples import examples
from tests.reference import transformer as reference


def draw(seed: int, *shape: int) -> jax.Array:
    normal = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(normal, jnp.float32)


def loops(name: str, *arguments) -> np.ndarray:
    """The reference of that name on NumPy arrays."""
    plain = (np.asarray(a) if isinstance(a, jax.Array) else a for a in arguments)
    return getattr(reference, name)(*plain)


def attention_arguments(heads: int = 2) -> tuple:
    mask = jnp.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 1, 0]], bool)
    return (
        draw(0, 3, 5, 6),
        mask,
        draw(1, 6, 3 * heads * 4),
        draw(2, 3 * heads * 4),
        draw(3, heads * 4, 6),
        draw(4, 6),
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_every_function_equals_its_plain_loops(wrap) -> None:
    x, scale, bias = draw(0, 2, 3, 4), draw(1, 4), draw(2, 4)
    got = wrap(lambda *a: F.layer_norm(*a, epsilon=1e-5))(x, scale, bias)
    expected = loops("layer_norm", x, scale, bias, 1e-5)
    np.testing.assert_allclose(got, expected, atol=1e-5)

    np.testing.assert_allclose(wrap(F.gelu)(x), loops("gelu", x), atol=1e-6)

    arguments = attention_arguments()
    got = wrap(lambda *a: F.self_attention(*a, heads=2))(*arguments)
    expected = loops("self_attention", *arguments, 2)
    np.testing.assert_allclose(got, expected, atol=2e-5)

    layers = (x, draw(3, 4, 7), draw(4, 7), draw(5, 7, 4), draw(6, 4))
    got = wrap(F.feed_forward)(*layers)
    np.testing.assert_allclose(got, loops("feed_forward", *layers), atol=1e-5)

    ids, table, positions = jnp.array([[1, 0, 2]]), draw(7, 3, 4), draw(8, 5, 4)
    got = wrap(lambda *a: F.add_positions(*a, position_offset=2))(table[ids], positions)
    expected = loops("embed_tokens", ids, table, positions, 2)
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize(("rows", "furthest"), [(32, 128), (8, 16), (4, 5)])
def test_the_bias_of_distances_equals_its_plain_loops(wrap, rows, furthest) -> None:
    table, length = draw(0, rows, 3), 40
    bias = wrap(lambda t: F.relative_position_bias(t, length, furthest=furthest))
    expected = loops("relative_position_bias", table, length, furthest)
    np.testing.assert_array_equal(bias(table), expected.astype(np.float32))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_turned_positions_equal_their_plain_loops(wrap) -> None:
    x = draw(0, 2, 7, 6)
    got = wrap(lambda a: F.rotate_positions(a, base=50.0))(x)
    expected = np.stack([loops("rotate_positions", row, 50.0) for row in x])
    np.testing.assert_allclose(got, expected, atol=1e-5)


@examples(10)
@given(st.integers(0, 20), st.integers(0, 100))
def test_products_of_turned_vectors_see_distances_alone(shift: int, seed: int) -> None:
    query, key = (jnp.broadcast_to(each, (30, 4)) for each in draw(seed, 2, 1, 4))
    turned = [F.rotate_positions(each, base=100.0) for each in (query, key)]
    products = np.asarray(turned[0] @ turned[1].T)
    moved = products[shift : shift + 5, shift : shift + 5]
    np.testing.assert_allclose(products[:5, :5], moved, atol=1e-4)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize(
    "options",
    [{"window": 1}, {"rotary_base": 30.0}, {"window": 2, "rotary_base": 9.0}, {}],
)
def test_attention_near_by_turned_and_biased_equals_its_plain_loops(
    wrap, options
) -> None:
    x, mask, kernel, _, output, _ = attention_arguments()
    bias = None if "window" in options else draw(9, 2, 5, 5)

    def attend(x, kernel, output):
        weights = (kernel, None, output, None)
        options_of_bias = {**options, "position_bias": bias}
        return F.self_attention(x, mask, *weights, heads=2, **options_of_bias)

    got = wrap(attend)(x, kernel, output)
    base, window = options.get("rotary_base", 0.0), options.get("window", 0)
    given = (x, mask, kernel, None, output, None, 2, bias, base, window)
    expected = loops("self_attention", *given)
    if window:  # the last row's second token has no other within reach
        reached = [
            [any(row[max(0, s - window) : s + window + 1]) for s in range(5)]
            for row in np.asarray(mask)
        ]
        got, expected = got[np.array(reached)], expected[np.array(reached)]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_a_gated_layer_and_layers_without_bias_equal_their_plain_loops() -> None:
    x, inner, outer = draw(0, 2, 3, 4), draw(1, 4, 10), draw(2, 5, 4)
    got = F.feed_forward(x, inner, None, outer, None, gated=True)
    expected = loops("gated_feed_forward", x, inner, outer)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    scale, none = draw(3, 4), jnp.zeros(4)
    got = F.layer_norm(x, scale, epsilon=1e-5)
    np.testing.assert_array_equal(got, F.layer_norm(x, scale, none, epsilon=1e-5))
    np.testing.assert_array_equal(F.dense(x, inner), F.dense(x, inner, jnp.zeros(10)))


@examples(20)
@given(st.floats(-100, 100), st.integers(0, 100))
def test_layer_norm_ignores_a_shift_of_its_input(shift: float, seed: int) -> None:
    x = draw(seed, 3, 8)
    ones, zeros = jnp.ones(8), jnp.zeros(8)
    plain = F.layer_norm(x, ones, zeros, epsilon=1e-5)
    moved = F.layer_norm(x + shift, ones, zeros, epsilon=1e-5)
    np.testing.assert_allclose(plain, moved, atol=2e-3)


@examples(15)
@given(st.permutations(range(5)))
def test_attention_is_blind_to_the_order_of_tokens(order: list[int]) -> None:
    x, mask, *weights = attention_arguments()
    places = jnp.array(order)
    plain = F.self_attention(x, mask, *weights, heads=2)
    moved = F.self_attention(x[:, places], mask[:, places], *weights, heads=2)
    np.testing.assert_allclose(plain[:, places], moved, atol=2e-5)


def test_padding_never_reaches_a_real_token() -> None:
    x, mask, *weights = attention_arguments()
    changed = jnp.where(mask[..., None], x, 1e3)
    plain = F.self_attention(x, mask, *weights, heads=2)
    other = F.self_attention(changed, mask, *weights, heads=2)
    np.testing.assert_allclose(plain[mask], other[mask], atol=1e-5)


def test_a_row_without_tokens_stays_finite_and_so_does_its_gradient() -> None:
    x, mask, *weights = attention_arguments()
    empty = jnp.zeros_like(mask)

    def total(x):
        return F.self_attention(x, empty, *weights, heads=2).sum()

    value, gradient = jax.value_and_grad(total)(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_bfloat16_stays_close_to_float32() -> None:
    x, mask, *weights = attention_arguments()
    full = F.self_attention(x, mask, *weights, heads=2)
    half = F.self_attention(x.astype(jnp.bfloat16), mask, *weights, heads=2)
    assert half.dtype == jnp.bfloat16
    error = np.abs(np.asarray(half, np.float32) - full).max()
    assert error < 0.05 * np.abs(full).max()


def test_dropout_keeps_the_mean_and_the_asked_share() -> None:
    x = jnp.ones((200, 500))
    dropped = F.dropout(x, 0.25, jax.random.key(0))
    assert abs(float(jnp.mean(dropped == 0)) - 0.25) < 0.01
    assert abs(float(jnp.mean(dropped)) - 1) < 0.01
    assert F.dropout(x, 0.25, None) is x
    assert F.dropout(x, 0.0, jax.random.key(0)) is x


def test_attention_dropout_changes_the_result_only_with_a_key() -> None:
    arguments = attention_arguments()
    plain = F.self_attention(*arguments, heads=2)
    without = F.self_attention(*arguments, heads=2, dropout_rate=0.5)
    key = jax.random.key(0)
    dropped = F.self_attention(*arguments, heads=2, dropout_rate=0.5, key=key)
    np.testing.assert_array_equal(plain, without)
    assert np.abs(np.asarray(plain - dropped)).max() > 0.1


def test_bad_settings_say_what_must_hold() -> None:
    x, mask, *weights = attention_arguments()
    with pytest.raises(ValueError, match="multiple of 3 x 5 columns, got 24"):
        F.self_attention(x, mask, *weights, heads=5)
    with pytest.raises(ValueError, match="at least 0 and below 1, got 1"):
        F.dropout(jnp.ones(2), 1.0, None)
    with pytest.raises(ValueError, match="got 'swish'"):
        layers = (draw(3, 6, 7), draw(4, 7), draw(5, 7, 6), draw(6, 6))
        F.feed_forward(x, *layers, activation="swish")
    for rows in (2, 5):
        with pytest.raises(ValueError, match=f"even number of rows.*got {rows}"):
            F.relative_position_bias(jnp.ones((rows, 1)), 4)
    with pytest.raises(ValueError, match="even and base positive, got 3 and 9"):
        F.rotate_positions(jnp.ones((2, 3)), base=9.0)
    with pytest.raises(ValueError, match="has 3 positions, got sequences of 4 tokens"):
        F.add_positions(jnp.ones((1, 4, 2)), jnp.ones((5, 2)), position_offset=2)
