import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.modules.transformer import (
    Transformer,
    TransformerShape,
    _chunk_rows,
)

TINY = TransformerShape(
    vocabulary_size=9,
    features=8,
    layers=2,
    heads=2,
    hidden_features=16,
    max_positions=6,
)
IDS = np.array([[3, 4, 4, 1], [5, 1, 0, 0], [2, 0, 0, 0]], np.int32)
MASK = IDS > 0


@pytest.fixture(scope="module")
def params() -> dict:
    init = jax.jit(Transformer(TINY).init)
    drawn = init(jax.random.key(0), IDS, MASK)
    # Wider than the usual start, so that attention is far from even.
    return jax.tree.map(lambda leaf: leaf * 8 if leaf.ndim == 2 else leaf, drawn)


@pytest.mark.parametrize("tokens", [4, 8, 9])
def test_chunks_change_nothing(params: dict, tokens: int) -> None:
    whole = jax.jit(Transformer(TINY).apply)(params, IDS, MASK)
    chunked = jax.jit(Transformer(TINY, chunk_tokens=tokens).apply)(params, IDS, MASK)
    np.testing.assert_allclose(whole[MASK], chunked[MASK], atol=1e-5)


@pytest.mark.parametrize(
    ("batch", "length", "rows"), [(32, 256, 4), (32, 512, 2), (7, 200, 4), (3, 2000, 1)]
)
def test_chunks_hold_about_the_asked_tokens(batch, length, rows) -> None:
    assert _chunk_rows(batch, length, 1024) == rows


def test_a_document_does_not_depend_on_its_batch(params: dict) -> None:
    apply = jax.jit(Transformer(TINY).apply)
    together = apply(params, IDS, MASK)
    alone = apply(params, IDS[1:2, :2], MASK[1:2, :2])
    np.testing.assert_allclose(together[1, :2], alone[0], atol=1e-5)


def test_dropout_acts_only_where_asked(params: dict) -> None:
    model = Transformer(TINY)
    plain = jax.jit(model.apply)(params, IDS, MASK)

    @jax.jit
    def train(seed):
        key = {"dropout": jax.random.key(seed)}
        return model.apply(params, IDS, MASK, deterministic=False, rngs=key)

    np.testing.assert_array_equal(train(0), train(0))
    assert np.abs(train(0) - plain)[MASK].max() > 0.01
    assert np.abs(train(0) - train(1))[MASK].max() > 0.01


def test_bfloat16_gives_float32_vectors_close_by(params: dict) -> None:
    half = jax.jit(Transformer(TINY, dtype=jnp.bfloat16).apply)(params, IDS, MASK)
    assert half.dtype == jnp.float32
    full = jax.jit(Transformer(TINY).apply)(params, IDS, MASK)
    assert np.abs(half - full)[MASK].max() < 0.15


def test_too_long_a_text_and_impossible_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="6 positions, got sequences of 7 tokens"):
        ids = np.ones((1, 7), np.int32)
        Transformer(TINY).init(jax.random.key(0), ids, ids > 0)
    with pytest.raises(ValueError, match="multiple of heads, got 8 features and 3"):
        TransformerShape(vocabulary_size=9, features=8, heads=3)
    with pytest.raises(ValueError, match="vocabulary_size must be at least 1, got 0"):
        TransformerShape(vocabulary_size=0)
    with pytest.raises(ValueError, match="got 'swish'"):
        TransformerShape(vocabulary_size=9, activation="swish")
