"""Every kind of run gives a report, or a sentence in place of what it does not have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import (
    DataConfig,
    HeadConfig,
    MemoryConfig,
    ThresholdConfig,
)
from labelgraph_jax.inspection import report as reports
from labelgraph_jax.inspection.report import write_report
from labelgraph_jax.inspection.report.contents import Gates, Graph, Scored, Vectors
from labelgraph_jax.predictors.kept import read_kept
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.added_labels import make_memory
from tests.inspection.report.conftest import data_of, tiny_run
from tests.zoo import Zoo


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of one run are tested elsewhere; they take most of the time."""
    from labelgraph_jax.inspection.report import pictures

    def render(
        report: Any, numbered: dict[str, int]
    ) -> Iterator[tuple[str, bytes, str]]:
        assert all(callable(draw) for _, _, draw in pictures.pictures(report))
        return iter(())

    monkeypatch.setattr(pictures, "render", render)


def report_of(workdir: Path) -> reports.Report:
    written = write_report(workdir)
    text = written.page.read_text(encoding="utf-8")
    assert "</html>" in text
    data_of(written.page)
    return written.report


def keys(graph: Graph | str) -> set[tuple[str, str]]:
    assert isinstance(graph, Graph)
    return {(view.key, view.when) for view in graph.views}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "expected", "note"),
    [
        ({"layers": 0}, {"cooccurrence"}, "graph.layers=0"),
        (
            {"attention": "convolution", "role": "fixed"},
            {"cooccurrence"},
            "it has no attention",
        ),
        (
            {"attention": "relu", "role": "multiplicative", "layers": 1, "heads": 1},
            {"cooccurrence", "edges", "attention-1", "attention-1-1"},
            "",
        ),
        (
            {"attention": "gatv2", "role": "mask", "layers": 1, "heads": 1},
            {"cooccurrence", "attention-1", "attention-1-1"},
            "no parameter",
        ),
        (
            {"rank": 2, "layers": 1, "heads": 1},
            {"cooccurrence", "edges", "attention-1", "attention-1-1"},
            "",
        ),
        (
            {"method": "sparse", "layers": 1, "heads": 1},
            {"cooccurrence", "edges", "attention-1", "attention-1-1"},
            "",
        ),
    ],
)
def test_a_graph_of_any_form_shows_what_it_has(
    tiny_data: DataConfig,
    tmp_path: Path,
    graph: dict[str, Any],
    expected: set[str],
    note: str,
) -> None:
    training = {"epochs": 1}
    run = tiny_run(tmp_path / "run", tiny_data, graph=graph, training=training)
    report = report_of(run)
    found = keys(report.graph)
    single = {key for key, _ in found if key != "attention-1"}
    assert single == expected - {"attention-1"}
    assert isinstance(report.graph, Graph)
    assert note in " ".join(report.graph.notes)
    assert isinstance(report.vectors, Vectors)
    for view in report.graph.views:
        if view.key.startswith("attention") and graph.get("attention") != "relu":
            np.testing.assert_allclose(view.weights.sum(axis=1), 1.0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["label_attention", "recurrent"])
def test_heads_that_read_tokens_have_a_report(
    tiny_data: DataConfig, tmp_path: Path, head: Any
) -> None:
    run = tiny_run(
        tmp_path / "run",
        tiny_data,
        text={"encoder": "cnn"},
        training={"epochs": 1},
        head=HeadConfig(kind=head, hidden=8),
    )
    report = report_of(run)
    assert isinstance(report.scored, Scored)
    if head == "recurrent":
        assert keys(report.graph) == {("cooccurrence", "")}
        assert "no label vectors" in str(report.vectors)
    else:
        assert ("attention-2-1", "after") in keys(report.graph)


@pytest.mark.slow
def test_labels_scored_in_chunks_are_reported_from_the_best_of_each_document(
    nasty_data: DataConfig, tmp_path: Path
) -> None:
    run = tiny_run(
        tmp_path / "run",
        nasty_data,
        head=HeadConfig(label_chunk=2, kept_labels=5),
        training={"selection_metric": "micro_f1"},
        threshold=ThresholdConfig(kind="half"),
    )
    kept = read_kept(Workdir(run))
    assert kept is not None and not kept.is_whole and np.isnan(kept.rest).all()
    report = report_of(run)
    assert isinstance(report.scored, Scored)
    assert "the 5 most probable of the 6 labels" in report.scored.calibration.note
    results = json.loads((run / "results.json").read_text())
    assert np.nan_to_num(report.scored.labels.f1).mean() == pytest.approx(
        results["test"]["metrics"]["macro_f1"]
    )


@pytest.mark.slow
def test_a_fixed_number_of_labels_per_document_has_no_threshold(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    rule = ThresholdConfig(kind="top_k", k=2)
    report = report_of(tiny_run(tmp_path / "run", tiny_data, threshold=rule))
    assert isinstance(report.scored, Scored)
    assert np.isnan(report.scored.labels.thresholds).all()
    assert "The 2 most probable labels" in report.scored.curves.note


def test_a_memory_and_an_ensemble_have_reports(zoo: Zoo, tmp_path: Path) -> None:
    joined = report_of(zoo.copy("ensemble", tmp_path / "both"))
    assert isinstance(joined.scored, Scored)
    assert "An ensemble has no label graph of its own" in str(joined.graph)
    assert "An ensemble is not trained" in str(joined.history)
    run = zoo.copy("plain", tmp_path / "run")
    make_memory(run, MemoryConfig(kind="documents"))
    remembered = report_of(run)
    assert "memory" in dict(remembered.facts)


def test_several_label_sets_through_a_mixture_show_gates_and_blocks(
    zoo: Zoo, tmp_path: Path
) -> None:
    report = report_of(zoo.copy("mixture", tmp_path / "run"))
    assert isinstance(report.gates, Gates)
    assert report.gates.tasks == ("crops", "trade")
    assert not isinstance(report.overall, str)
    assert {"crops", "trade"} <= set(report.overall.others)
    assert isinstance(report.graph, Graph) and isinstance(report.scored, Scored)
    names = [report.scored.labels.names[i].split("/")[0] for i in report.graph.ids]
    other = np.asarray(names)[:, None] != np.asarray(names)[None]
    for view in report.graph.views:
        if view.key.startswith("attention"):
            assert not view.weights[other].any()


def test_a_run_over_a_table_has_a_smaller_report(zoo: Zoo, tmp_path: Path) -> None:
    report = report_of(zoo.copy("table", tmp_path / "run"))
    assert report.is_table
    assert {task.name for task in report.tasks} >= {"click", "rating", "genre"}
    assert "this model" in report.tasks[0].rows
    assert isinstance(report.gates, Gates)
    assert {"train", "test"} <= set(report.data.splits) and report.left_out() == {}
    changed = {s.name for s in report.settings if s.value != s.default}
    assert "training.epochs" in changed
    # What follows from the tasks is a default too.
    assert not {"table.tasks", "training.selection_metric", "text.dropout"} & changed
