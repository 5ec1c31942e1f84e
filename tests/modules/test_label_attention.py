"""Label-wise attention: its queries, its windows, and what a graph adds to it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.modules import LabelAttention, LabelGraph, TextEncoder
from tests.reference import label_attention as reference

B, S, N, F, D = 3, 6, 4, 5, 8
PRIOR = jnp.array([0.5, 0.1, 0.0, 1.0])


def made_batch(windows: int = 0) -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    shape = (B, windows, S) if windows else (B, S)
    lengths = np.array([[6], [3], [1]])
    mask = np.arange(S) < (lengths[:, None] if windows else lengths)
    return {
        "token_mask": jnp.asarray(np.broadcast_to(mask, shape)),
        "token_ids": jnp.asarray(generator.integers(0, 10, shape), jnp.int32),
    }


def made_graph() -> tuple[jax.Array, jax.Array, jax.Array]:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(N, F)).astype(np.float32)
    adjacency = generator.random((N, N)).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(adjacency), PRIOR


def model(kind: str = "cnn", **graph: Any) -> LabelAttention:
    # Tokens as wide as the table: a CNN of one width, a BiLSTM of half the units.
    encoder = TextEncoder(
        kind=kind,
        vocabulary_size=10,
        features=D,
        hidden_features=D // 2 if kind == "bilstm" else D,
        widths=(3,),
        token_level=True,
    )
    return LabelAttention(encoder, LabelGraph(D, hidden_dim=3, heads=2, **graph))


def started(network: LabelAttention, **batch: Any) -> Any:
    start = jax.jit(lambda key: network.init(key, *made_graph(), **batch)["params"])
    return start(jax.random.key(0))


def logits_of(network: LabelAttention, params: Any, **batch: Any) -> np.ndarray:
    run = jax.jit(lambda p: network.apply({"params": p}, *made_graph(), **batch))
    return np.asarray(run(params))


@pytest.mark.parametrize(
    ("kind", "graph"),
    [
        ("cnn", {"layers": 0}),
        ("bilstm", {"residual": True}),
        ("cnn", {"residual": False}),
    ],
)
def test_every_label_judges_the_tokens_that_its_query_finds(
    kind: str, graph: dict[str, Any]
) -> None:
    network, batch = model(kind, **graph), made_batch()
    params = started(network, **batch)
    tokens = network.text_encoder.apply({"params": params["text_encoder"]}, **batch)
    features, adjacency, _ = made_graph()
    labels = network.label_graph.apply(
        {"params": params["label_graph"]}, features, adjacency
    )
    labels = np.asarray(labels, np.float64)
    queries = np.zeros_like(labels)
    if graph.get("residual", True):
        queries += params["queries"]
    if graph.get("layers", 2):
        queries += labels @ np.asarray(params["query_kernel"], np.float64)
    assert ("queries" in params) == graph.get("residual", True)
    assert ("query_kernel" in params) == (graph.get("layers") != 0)
    expected = reference.label_attention_scores(
        np.asarray(tokens, np.float64), batch["token_mask"], queries, labels
    )
    expected += np.asarray(params["label_bias"])
    np.testing.assert_allclose(logits_of(network, params, **batch), expected, atol=1e-4)


def test_the_bias_starts_at_the_log_odds_of_each_label() -> None:
    bias = started(model(), **made_batch())["label_bias"]
    np.testing.assert_allclose(bias[:2], [0.0, np.log(0.1 / 0.9)], atol=1e-6)
    assert np.isfinite(bias).all()


def test_the_windows_of_a_document_are_attended_to_together() -> None:
    """Token vectors in two windows, or in one after the other: the same logits."""
    encoder = TextEncoder(kind="transformer", features=D, token_level=True)
    network = LabelAttention(encoder, LabelGraph(D, layers=0))
    mask = made_batch(windows=2)["token_mask"]
    vectors = jnp.asarray(
        np.random.default_rng(3).normal(size=(*mask.shape, D)), jnp.float32
    )
    inputs = {"token_mask": mask, "token_vectors": vectors}
    params = started(network, **inputs)
    flat = {name: x.reshape(B, 2 * S, *x.shape[3:]) for name, x in inputs.items()}
    together = logits_of(network, params, **inputs)
    np.testing.assert_allclose(together, logits_of(network, params, **flat), atol=1e-6)
    first = {name: x[:, 0] for name, x in inputs.items()}
    assert np.abs(together - logits_of(network, params, **first)).max() > 1e-2


@pytest.mark.parametrize("kind", ["cnn", "bilstm"])
def test_more_padding_and_other_company_change_nothing(kind: str) -> None:
    network, batch = model(kind), made_batch()
    params = started(network, **batch)
    together = logits_of(network, params, **batch)
    padded = {name: jnp.pad(x, ((0, 0), (0, 3))) for name, x in batch.items()}
    np.testing.assert_allclose(
        logits_of(network, params, **padded), together, atol=1e-5
    )
    alone = {name: x[1:2] for name, x in batch.items()}
    np.testing.assert_allclose(
        logits_of(network, params, **alone), together[1:2], atol=1e-5
    )


def test_without_the_kernel_and_the_message_a_graph_is_the_plain_model() -> None:
    plain, batch = model(layers=0), made_batch()
    params = started(plain, **batch)
    graph = started(model(), **batch)
    graph["query_kernel"] = jnp.zeros_like(graph["query_kernel"])
    graph["label_graph"] = {
        **graph["label_graph"],
        **params["label_graph"],
        "message_scale": jnp.zeros(()),
    }
    graph |= {n: params[n] for n in ("queries", "label_bias", "text_encoder")}
    np.testing.assert_allclose(
        logits_of(model(), graph, **batch),
        logits_of(plain, params, **batch),
        atol=1e-6,
    )


def test_tokens_that_are_hidden_in_training_are_zeros() -> None:
    encoder = TextEncoder(
        kind="transformer", features=D, token_level=True, token_dropout_rate=0.5
    )
    tokens = encoder.apply(
        {},
        token_vectors=jnp.ones((B, S, D)),
        deterministic=False,
        rngs={"dropout": jax.random.key(0)},
    )
    kept = np.asarray(tokens).all(axis=-1)
    assert 0 < kept.mean() < 1
    assert (np.asarray(tokens)[~kept] == 0).all()


def test_an_encoder_that_gives_no_token_vectors_is_refused() -> None:
    encoder = TextEncoder(kind="cnn", features=D, hidden_features=D)
    with pytest.raises(ValueError, match="needs a text encoder with token_level"):
        LabelAttention(encoder, LabelGraph(D))
    with pytest.raises(ValueError, match="a fused bag has no vector for every token"):
        TextEncoder(kind="bag", features=D, fused=True, token_level=True)


@pytest.mark.parametrize(("role", "layers"), [("additive", 0), ("none", 1)])
def test_messages_join_what_labels_read_in_a_document(role: str, layers: int) -> None:
    """At first nothing is sent; then the scores are those of the pure function."""
    network = model(layers=layers, role=role)
    loud = network.copy(messages=True)
    batch = made_batch()
    params = started(loud, **batch)
    silent = {n: x for n, x in params.items() if not n.startswith("message_")}
    plain = logits_of(network, silent, **batch)
    np.testing.assert_allclose(logits_of(loud, params, **batch), plain, atol=1e-5)
    params = dict(params) | {"message_scale": jnp.array(1.0)}
    features, adjacency, _ = made_graph()
    own = {"params": params["text_encoder"]}
    tokens = network.text_encoder.apply(own, **batch)
    labels = network.label_graph.apply(
        {"params": params["label_graph"]}, features, adjacency
    )
    queries = params["queries"]
    if layers:
        queries = queries + labels @ params["query_kernel"]
    expected = lg.functional.document_graph_scores(
        tokens,
        batch["token_mask"],
        queries,
        labels,
        *(params[f"message_{n}"] for n in ("kernel", "receiver", "sender", "scale")),
        edge_weights=None if role == "none" else adjacency,
        role=role,
    )
    expected = expected + params["label_bias"]
    np.testing.assert_allclose(logits_of(loud, params, **batch), expected, atol=1e-4)


def test_a_bag_gives_its_tokens_by_their_weights() -> None:
    encoder = TextEncoder(vocabulary_size=10, features=D, token_level=True)
    batch = made_batch()
    params = encoder.init(jax.random.key(0), **batch)["params"]
    params = {**params, "token_weight": jnp.arange(10.0)}
    tokens = encoder.apply({"params": params}, **batch)
    ids, mask = batch["token_ids"], batch["token_mask"]
    expected = params["embedding"]["embedding"][ids] * ids[..., None] * mask[..., None]
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
