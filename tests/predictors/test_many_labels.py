"""A run whose labels are scored in chunks gives what one does that scores them all."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.sparse import csr_array

import labelgraph_jax as lg
from labelgraph_jax.config import (
    Config,
    ConfigError,
    GraphConfig,
    HeadConfig,
    MemoryConfig,
)
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.functional.graph.adjacency import (
    conditional_adjacency,
    similarity_adjacency,
    thresholded_adjacency,
)
from labelgraph_jax.functional.graph.edges import adjacency_from_edges
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.many_labels import (
    EDGES_FROM,
    MANY,
    label_chunk,
    needs_adjacency,
    require_room,
    uses_edges,
)
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.runs.added_labels import make_memory
from labelgraph_jax.runs.ensemble import make_ensemble
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.label_edges import (
    conditional_edges,
    similar_edges,
    starting_edges,
    thresholded_edges,
)
from labelgraph_jax.runs.predict import write_predictions
from tests.tiny import LABELS, made_documents, tiny_config, write_corpus, write_jsonl
from tests.zoo import Zoo

CHUNK = 2
TEXTS = ["maize cob harvest the", "barrel crude port cargo", ""]


def run(folder: Path, data: Any, chunk: int, **graph: Any) -> Path:
    config = tiny_config(data, graph=graph)
    head = HeadConfig(label_chunk=chunk, kept_labels=len(LABELS))
    threshold = dataclasses.replace(config.threshold, kind="half")
    fit(
        dataclasses.replace(config, head=head, threshold=threshold),
        folder,
        progress=False,
    )
    return folder


@pytest.fixture(scope="module")
def workdirs(zoo: Zoo) -> tuple[Path, Path]:
    """A run that scores all labels at once, and the same one in chunks."""
    return zoo("whole"), zoo("chunks")


@pytest.fixture(scope="module")
def models(workdirs: tuple[Path, Path]) -> tuple[Model, Model]:
    whole, chunks = (lg.load(path) for path in workdirs)
    assert isinstance(whole, Model) and isinstance(chunks, Model)
    assert (whole.label_chunk, chunks.label_chunk) == (0, CHUNK)
    return whole, chunks


def test_training_in_chunks_ends_at_the_same_parameters(
    models: tuple[Model, Model],
) -> None:
    # AdamW scales a difference of rounding up to a part of its rate of 1e-2.
    whole, chunks = (model.params for model in models)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-3),
        whole,
        chunks,
    )


def test_predictions_in_chunks_are_those_of_all_labels(
    models: tuple[Model, Model],
) -> None:
    whole, chunks = models
    np.testing.assert_allclose(
        whole.predict_proba(TEXTS), chunks.predict_proba(TEXTS), atol=1e-3
    )
    assert chunks.predict(TEXTS) == whole.predict(TEXTS)
    for one, other in zip(
        whole.predict_top(TEXTS, 3), chunks.predict_top(TEXTS, 3), strict=True
    ):
        assert [name for name, _ in one] == [name for name, _ in other]
        for (_, p), (_, q) in zip(one, other, strict=True):
            assert p == pytest.approx(q, abs=1e-3)
    assert chunks.predict([]) == chunks.predict_top([], 2) == []


def test_an_ensemble_of_runs_in_chunks_asks_every_member(
    workdirs: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, chunks = workdirs
    results = make_ensemble([chunks, whole], tmp_path / "both")
    joined = lg.load(tmp_path / "both")
    probabilities = joined.predict_proba(TEXTS)
    assert joined.predict(TEXTS) == [joined.decide(row) for row in probabilities]
    best = [pairs[0][1] for pairs in joined.predict_top(TEXTS, 1)]
    np.testing.assert_allclose(best, probabilities.max(axis=1))
    assert "mAP" in results["test"]["metrics"]  # of all scores


def test_metrics_in_chunks_are_those_of_all_labels(
    workdirs: tuple[Path, Path],
) -> None:
    whole, chunks = (evaluate_workdir(path)["test"] for path in workdirs)
    assert chunks["kept_labels"] == len(LABELS)
    assert chunks["cut_documents"] == 0
    for part in ("metrics", "metrics_at_half"):
        missing = set(whole[part]) - set(chunks[part])
        assert missing == {"LRAP", "mAP"}
        for name, value in chunks[part].items():
            assert value == pytest.approx(whole[part][name], abs=1e-6), name


def test_what_training_wrote_is_what_evaluation_gives_back(
    workdirs: tuple[Path, Path],
) -> None:
    stored = json.loads((workdirs[1] / "results.json").read_text())
    assert evaluate_workdir(workdirs[1])["test"]["metrics"] == stored["test"]["metrics"]


def test_predictions_are_written_alike(
    models: tuple[Model, Model], tmp_path: Path
) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", made_documents(7, 5))
    for options in ({}, {"top_k": 2}, {"all_scores": True}):
        rows = []
        for number, model in enumerate(models):
            path = tmp_path / f"{number}.jsonl"
            assert write_predictions(model, str(source), str(path), **options) == 7
            rows.append([json.loads(line) for line in path.read_text().splitlines()])
        for one, other in zip(*rows, strict=True):
            assert one.keys() == other.keys()
            assert one["labels"] == other["labels"]
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "graph",
    [
        {"role": "none", "method": "complete"},
        {"rank": 2},
        {"attention": "relu", "role": "multiplicative", "rank": 1},
        {"attention": "convolution", "role": "fixed", "method": "sparse"},
        {"initialisation": "similarity", "method": "sparse", "neighbours": 2},
        {"role": "none", "method": "blocked", "attention_dropout": 0.2},
    ],
    ids=lambda graph: "-".join(map(str, graph.values())),
)
def test_every_graph_without_a_matrix_trains_in_chunks_and_loads(
    tmp_path: Path, graph: dict[str, Any]
) -> None:
    workdir = run(tmp_path / "run", write_corpus(tmp_path), CHUNK, **graph)
    model = lg.load(workdir)
    assert isinstance(model, Model)
    probabilities = model.predict_proba(TEXTS)
    assert probabilities.shape == (3, len(LABELS))
    assert np.isfinite(probabilities).all()


def test_a_memory_beside_labels_in_chunks_is_that_beside_all_scores(
    tmp_path: Path, workdirs: tuple[Path, Path]
) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", made_documents(5, 9))
    settings = MemoryConfig(
        kind="documents", weight=0.4, share=0.6, temperature=0.1, label_temperature=0.1
    )
    rows, metrics = [], []
    for number, place in enumerate(workdirs):
        folder = tmp_path / f"run{number}"
        shutil.copytree(place, folder)
        results = make_memory(folder, settings)
        model = lg.load(folder)
        assert isinstance(model, Model) and model.memory is not None
        metrics.append(results["test"]["metrics"])
        assert evaluate_workdir(folder)["test"]["metrics"] == metrics[-1]
        write_predictions(model, str(source), str(folder / "p.jsonl"), top_k=3)
        lines = (folder / "p.jsonl").read_text().splitlines()
        rows.append([json.loads(line) for line in lines])
    for name, value in metrics[1].items():
        assert value == pytest.approx(metrics[0][name], abs=1e-6), name
    for one, other in zip(*rows, strict=True):
        assert one["labels"] == other["labels"]
        assert one["scores"] == pytest.approx(other["scores"], abs=2e-3)


def test_labels_are_scored_in_chunks_from_twenty_thousand_on() -> None:
    assert label_chunk(Config(), MANY) == 0
    assert label_chunk(Config(), MANY + 1) == 4096
    asked = Config(head=HeadConfig(label_chunk=100))
    assert label_chunk(asked, 7) == 7
    assert label_chunk(Config(head=HeadConfig(label_chunk=0)), 10**6) == 0


def test_the_graph_of_two_thousand_labels_and_more_is_a_list_of_edges() -> None:
    few, many = EDGES_FROM, EDGES_FROM + 1
    assert uses_edges(Config(), many) and not uses_edges(Config(), few)
    assert uses_edges(Config(graph=GraphConfig(method="sparse")), few)
    for graph in (
        {"role": "none"},
        {"rank": 2},
        {"method": "dense"},
        {"initialisation": "random"},
        {"attention": "gatv2"},
    ):
        assert not uses_edges(Config(graph=GraphConfig(**graph)), many)
    complete = Config(graph=GraphConfig(role="none"))
    assert needs_adjacency(complete, few) and not needs_adjacency(complete, many)
    assert not needs_adjacency(Config(graph=GraphConfig(rank=2)), few)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"head": {"kind": "recurrent"}}, "head.kind='recurrent'"),
        ({"threshold": {"kind": "label"}}, "threshold.kind='label' (only auto, half"),
        ({"threshold": {"consistent": True}}, "threshold.consistent"),
        ({"training": {"selection_metric": "mAP"}}, "selection_metric='mAP'"),
    ],
)
def test_settings_that_need_all_scores_are_named_where_labels_come_in_chunks(
    changed: dict[str, dict[str, Any]], named: str
) -> None:
    config = Config()
    for section, values in changed.items():
        part = dataclasses.replace(getattr(config, section), **values)
        config = dataclasses.replace(config, **{section: part})
    with pytest.raises(ConfigError) as error:
        label_chunk(config, MANY + 1)
    assert named in str(error.value)
    assert "With head.label_chunk=0 all are scored at once" in str(error.value)
    assert label_chunk(config, 90) == 0


def test_an_array_larger_than_memory_is_refused_with_what_would_fit() -> None:
    require_room(10, 10, "scores, an array", "ask for less")
    with pytest.raises(ConfigError, match=r"scores, an array of 1,000,000 x .* GiB"):
        require_room(10**6, 10**7, "scores, an array", "ask for less")


def sets_of(rows: list[list[int]], labels: int) -> csr_array:
    dense = np.zeros((len(rows), labels), np.float32)
    for place, row in enumerate(rows):
        dense[place, row] = 1.0
    return csr_array(dense)


def test_conditional_edges_are_the_largest_entries_of_the_conditional_adjacency() -> (
    None
):
    generator = np.random.default_rng(0)
    sets = csr_array((generator.random((60, 9)) < 0.3).astype(np.float32))
    counts = sets.toarray().T @ sets.toarray()
    dense = np.asarray(conditional_adjacency(counts))
    everything = adjacency_from_edges(conditional_edges(sets, 8), 9)
    np.testing.assert_allclose(everything, dense, atol=1e-6)
    some = np.asarray(adjacency_from_edges(conditional_edges(sets, 3), 9))
    for label in range(9):
        others = np.delete(np.arange(9), label)
        kept = others[some[label, others] > 0]
        assert len(kept) == 3
        left = np.setdiff1d(others, kept)
        assert dense[label, kept].min() >= dense[label, left].max()
        np.testing.assert_allclose(some[label, kept], dense[label, kept], atol=1e-6)


def test_a_label_without_a_document_receives_from_itself_alone() -> None:
    edges = conditional_edges(sets_of([[0, 1], [0]], 3), 2)
    matrix = np.asarray(adjacency_from_edges(edges, 3))
    np.testing.assert_allclose(matrix, [[1, 0.5, 0], [1, 1, 0], [0, 0, 1]])


def test_thresholded_and_similar_edges_are_those_of_the_matrices() -> None:
    generator = np.random.default_rng(1)
    sets = csr_array((generator.random((50, 7)) < 0.4).astype(np.float32))
    counts = sets.toarray().T @ sets.toarray()
    edges = thresholded_edges(sets, tau=0.4, p=0.25)
    np.testing.assert_allclose(
        adjacency_from_edges(edges, 7),
        thresholded_adjacency(counts, tau=0.4, p=0.25),
        atol=1e-6,
    )
    features = generator.normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_allclose(
        adjacency_from_edges(similar_edges(features, 2), 7),
        similarity_adjacency(features, neighbours=2),
        atol=1e-6,
    )
    alone = similar_edges(features[:1], 3)
    assert alone.receivers.tolist() == alone.senders.tolist() == [0]


def test_a_start_that_joins_all_labels_is_no_list_of_edges() -> None:
    config = Config(graph=GraphConfig(initialisation="xavier", method="sparse"))
    space, sets = LabelSpace(("a", "b")), sets_of([[0]], 2)
    with pytest.raises(ConfigError, match="'xavier' joins every label to every label"):
        starting_edges(config, space, sets, np.zeros((2, 1)))
    counted = Config(graph=GraphConfig(method="sparse"))
    with pytest.raises(ConfigError, match="counts documents that are annotated for"):
        starting_edges(counted, space, sets, np.zeros((2, 1)), np.ones((1, 2), bool))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "complete"}, "needs graph.role='none' or graph.rank"),
        ({"method": "sparse", "role": "none"}, "reads a list of edges"),
        ({"method": "blocked", "attention": "gatv2"}, "must be one of"),
        ({"rank": 3, "attention": "gatv2"}, "learns edge weights: it needs"),
        ({"rank": 3, "learned": False}, "learns edge weights: it needs"),
        ({"rank": -1}, "graph.rank must not be negative"),
        (
            {"method": "complete", "role": "none", "attention_dropout": 0.1},
            "drops attention weights",
        ),
    ],
)
def test_methods_and_ranks_that_do_not_fit_the_form_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphConfig(**settings)


def top(probabilities: Any, ids: list[list[int]], truth: csr_array) -> Predictions:
    scores = np.asarray(probabilities, np.float32)
    return Predictions(np.asarray(ids, np.int32), scores, truth.shape[1], truth)


def test_decisions_from_the_best_labels_are_those_from_all() -> None:
    generator = np.random.default_rng(2)
    scores = generator.random((30, 6)).astype(np.float32)
    best = Predictions.of_all(scores).top(6)
    for rule in (
        Decision(kind="half", thresholds=np.full(6, 0.5)),
        Decision(kind="global", thresholds=np.full(6, 0.9), at_least_one=True),
        Decision(kind="label", thresholds=generator.random(6)),
        Decision(kind="top_k", thresholds=np.full(6, 0.5), k=2),
    ):
        found = np.zeros(scores.shape, bool)
        np.put_along_axis(found, best.ids, best.decide(rule).decided, axis=1)
        np.testing.assert_array_equal(found, rule.decide(scores))


def test_auto_takes_a_fitted_threshold_where_it_decides_unseen_documents_better() -> (
    None
):
    generator = np.random.default_rng(3)
    truth = sets_of([[int(i)] for i in generator.integers(0, 4, 40)], 4)
    ids, probabilities = [], []
    for row in range(40):
        right = int(truth.indices[row])
        ids.append([right, (right + 1) % 4])
        probabilities.append([0.3, 0.1])
    config = dataclasses.replace(Config().threshold, at_least_one=False)
    rule = choose_decision(config, top(probabilities, ids, truth), np.ones(4))
    assert rule.kind == "global"
    assert 0.1 < rule.thresholds[0] <= 0.3
    assert rule.fit["cross_fitted"] == {"global": {"micro_f1": 1.0, "better": None}}
    calibrated = top([[0.9, 0.1]] * 40, ids, truth)
    rule = choose_decision(config, calibrated, np.ones(4))
    assert calibrated.decide(rule).decided.tolist() == [[True, False]] * 40
    nothing = top([[0.9, 0.1]] * 40, ids, csr_array((40, 4), dtype=np.float32))
    assert choose_decision(config, nothing, np.ones(4)).kind == "half"


def test_top_k_fits_the_number_of_labels_that_gives_the_best_f1() -> None:
    truth = sets_of([[0, 1], [1, 2], [0, 2]], 3)
    ids = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    config = dataclasses.replace(Config().threshold, kind="top_k")
    best = top([[0.9, 0.8, 0.1]] * 3, ids, truth)
    rule = choose_decision(config, best, np.ones(3))
    assert (rule.kind, rule.k) == ("top_k", 2)
    asked = dataclasses.replace(config, k=1)
    best = top([[0.9] * 3] * 3, ids, truth)
    assert choose_decision(asked, best, np.ones(3)).k == 1


def test_more_labels_than_are_kept_of_a_document_are_refused(
    models: tuple[Model, Model],
) -> None:
    for model in models:
        with pytest.raises(ValueError, match=r"k must lie in 1\.\.5.* got 6"):
            model.predict_top(TEXTS, 6)
