"""Label graphs from documents, files and runs."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import Config, ConfigError, DataConfig, GraphConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.inspection.graph.sources import built_graph, run_graph, saved_graph
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.adjacency_file import write_adjacency
from labelgraph_jax.training.checkpoint import CheckpointStore
from tests.tiny import LABELS, made_documents, write_jsonl

TAXONOMY = "Root\tcrops\toil\ncrops\tgrain\ngrain\tcorn\twheat\n"


def test_the_graph_is_the_one_that_training_starts_from(trained: Path) -> None:
    config = Workdir(trained).config()
    found = built_graph(config)
    assert found.labels == LABELS
    start = Workdir(trained).label_graph().adjacency
    np.testing.assert_array_equal(found.adjacency, start)
    assert found.report.documents == 48
    assert found.about["training_documents"] == 48


@pytest.mark.parametrize("initialisation", ["cooccurrence", "thresholded"])
def test_the_labels_of_validation_and_test_change_nothing(
    initialisation: Any, tiny_data: DataConfig, tmp_path: Path
) -> None:
    graph = GraphConfig(initialisation=initialisation)
    found = built_graph(Config(data=tiny_data, graph=graph))
    changed = {}
    for split in ("validation", "test"):
        documents = made_documents(12, seed=9)
        for document in documents:
            document["labels"] = ["oil", "ship", "tin"]
        changed[split] = str(write_jsonl(tmp_path / f"{split}.jsonl", documents))
    other = built_graph(
        Config(data=dataclasses.replace(tiny_data, **changed), graph=graph)
    )
    np.testing.assert_array_equal(other.adjacency, found.adjacency)
    assert other.report == found.report


def test_what_is_cut_off_for_the_test_is_not_counted(tiny_data: DataConfig) -> None:
    data = DataConfig(
        data=tiny_data.data, test_fraction=0.25, validation_fraction=0.125
    )
    found = built_graph(Config(data=data))
    assert found.report.documents is not None
    assert 20 <= found.report.documents <= 30
    assert sum(edge.documents or 0 for edge in found.report.strongest) < 2 * 30


def test_a_taxonomy_of_one_s_own_is_a_graph_through_its_inner_nodes(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(TAXONOMY)
    data = dataclasses.replace(tiny_data, taxonomy=str(path), taxonomy_shape="tree")
    graph = GraphConfig(initialisation="taxonomy")
    found = built_graph(Config(data=data, graph=graph))
    expected = np.eye(5)
    for child in ("corn", "wheat"):
        i, j = LABELS.index(child), LABELS.index("grain")
        expected[i, j] = expected[j, i] = 1.0
    np.testing.assert_array_equal(found.adjacency, expected)
    path.write_text(TAXONOMY + "oil\tship\ncrops\tship\n")
    with pytest.raises(DataError, match=r"t\.tsv:5: in a tree .*'ship' stands under"):
        built_graph(Config(data=data, graph=graph))
    with pytest.raises(ConfigError, match="initialisation='taxonomy' needs labels of"):
        built_graph(Config(data=tiny_data, graph=graph))


def test_a_saved_graph_is_described_as_it_was_when_built(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    built = built_graph(Config(data=tiny_data))
    path = tmp_path / "graph.npz"
    write_adjacency(path, built.labels, built.adjacency, built.about)
    saved = saved_graph(path)
    assert saved.labels == built.labels
    np.testing.assert_array_equal(saved.adjacency, built.adjacency)
    assert saved.about == built.about
    for name in ("edges", "density", "isolated", "reciprocated", "most_senders"):
        assert getattr(saved.report, name) == getattr(built.report, name)


def test_a_saved_graph_needs_no_word_about_itself_but_a_sound_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "graph.npz"
    arrays = {"adjacency": np.eye(2, dtype=np.float32), "labels": np.array(["a", "b"])}
    np.savez(path, **arrays)
    assert saved_graph(path).about == {}
    np.savez(path, **arrays, about=np.array("{"))
    with pytest.raises(ConfigError, match=r"graph\.npz: 'about' must be JSON"):
        saved_graph(path)
    np.savez(path, **arrays, about=np.array("[1]"))
    with pytest.raises(ConfigError, match=r"'about' must be a JSON object, got '\[1\]"):
        saved_graph(path)


def test_a_run_tells_what_training_made_of_its_graph(trained: Path) -> None:
    found = run_graph(trained, strongest=3)
    place = Workdir(trained)
    with CheckpointStore(place.checkpoints) as store:
        bias = store.restore_params("best")["label_graph"]["edge_bias"]
    np.testing.assert_allclose(found.adjacency, np.exp(bias), rtol=1e-6)
    learned = found.report.learned
    assert learned is not None and learned.correlation is not None
    assert learned.mean_change > 0
    edge = learned.strengthened[0]
    i, j = LABELS.index(edge.receiver), LABELS.index(edge.sender)
    assert edge.weight == pytest.approx(float(found.adjacency[i, j]))
    assert edge.before == pytest.approx(max(place.label_graph().adjacency[i, j], 1e-3))
    assert edge.weight > edge.before


def test_a_run_that_has_no_graph_or_no_checkpoint_says_so(
    trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("checkpoints"))
    (run / "manifest.json").unlink()
    assert run_graph(run).report.learned is None
    config = json.loads((run / "config.json").read_text())
    config["graph"]["layers"] = 0
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"no label graph \(graph.layers=0"):
        run_graph(run)
