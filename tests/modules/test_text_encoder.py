import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.modules.text_encoder import TextEncoder, place_params
from labelgraph_jax.modules.transformer import Transformer, TransformerShape

IDS = np.array([[3, 4, 4, 0], [5, 0, 0, 0], [0, 0, 0, 0]], np.int32)
MASK = IDS > 0
TINY = TransformerShape(
    vocabulary_size=9, features=8, layers=1, heads=2, hidden_features=16
)
KINDS = {
    "bag": TextEncoder(kind="bag", vocabulary_size=9, features=8),
    "deep bag": TextEncoder(vocabulary_size=9, features=8, hidden_features=5),
    "cnn": TextEncoder(kind="cnn", vocabulary_size=9, features=8, hidden_features=3),
    "bilstm": TextEncoder(
        kind="bilstm", vocabulary_size=9, features=8, hidden_features=3
    ),
    "max bilstm": TextEncoder(
        kind="bilstm", vocabulary_size=9, features=8, hidden_features=3, pooling="max"
    ),
    "blocks": TextEncoder(
        kind="blocks", vocabulary_size=9, features=8, hidden_features=3
    ),
    "transformer": TextEncoder(kind="transformer", transformer=TINY),
    "cls": TextEncoder(kind="transformer", transformer=TINY, pooling="cls"),
}


def start(model: TextEncoder, **inputs) -> dict:
    inputs = inputs or {"token_ids": IDS, "token_mask": MASK}
    init = jax.jit(lambda key: model.init(key, **inputs))
    return init(jax.random.key(0))["params"]


def encode(model: TextEncoder, params: dict, *inputs, **options) -> np.ndarray:
    apply = jax.jit(lambda p, *i, **o: model.apply({"params": p}, *i, **o))
    return np.asarray(apply(params, *inputs, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_one_vector_of_its_width(kind: str) -> None:
    model = KINDS[kind]
    params = start(model)
    apply = jax.jit(lambda p, i, m: model.apply({"params": p}, i, m))
    got = apply(params, IDS, MASK)
    assert got.shape == (3, model.output_features)
    assert got.dtype == jnp.float32
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[2], 0, atol=1e-6)
    # Further padding changes nothing, nor does what stands in it.
    wide = np.pad(IDS, ((0, 0), (0, 3)), constant_values=7)
    padded = apply(params, wide, np.pad(MASK, ((0, 0), (0, 3))))
    np.testing.assert_allclose(got, padded, atol=1e-5)
    # A window axis of one window is no window axis.
    windowed = apply(params, IDS[:, None], MASK[:, None])
    np.testing.assert_allclose(got, windowed, atol=1e-5)


@pytest.mark.parametrize("kind", ["bag", "bilstm", "blocks", "cnn", "transformer"])
def test_dropout_follows_its_key_and_gradients_reach_the_vectors(kind: str) -> None:
    model = KINDS[kind].clone(
        dropout_rate=0.3, input_dropout_rate=0.3, token_dropout_rate=0.2
    )
    params = start(model)

    @jax.jit
    def run(params, seed):
        key = {"dropout": jax.random.key(seed)}
        return model.apply({"params": params}, IDS, MASK, deterministic=False, rngs=key)

    np.testing.assert_array_equal(run(params, 0), run(params, 0))
    assert not np.array_equal(run(params, 0), run(params, 1))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(run(p, 0) ** 2)))(params)
    body = gradient["transformer" if kind == "transformer" else "embedding"]
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(body))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("kind", ["bilstm", "transformer"])
def test_a_frozen_body_gets_no_gradient(kind: str) -> None:
    model = KINDS[kind].clone(frozen=True)
    params = start(model)
    gradient = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, IDS, MASK) ** 2))(
        params
    )
    body = gradient["transformer" if kind == "transformer" else "embedding"]
    assert all(not leaf.any() for leaf in jax.tree.leaves(body))


def test_given_token_vectors_stand_in_for_the_transformer_they_came_from() -> None:
    model = KINDS["transformer"]
    params = start(model)
    body = jax.jit(Transformer(TINY).apply)
    vectors = body({"params": params["transformer"]}, IDS, MASK)
    expected = encode(model, params, IDS, MASK)
    given = TextEncoder(kind="transformer", features=8)
    got = encode(given, {}, None, MASK, token_vectors=vectors)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_windows_of_a_document_are_pooled_over_the_real_ones() -> None:
    model = KINDS["bag"]
    params = start(model)
    windows = np.stack([IDS[[0]], IDS[[1]], IDS[[2]]], axis=1)
    single = encode(model, params, IDS, MASK)
    mean = encode(model, params, windows, windows > 0)
    np.testing.assert_allclose(mean[0], (single[0] + single[1]) / 2, atol=1e-6)
    most = encode(model.clone(window_pooling="max"), params, windows, windows > 0)
    np.testing.assert_allclose(most[0], np.maximum(single[0], single[1]), atol=1e-6)


def test_token_weights_are_fixed_unless_they_are_to_be_learned() -> None:
    weights = np.array([0, 1, 1, 4, 0.5, 1, 1, 1, 1], np.float32)
    for learned in (False, True):
        model = KINDS["bag"].clone(learn_token_weights=learned)
        params = place_params(start(model), token_weight=weights)

        def total(params, model=model):
            return jnp.sum(model.apply({"params": params}, IDS, MASK) ** 2)

        gradient = jax.jit(jax.grad(total))(params)["token_weight"]
        assert bool(np.abs(gradient).max() > 1e-6) is learned
    plain = encode(KINDS["bag"], start(KINDS["bag"]), IDS, MASK)
    weighed = encode(KINDS["bag"], params, IDS, MASK)
    assert np.abs(plain[0] - weighed[0]).max() > 1e-3


def test_published_values_are_placed_where_they_fit() -> None:
    params = start(KINDS["bilstm"])
    table = np.ones((9, 8), np.float32)
    placed = place_params(params, embedding=table)
    np.testing.assert_array_equal(placed["embedding"]["embedding"], table)
    assert placed["forward"] is params["forward"]
    with pytest.raises(ValueError, match=r"must have shape \(9, 8\), got \(9, 7\)"):
        place_params(params, embedding=table[:, :7])
    with pytest.raises(ValueError, match="has no 'token_weight'"):
        place_params(params, token_weight=np.ones(9))
    with pytest.raises(ValueError, match="another structure"):
        place_params(start(KINDS["transformer"]), transformer={"token": table})


def test_bad_settings_and_inputs_say_what_must_hold() -> None:
    with pytest.raises(ValueError, match="got 'rnn'"):
        TextEncoder(kind="rnn")
    with pytest.raises(ValueError, match="hidden_features of at least 1, got 0"):
        TextEncoder(kind="cnn")
    with pytest.raises(ValueError, match="pools by last or max or mean, got 'cls'"):
        TextEncoder(kind="bilstm", hidden_features=3, pooling="cls")
    with pytest.raises(ValueError, match="blocks pools by weights alone, got 'max'"):
        TextEncoder(kind="blocks", hidden_features=3, pooling="max")
    with pytest.raises(ValueError, match="vocabulary_size >= 1, got 0"):
        start(TextEncoder())
    model = TextEncoder(features=8, vocabulary_size=9)
    with pytest.raises(ValueError, match="either token_ids or token_vectors"):
        model.init(jax.random.key(0))
    with pytest.raises(ValueError, match="must have 8 features, got 7"):
        model.init(jax.random.key(0), token_vectors=np.ones((1, 2, 7)))
    with pytest.raises(ValueError, match=r"got \(1, 3\) for \(1, 2\)"):
        model.init(jax.random.key(0), IDS[:1, :2], MASK[:1, :3])


def test_values_weigh_the_vectors_of_a_bag_in_place_of_counts() -> None:
    encoder = TextEncoder(kind="bag", vocabulary_size=5, features=4)
    ids = jnp.array([[1, 2, 0], [3, 0, 0]])
    mask = jnp.array([[True, True, False], [True, False, False]])
    values = jnp.array([[3.0, 4.0, 0.0], [-2.0, 0.0, 0.0]])
    params = encoder.init(jax.random.key(0), ids, mask)
    table = params["params"]["embedding"]["embedding"]
    got = encoder.apply(params, ids, mask, token_values=values)
    np.testing.assert_allclose(got[0], 0.6 * table[1] + 0.8 * table[2], atol=1e-6)
    np.testing.assert_allclose(got[1], -table[3], atol=1e-6)


def test_values_of_anything_but_a_bags_ids_are_refused() -> None:
    ids = jnp.array([[1, 2, 0]])
    sequence = TextEncoder(kind="cnn", vocabulary_size=5, hidden_features=2)
    with pytest.raises(ValueError, match=r"kind must be 'bag' .* got a cnn"):
        sequence.init(jax.random.key(0), ids, token_values=jnp.ones((1, 3)))
    bag = TextEncoder(kind="bag", vocabulary_size=5)
    with pytest.raises(ValueError, match=r"must have the shape \(1, 3\) of token_ids"):
        bag.init(jax.random.key(0), ids, token_values=jnp.ones((1, 2)))
