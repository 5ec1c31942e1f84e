"""A taxonomy of one's own, through a whole run: settings, metrics, evaluation."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.results import print_results
from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.predictors.hierarchy import (
    hierarchical_metrics,
    label_ancestors,
    lacking_ancestors,
    require_taxonomy,
)
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.evaluate import evaluate_workdir
from tests.reference import taxonomy as reference
from tests.tiny import LABELS
from tests.zoo import Zoo

# A label space whose inner node no document carries.
CHAIN = LabelSpace(("a", "c", "z"), parents={"c": ("b",), "b": ("a",)})


@pytest.fixture(scope="module")
def taxonomic(zoo: Zoo) -> tuple[Path, dict[str, Any]]:
    """A finished run with a taxonomy file that is gone by now, and its results."""
    workdir = zoo("taxonomy")
    return workdir, Workdir(workdir).results()


def test_ancestors_lead_through_nodes_that_are_no_labels() -> None:
    ancestors = label_ancestors(CHAIN)
    assert ancestors is not None
    np.testing.assert_array_equal(np.argwhere(ancestors), [[1, 0]])
    assert label_ancestors(LabelSpace(("a", "b"), parents={"a": ("x",)})) is None


@pytest.mark.parametrize(
    ("section", "values", "setting"),
    [
        ("threshold", {"consistent": True}, "threshold.consistent"),
        ("graph", {"initialisation": "taxonomy"}, "graph.initialisation='taxonomy'"),
    ],
)
def test_what_needs_a_taxonomy_is_refused_without_one(
    section: str, values: dict[str, Any], setting: str
) -> None:
    part = dataclasses.replace(getattr(Config(), section), **values)
    config = dataclasses.replace(Config(), **{section: part})
    require_taxonomy(config, CHAIN)
    require_taxonomy(Config(), LabelSpace(("a", "b")))
    with pytest.raises(ConfigError) as raised:
        require_taxonomy(config, LabelSpace(("a", "b")))
    assert str(raised.value).startswith(f"{setting} needs labels")
    assert "among these 2 none does" in str(raised.value)


def test_documents_that_lack_ancestors_are_counted() -> None:
    targets = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    assert lacking_ancestors(CHAIN, targets).startswith("1 of 3 training documents")
    annotated = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1]], bool)
    assert lacking_ancestors(CHAIN, targets, annotated) == ""
    assert lacking_ancestors(LabelSpace(("a", "b", "c")), targets) == ""


def test_metrics_of_a_taxonomy_are_those_of_the_reference() -> None:
    generator = np.random.default_rng(0)
    decisions, targets = generator.random((2, 20, 3)) < 0.4
    ancestors = label_ancestors(CHAIN)
    found = hierarchical_metrics(decisions, targets, ancestors)
    expected = reference.hierarchical_metrics(decisions, targets, ancestors)
    assert found == pytest.approx(expected)
    assert hierarchical_metrics(decisions, targets, None) == {}


def test_a_run_with_a_taxonomy_measures_it_and_needs_its_file_no_more(
    taxonomic: tuple[Path, dict[str, Any]],
) -> None:
    workdir, results = taxonomic
    assert any(
        note.startswith("taxonomy taxonomy.tsv: 3 of 5") for note in results["notes"]
    )
    for metrics in (results["test"]["metrics"], results["test"]["metrics_at_half"]):
        assert 0 < metrics["hierarchical_f1"] <= 1
        # In this corpus corn and wheat always come with grain.
        assert metrics["taxonomy_violations_in_truth"] == 0
    labels = json.loads((workdir / "labels.json").read_text())
    assert labels["parents"]["grain"] == ["crops"]
    assert evaluate_workdir(workdir)["test"] == results["test"]
    ancestors = load(workdir).ancestors
    assert ancestors is not None
    pairs = {(LABELS[i], LABELS[j]) for i, j in np.argwhere(ancestors)}
    assert pairs == {("corn", "grain"), ("wheat", "grain")}


def test_a_consistent_run_never_names_a_label_without_its_ancestors(
    taxonomic: tuple[Path, dict[str, Any]],
) -> None:
    workdir, results = taxonomic
    assert results["test"]["metrics"]["taxonomy_violations"] == 0
    model = load(workdir)
    scores = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    named = [set(model.decide(row)) for row in scores]
    assert any(labels & {"corn", "wheat"} for labels in named)
    assert all("grain" in labels for labels in named if labels & {"corn", "wheat"})
    # The same scores without the rule would not do.
    bare = dataclasses.replace(model.decision, consistent=False).decide(scores)
    assert hierarchical_metrics(bare, bare, model.ancestors)["taxonomy_violations"] > 0


def test_the_table_of_results_tells_of_the_taxonomy(
    taxonomic: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    workdir, results = taxonomic
    print_results(results, workdir=str(workdir))
    told = " ".join(capsys.readouterr().out.split())
    f1 = results["test"]["metrics"]["hierarchical_f1"]
    assert f"hierarchical F1 {f1:.4f}" in told
    assert "0.0% carry one" in told


def test_a_run_without_a_taxonomy_measures_none(trained: Path) -> None:
    metrics = json.loads((trained / "results.json").read_text())["test"]["metrics"]
    assert not [name for name in metrics if "hierarchical" in name or "tax" in name]
