import dataclasses

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


MODERN = dataclasses.replace(TINY, rotary_bases=(9.0, 7.0), windows=(0, 1))
OTHERS = {
    "mpnet": dataclasses.replace(TINY, position_buckets=8),
    "electra": dataclasses.replace(TINY, embedding_features=4),
    "modernbert": MODERN,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_differ_from_bert_and_do_not_depend_on_their_batch(kind) -> None:
    model = Transformer(OTHERS[kind])
    drawn = jax.jit(model.init)(jax.random.key(0), IDS, MASK)
    drawn = jax.tree.map(lambda leaf: leaf * 8 if leaf.ndim == 2 else leaf, drawn)
    names = set(drawn["params"])
    assert ("relative_position" in names) is (kind == "mpnet")
    assert ("embedding_projection" in names) is (kind == "electra")
    assert ("position" in names) is (kind != "modernbert")
    assert ("final_norm" in names) is (kind == "modernbert")
    together = jax.jit(model.apply)(drawn, IDS, MASK)
    alone = jax.jit(model.apply)(drawn, IDS[1:2, :2], MASK[1:2, :2])
    np.testing.assert_allclose(together[1, :2], alone[0], atol=1e-4)
    chunked = Transformer(OTHERS[kind], chunk_tokens=4)
    np.testing.assert_allclose(
        together[MASK], jax.jit(chunked.apply)(drawn, IDS, MASK)[MASK], atol=1e-4
    )


@pytest.mark.parametrize("kind", ["bert", *OTHERS])
def test_an_encoder_goes_on_where_its_lower_layers_ended(kind: str) -> None:
    shape = OTHERS.get(kind, TINY)
    whole = Transformer(shape)
    drawn = jax.jit(whole.init)(jax.random.key(0), IDS, MASK)
    lower = Transformer(shape.cut(1)).apply(drawn, IDS, MASK)
    upper = Transformer(shape, first_layer=1).apply(drawn, lower, MASK)
    expected = whole.apply(drawn, IDS, MASK)
    np.testing.assert_allclose(upper[MASK], expected[MASK], atol=1e-5)


@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_layers_that_are_computed_again_give_the_same_gradient(kind: str) -> None:
    drawn = jax.jit(Transformer(OTHERS[kind]).init)(jax.random.key(0), IDS, MASK)

    def gradient(again: bool):
        model = Transformer(OTHERS[kind], rematerialise=again)

        def loss(params):
            key = {"dropout": jax.random.key(1)}
            out = model.apply(params, IDS, MASK, deterministic=False, rngs=key)
            return (out * MASK[..., None]).sum(where=MASK[..., None]) ** 2

        return jax.jit(jax.grad(loss))(drawn)

    for one, other in zip(
        jax.tree.leaves(gradient(True)), jax.tree.leaves(gradient(False)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


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
    with pytest.raises(ValueError, match="each of the 6 layers, got 2"):
        TransformerShape(vocabulary_size=9, windows=(1, 2))
    with pytest.raises(ValueError, match="got 6 features and 2 heads"):
        sizes = {"features": 6, "heads": 2, "layers": 1}
        TransformerShape(vocabulary_size=9, rotary_bases=(1e4,), **sizes)
    with pytest.raises(ValueError, match="got 'swish'"):
        TransformerShape(vocabulary_size=9, activation="swish")
