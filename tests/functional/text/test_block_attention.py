"""Block self-attention: its numbers, its directions, its masks, its memory."""

import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax as lg
from labelgraph_jax.functional.text.block_attention import BlockWeights
from tests.examples import examples
from tests.reference import block_attention as reference

F = lg.functional
B, S, D = 4, 7, 3
MASK = jnp.array(
    [[1, 1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0], [0] * 7], bool
)


@pytest.fixture
def shapes_unchecked():
    """Let the functions, not jaxtyping, answer a wrong shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def draw(seed: int, *shape: int) -> jax.Array:
    normal = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(normal, jnp.float32)


X = draw(0, B, S, D)
DIRECTED = (draw(1, D, D), draw(2, D, D), draw(3, D))
POOLED = (draw(4, D, D), draw(5, D), draw(6, D, D), draw(7, D))
WEIGHTS = BlockWeights(
    DIRECTED,
    POOLED,
    (draw(8, D, D), draw(9, D, D), draw(10, D)),
    (draw(11, 2 * D, D), draw(12, D)),
    (draw(13, 3 * D, 2 * D), draw(14, 2 * D)),
)
BLOCKS = jax.jit(F.block_self_attention, static_argnames=("block", "reverse"))


def plain(tree):
    types = {True: bool, False: float}
    return jax.tree.map(lambda x: np.asarray(x, types[x.dtype == bool]), tree)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrap", [lambda f, **_: f, jax.jit])
def test_every_function_equals_its_plain_loops(wrap, reverse: bool) -> None:
    x, mask = plain((X, MASK))
    directed = wrap(F.directed_attention, static_argnames=("reverse",))
    got = directed(X, MASK, *DIRECTED, reverse=reverse)
    expected = reference.directed_attention(x, mask, *plain(DIRECTED), reverse)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_allclose(
        wrap(F.attention_pooling)(X, MASK, *POOLED),
        reference.attention_pooling(x, mask, *plain(POOLED)),
        atol=1e-5,
    )
    blocks = wrap(F.block_self_attention, static_argnames=("block", "reverse"))
    for block in (1, 3, 7, 20):
        got = blocks(X, MASK, WEIGHTS, block=block, reverse=reverse)
        expected = reference.block_self_attention(
            x, mask, plain(WEIGHTS), block, reverse
        )
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, expected, atol=1e-5)


@examples(20)
@given(seed=st.integers(0, 2**16), reverse=st.booleans(), place=st.integers(0, S - 1))
def test_a_token_changes_what_stands_behind_it_alone(
    seed: int, reverse: bool, place: int
) -> None:
    """Within a block the pooled vector is of all its tokens: whole blocks before."""
    other = X.at[:, place].set(draw(seed, B, D))
    got = BLOCKS(other, MASK, WEIGHTS, block=3, reverse=reverse)
    before = BLOCKS(X, MASK, WEIGHTS, block=3, reverse=reverse)
    first = place // 3 * 3
    same = slice(first + 3, None) if reverse else slice(0, first)
    np.testing.assert_allclose(got[:, same], before[:, same], atol=1e-5)
    near = F.directed_attention(other, MASK, *DIRECTED, reverse=reverse)
    kept = F.directed_attention(X, MASK, *DIRECTED, reverse=reverse)
    same = slice(place + 1, None) if reverse else slice(0, place)
    np.testing.assert_allclose(near[:, same], kept[:, same], atol=1e-5)


@examples(20)
@given(seed=st.integers(0, 2**16), reverse=st.booleans())
def test_padding_changes_nothing_whatever_stands_there(
    seed: int, reverse: bool
) -> None:
    dirty = jnp.where(MASK[..., None], X, draw(seed, B, S, D))
    wide = jnp.concatenate([dirty, draw(seed + 1, B, 2, D)], axis=1)
    mask = jnp.pad(MASK, ((0, 0), (0, 2)))
    got = BLOCKS(wide, mask, WEIGHTS, block=3, reverse=reverse)
    expected = BLOCKS(X, MASK, WEIGHTS, block=3, reverse=reverse)
    np.testing.assert_allclose(got[:, :S], expected, atol=1e-5)
    assert not np.asarray(got)[~np.asarray(mask)].any()


@examples(20)
@given(seed=st.integers(0, 2**16))
def test_what_is_pooled_lies_between_its_tokens_in_every_feature(seed: int) -> None:
    x = draw(seed, B, S, D)
    got = np.asarray(F.attention_pooling(x, MASK, *POOLED))
    for b in range(B - 1):
        real = np.asarray(x[b])[np.asarray(MASK[b])]
        assert (got[b] >= real.min(axis=0) - 1e-5).all()
        assert (got[b] <= real.max(axis=0) + 1e-5).all()
    assert not got[-1].any()


def test_nothing_is_received_by_the_first_token_or_from_padding() -> None:
    got = np.asarray(F.directed_attention(X, MASK, *DIRECTED))
    assert not got[:, 0].any() and not got[2].any() and not got[3].any()
    np.testing.assert_allclose(got[0, 1], X[0, 0], atol=1e-6)
    np.testing.assert_allclose(got[1, 2], X[1, 0], atol=1e-6)


@pytest.mark.parametrize("dirt", [jnp.nan, jnp.inf])
def test_gradients_are_finite_whatever_stands_at_padding(dirt: float) -> None:
    @jax.jit
    def slope(x):
        def total(x, weights):
            return jnp.sum(F.block_self_attention(x, MASK, weights, block=3) ** 2)

        return jax.grad(total, (0, 1))(x, WEIGHTS)

    dirty = slope(jnp.where(MASK[..., None], X, dirt))
    for got, expected in zip(*map(jax.tree.leaves, (dirty, slope(X))), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_no_documents_and_no_tokens_give_as_many() -> None:
    for shape in ((0, S, D), (B, 0, D)):
        x = jnp.zeros(shape)
        got = BLOCKS(x, jnp.ones(shape[:2], bool), WEIGHTS)
        assert got.shape == shape
        pooled = F.attention_pooling(x, jnp.ones(shape[:2], bool), *POOLED)
        assert pooled.shape == (shape[0], D) and not np.asarray(pooled).any()


def test_many_tokens_never_make_a_matrix_of_tokens_by_tokens() -> None:
    batch, tokens, width = 2, 512, 4
    wide = jax.tree.map(lambda x: jnp.zeros([width * n // D for n in x.shape]), WEIGHTS)

    def loss(x):
        mask = jnp.ones((batch, tokens), bool)
        return jnp.sum(F.block_self_attention(x, mask, wide, block=8))

    jaxpr = str(jax.make_jaxpr(jax.grad(loss))(jnp.zeros((batch, tokens, width))))
    shapes = [found.split("]")[0] for found in jaxpr.split("f32[")[1:]]
    sizes = [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]
    assert max(sizes) <= batch * width * max(tokens * 8, (tokens // 8) ** 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"mask": MASK[:, :2]}, "must fit together"),
        ({"weights": WEIGHTS._replace(near=POOLED[:3])}, "must fit together"),
        (
            {"weights": WEIGHTS._replace(gate=WEIGHTS.fusion)},
            r"gate must be a kernel \(6, 3\) and a bias \(3,\) for x of shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    shapes_unchecked, change: dict, said: str
) -> None:
    given_ = {"x": X, "mask": MASK, "weights": WEIGHTS} | change
    with pytest.raises(ValueError, match=said):
        F.block_self_attention(
            given_.pop("x"), given_.pop("mask"), given_.pop("weights"), **given_
        )
