"""The whole classifier: its logits are the product of its two sides."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.modules import LabelGraph, Magnet, TextEncoder

B, S, N, F, D = 3, 6, 4, 5, 8
PRIOR = jnp.array([0.5, 0.1, 0.0, 1.0])


def made_batch() -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    return {
        "token_mask": jnp.asarray(np.arange(S) < np.array([[6], [3], [1]])),
        "token_ids": jnp.asarray(generator.integers(0, 10, (B, S)), jnp.int32),
    }


def made_graph() -> tuple[jax.Array, jax.Array, jax.Array]:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(N, F)).astype(np.float32)
    adjacency = generator.random((N, N)).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(adjacency), PRIOR


def small_magnet(kind: str = "bag", **options: Any) -> Magnet:
    hidden = D // 2 if kind == "bilstm" else 0
    encoder = TextEncoder(
        kind=kind, vocabulary_size=10, features=D, hidden_features=hidden
    )
    graph = LabelGraph(D, hidden_dim=3, heads=2)
    return Magnet(text_encoder=encoder, label_graph=graph, **options)


def started(model: Magnet) -> Any:
    return model.init(jax.random.key(0), *made_graph(), **made_batch())["params"]


@pytest.mark.parametrize("kind", ["bag", "bilstm"])
def test_the_logits_are_the_product_of_documents_and_labels(kind: str) -> None:
    model = small_magnet(kind)
    params = started(model)
    documents = model.text_encoder.apply(
        {"params": params["text_encoder"]}, **made_batch()
    )
    features, adjacency, _ = made_graph()
    labels = model.label_graph.apply(
        {"params": params["label_graph"]}, features, adjacency
    )
    expected = np.empty((B, N))
    for b in range(B):
        for n in range(N):
            products = np.float64(documents[b]) * np.float64(labels[n])
            expected[b, n] = products.sum() + float(params["label_bias"][n])
    logits = model.apply({"params": params}, *made_graph(), **made_batch())
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_the_bias_starts_at_the_log_odds_of_each_label() -> None:
    bias = started(small_magnet())["label_bias"]
    np.testing.assert_allclose(bias[:2], [0.0, np.log(0.1 / 0.9)], atol=1e-6)
    assert np.isfinite(bias).all(), "a label on no or on every document has odds too"


def test_permuting_the_labels_permutes_the_logits() -> None:
    model = small_magnet()
    params = started(model)
    order = np.array([2, 0, 3, 1])
    graph = dict(params["label_graph"])
    for name in ("free_vectors", "features"):
        graph[name] = graph[name][order]
    graph["edge_bias"] = graph["edge_bias"][order][:, order]
    permuted = {**params, "label_graph": graph}
    permuted["label_bias"] = params["label_bias"][order]
    features, adjacency, prior = made_graph()
    before = model.apply({"params": params}, *made_graph(), **made_batch())
    after = model.apply(
        {"params": permuted},
        features[order],
        adjacency[order][:, order],
        prior[order],
        **made_batch(),
    )
    np.testing.assert_allclose(after, before[:, order], atol=1e-6)


def test_a_document_has_the_same_logits_in_any_company() -> None:
    model = small_magnet("bilstm")
    params = started(model)
    batch = made_batch()
    together = model.apply({"params": params}, *made_graph(), **batch)
    for row in range(B):
        alone = {name: array[row : row + 1] for name, array in batch.items()}
        logits = model.apply({"params": params}, *made_graph(), **alone)
        np.testing.assert_allclose(logits[0], together[row], atol=1e-6)


def test_token_vectors_stand_in_for_token_ids() -> None:
    model = small_magnet("bilstm")
    params = started(model)
    batch = made_batch()
    vectors = params["text_encoder"]["embedding"]["embedding"][batch["token_ids"]]
    encoder = {k: v for k, v in params["text_encoder"].items() if k != "embedding"}
    np.testing.assert_allclose(
        model.apply(
            {"params": {**params, "text_encoder": encoder}},
            *made_graph(),
            batch["token_mask"],
            token_vectors=vectors,
        ),
        model.apply({"params": params}, *made_graph(), **batch),
        atol=1e-6,
    )


def test_dropout_acts_in_training_alone() -> None:
    model = small_magnet(dropout_rate=0.5)
    params = started(model)

    def run(key: int) -> Any:
        return model.apply(
            {"params": params},
            *made_graph(),
            **made_batch(),
            deterministic=False,
            rngs={"dropout": jax.random.key(key)},
        )

    assert np.abs(run(1) - run(2)).max() > 1e-4
    still = model.apply({"params": params}, *made_graph(), **made_batch())
    assert np.isfinite(still).all()
