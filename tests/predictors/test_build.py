"""Every head from its settings: built, trained, evaluated, loaded, asked."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    HeadConfig,
    LossConfig,
    TextConfig,
)
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from tests.tiny import LABELS, tiny_config, write_tiny_bert

N, F = 3, 4


def small_graph() -> LabelGraphArrays:
    generator = np.random.default_rng(0)
    prior = np.array([0.5, 0.2, 0.1], np.float32)
    return LabelGraphArrays(
        generator.normal(size=(N, F)).astype(np.float32),
        generator.random((N, N)).astype(np.float32),
        prior,
        10 * prior,
    )


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Trains; and says the same of the test documents trained, evaluated, loaded."""
    results = fit(config, workdir, progress=False)
    assert results == json.loads((workdir / "results.json").read_text())
    again = evaluate_workdir(workdir)
    assert again["test"] == results["test"]
    assert all(np.isfinite(v) for v in results["test"]["metrics"].values())
    model = load(workdir)
    probabilities = model.predict_proba(["maize cob harvest", "", "barrel crude"])
    assert probabilities.shape == (3, len(LABELS))
    assert np.isfinite(probabilities).all()
    assert all(set(labels) <= set(LABELS) for labels in model.predict("maize cob"))
    return results


HEADS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("label_attention", {"encoder": "cnn", "dropout": 0.1}, {"layers": 1}),
    ("recurrent", {"encoder": "bilstm"}, {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "text", "graph"), HEADS)
def test_every_head_learns_words_that_name_the_labels(
    kind: str,
    text: dict[str, Any],
    graph: dict[str, Any],
    tiny_data: DataConfig,
    tmp_path: Path,
) -> None:
    config = tiny_config(
        tiny_data,
        text={**text, "hidden": 12},
        graph=graph,
        training={"epochs": 8, "batch_size": 8, "learning_rate": 0.05},
    )
    head = HeadConfig(kind=kind, hidden=12, max_labels=4)
    results = run(dataclasses.replace(config, head=head), tmp_path / "w")
    assert results["test"]["metrics"]["micro_f1"] > 0.8
    assert results["test"]["metrics_at_half"]["micro_f1"] > 0.7


@pytest.mark.slow
def test_label_attention_reads_the_cached_windows_of_a_frozen_encoder(
    tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text: dict[str, Any] = {"encoder": "transformer", "vectors": "pretrained"}
    text |= {"pretrained": str(folder), "trainable": False, "max_length": 6}
    text |= {"long_documents": "windows", "max_windows": 2}
    config = tiny_config(
        tiny_data, text=text, graph={"layers": 0}, training={"epochs": 1}
    )
    config = dataclasses.replace(config, head=HeadConfig(kind="label_attention"))
    run(config, tmp_path / "w")
    assert encodings_folder.exists()
    params = load(tmp_path / "w").params
    assert "text_encoder" not in params, "a frozen encoder leaves nothing to learn"


def test_a_product_without_graph_layers_is_one_linear_layer() -> None:
    """Neural binary relevance: one weight vector and one bias per label."""
    config = Config(
        text=TextConfig(encoder="bilstm", dim=4, hidden=3, dropout=0.0),
        graph=GraphConfig(layers=0),
    )
    classifier = build_classifier(config, small_graph(), vocabulary_size=9)
    batch = {
        "token_ids": jnp.array([[1, 2, 3], [4, 5, 0]]),
        "token_mask": jnp.array([[True, True, True], [True, True, False]]),
    }
    params = classifier.init(jax.random.key(0), batch)
    assert set(params) == {"text_encoder", "label_graph", "label_bias"}
    assert set(params["label_graph"]) == {"free_vectors"}
    documents = classifier.module.text_encoder.apply(
        {"params": params["text_encoder"]}, **batch
    )
    kernel = params["label_graph"]["free_vectors"].T
    logits = classifier.apply(params, batch)
    np.testing.assert_allclose(
        logits, documents @ kernel + params["label_bias"], atol=1e-6
    )
    assert classifier.own_loss is None


def test_a_sequence_is_learned_by_an_objective_of_its_own() -> None:
    config = Config(
        text=TextConfig(ngrams=False, dim=4, dropout=0.5, token_dropout=0.0),
        head=HeadConfig(kind="recurrent", hidden=5, max_labels=2),
    )
    classifier = build_classifier(config, small_graph(), vocabulary_size=9)
    targets = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]], np.float32)
    batch = {
        "token_ids": np.array([[1, 2, 3], [4, 5, 0], [0, 0, 0]]),
        "token_mask": np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], bool),
        "targets": targets,
        "target_mask": np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool),
        "example_mask": np.array([True, True, False]),
    }
    params = classifier.init(jax.random.key(0), batch)
    loss = classifier.own_loss
    assert loss is not None
    loss_sum, weight_sum = jax.jit(loss)(params, batch, jax.random.key(1))
    assert weight_sum == 3 and loss_sum > 0
    # What is padding, and what nobody annotated, cannot matter.
    changed = targets.copy()
    changed[2], changed[1, 1] = 1, 1
    again = jax.jit(loss)(params, {**batch, "targets": changed}, jax.random.key(1))
    np.testing.assert_array_equal(again, (loss_sum, weight_sum))
    assert jax.jit(loss)(params, batch, jax.random.key(2))[0] != loss_sum


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"head": HeadConfig(kind="label_attention")},
            "text.encoder must be cnn, bilstm, blocks or transformer, or bag with "
            "graph.kind='document', got 'bag'",
        ),
        (
            {
                "head": HeadConfig(kind="label_attention"),
                "text": TextConfig(encoder="bilstm", pooling="max"),
            },
            "text.pooling must be 'default', got 'max'",
        ),
        (
            {
                "head": HeadConfig(kind="recurrent"),
                "loss": LossConfig(label_smoothing=0.1),
            },
            "keep its default, got label_smoothing: 0.0 -> 0.1",
        ),
    ],
)
def test_settings_that_a_head_does_not_read_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)
