"""Every setting of the label graph, from a configuration to label vectors."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError, GraphConfig
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.graph.adjacency import similarity_adjacency
from labelgraph_jax.modules.label_graph import AttentionForm, LabelGraph
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.runs.adjacency_file import write_adjacency
from labelgraph_jax.runs.label_graph import label_graph_arrays

NAMES = ("crude oil", "oil", "wheat flour")
SPACE = LabelSpace(NAMES, parents={"crude oil": ("oil",)})
TARGETS = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], bool)
SETS = csr_array(TARGETS.astype(np.float32))


def choices(setting: str) -> tuple[str, ...]:
    return typing.get_args(typing.get_type_hints(GraphConfig)[setting])


FORMS, ROLES = choices("attention"), choices("role")
GRID = [(form, role) for form in FORMS for role in ROLES]


def settings(**graph: Any) -> Config:
    small = {"layers": 1, "heads": 2, "feature_dim": 4}
    return Config(graph=GraphConfig(**small | graph))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_words(list(NAMES), vocabulary_size=9, min_count=1)


@pytest.fixture(scope="module")
def starts(
    tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, str], LabelGraphArrays]]:
    """For every initialisation the settings that it takes, and what it gives."""
    path = tmp_path_factory.mktemp("graph") / "signed.npz"
    write_adjacency(path, NAMES[::-1], np.array([[0, -1, 0], [0, 0, 2], [0] * 3]), {})
    found = {}
    for name in choices("initialisation"):
        graph = {"initialisation": name}
        if name == "file":
            graph["adjacency_file"] = str(path)
        arrays = label_graph_arrays(settings(**graph), SPACE, SETS, tokenizer, None)
        found[name] = graph, arrays
    return found


def label_graph(config: Config, arrays: LabelGraphArrays) -> LabelGraph:
    classifier = build_classifier(config, arrays, vocabulary_size=9)
    graph = getattr(classifier.module, "label_graph")  # noqa: B009 - three kinds have it
    return dataclasses.replace(graph, parent=None, output_dim=3)


def test_the_forms_of_attention_are_those_that_the_module_knows() -> None:
    assert typing.get_args(AttentionForm) == FORMS


@pytest.mark.parametrize(("form", "role"), GRID)
def test_every_form_with_every_role_and_start_works_or_is_refused(
    form: str, role: str, starts: Any
) -> None:
    if form == "convolution" and role not in ("fixed", "multiplicative"):
        with pytest.raises(ConfigError, match=rf"graph.role must be .* got '{role}'"):
            settings(attention=form, role=role)
        return
    graphs = {
        label_graph(settings(attention=form, role=role, gated=True, **graph), arrays)
        for graph, arrays in starts.values()
    }
    assert len(graphs) == 1, "where the adjacency starts is no matter of the module"

    def started(features: jax.Array, adjacency: jax.Array) -> Any:
        (graph,) = graphs
        return graph.init_with_output(jax.random.key(0), features, adjacency)

    features = jnp.stack([arrays.features for _, arrays in starts.values()])
    adjacency = jnp.stack([arrays.adjacency for _, arrays in starts.values()])
    vectors, variables = jax.vmap(started)(features, adjacency)
    assert vectors.shape == (len(starts), 3, 3)
    finite = np.isfinite(vectors).all(axis=(1, 2))
    assert dict.fromkeys(starts, True) == dict(zip(starts, finite, strict=True))
    params = variables["params"]
    assert "gate_kernel" in params
    assert (params["kernel_0"][0].ndim == 2) is (form == "convolution")
    assert ("attention_0" in params) is (form == "gatv2")
    learned = params.keys() & {"edge_bias", "edge_weights"}
    assert bool(learned) is (role in ("additive", "multiplicative"))


def test_the_graph_of_alike_labels_compares_their_features(starts: Any) -> None:
    _, arrays = starts["similarity"]
    expected = similarity_adjacency(arrays.features, neighbours=5)
    np.testing.assert_array_equal(arrays.adjacency, expected)
    # "crude oil" and "oil" share a word, "wheat flour" shares none with them.
    assert 0.4 < arrays.adjacency[0, 1] < 1.0
    with pytest.raises(ConfigError, match=r"features must be 'names' or .* 'random'"):
        settings(initialisation="similarity", features="random")


def test_a_file_gives_its_adjacency_in_the_order_of_the_labels(starts: Any) -> None:
    _, arrays = starts["file"]
    np.testing.assert_array_equal(
        arrays.adjacency, np.array([[0] * 3, [2, 0, 0], [0, -1, 0]])
    )


def test_a_file_of_other_labels_is_refused(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "other.npz"
    write_adjacency(path, ("oil", "tin"), np.eye(2), {})
    config = settings(initialisation="file", adjacency_file=str(path))
    with pytest.raises(ConfigError, match=r"2 of 3 are missing: 'crude oil', 'wheat"):
        label_graph_arrays(config, SPACE, SETS, tokenizer, None)


def test_word_vectors_can_be_the_label_features(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("oil 3 0 4\nflour 0 2 0\n")
    config = settings(features="word_vectors", vectors_file=str(path))
    arrays = label_graph_arrays(config, SPACE, SETS, tokenizer, None)
    np.testing.assert_allclose(
        arrays.features, [[0.6, 0, 0.8], [0.6, 0, 0.8], [0, 1, 0]], rtol=1e-6
    )
