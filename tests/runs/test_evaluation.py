"""Evaluating a work directory gives back what training measured."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import SELECTION_METRICS, DataConfig, HeadConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.decision import Decision, at_half
from labelgraph_jax.predictors.measure import measure_labels, validation_metrics
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from tests.tiny import tiny_config, write_jsonl
from tests.zoo import Zoo


def results_of(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "results.json").read_text())


def test_an_evaluation_names_the_model_as_its_run_does(trained: Path) -> None:
    assert evaluate_workdir(trained)["model"] == results_of(trained)["model"]


def test_evaluation_reproduces_the_run_s_own_numbers_exactly(trained: Path) -> None:
    assert evaluate_workdir(trained)["test"] == results_of(trained)["test"]


@pytest.mark.parametrize("batch_size", [5, 64])
def test_the_batch_size_does_not_change_the_numbers(
    batch_size: int, trained: Path
) -> None:
    # Probabilities differ in their last bits, so a metric could move where one of them
    # lies within 1e-6 of a threshold or of another; here none does.
    again = evaluate_workdir(trained, batch_size=batch_size)
    assert again["test"] == results_of(trained)["test"]


def test_a_moved_work_directory_gives_the_same_numbers(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "moved")
    again = evaluate_workdir(tmp_path / "moved")
    assert again["test"] == results_of(trained)["test"]


def test_a_file_is_evaluated_as_the_test_split_is(
    trained: Path, tiny_data: DataConfig
) -> None:
    from_file = evaluate_workdir(trained, data=tiny_data.test)
    assert from_file["split"] == "file"
    assert from_file["test"] == results_of(trained)["test"]


def test_labels_unseen_in_training_are_counted_and_reported(
    trained: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    lines = Path(tiny_data.test).read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    for document in documents[:3]:
        document["labels"].append("tin")
    documents[0]["labels"].append("gold")
    file = write_jsonl(tmp_path / "new.jsonl", documents)
    test = evaluate_workdir(trained, data=str(file))["test"]
    assert test["unseen_labels"] == {"gold": 1, "tin": 3}
    assert test["metrics"] == results_of(trained)["test"]["metrics"]


def test_labels_in_other_capitals_are_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "maize", "labels": ["CORN", "grain"]}, {"text": "a", "labels": []}]
    path = write_jsonl(tmp_path / "t.jsonl", rows)
    results = evaluate_workdir(trained, data=str(path))
    assert results["test"]["differ_in_case"] == {"CORN": "corn"}
    assert "differ_in_case" not in evaluate_workdir(trained)["test"]
    assert run(["evaluate", str(trained), "--data", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "1 label of the file in other capitals than in training, so unknown: " in said
    )
    assert "CORN (trained: corn)" in said


def test_changed_test_documents_are_refused(
    trained: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    workdir = tmp_path / "w"
    shutil.copytree(trained, workdir)
    config = json.loads((workdir / "config.json").read_text())
    lines = Path(tiny_data.test).read_text().splitlines()
    (tmp_path / "test.jsonl").write_text("\n".join(lines[1:]) + "\n")
    config["data"]["test"] = str(tmp_path / "test.jsonl")
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorkdirError, match="test documents are not those of the"):
        evaluate_workdir(workdir)


def test_an_unfinished_run_has_no_numbers_to_reproduce(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "w")
    (tmp_path / "w" / "results.json").unlink()
    with pytest.raises(WorkdirError, match=r"results\.json: .* has training finished"):
        evaluate_workdir(tmp_path / "w")


def test_there_must_be_a_document_to_evaluate(trained: Path) -> None:
    with pytest.raises(DataError, match="there is no document to evaluate"):
        load(trained).evaluate(())


def test_labels_that_no_document_carries_are_counted(
    trained: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    lines = Path(tiny_data.test).read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    kept = [document for document in documents if "ship" not in document["labels"]]
    file = write_jsonl(tmp_path / "without.jsonl", kept)
    test = evaluate_workdir(trained, data=str(file))["test"]
    assert test["absent_labels"] == 1
    assert results_of(trained)["test"]["absent_labels"] == 0
    metrics = test["metrics"]
    assert metrics["macro_f1"] == pytest.approx(metrics["macro_f1_present"] * 4 / 5)


def test_validation_gives_every_metric_that_can_select() -> None:
    targets = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    metrics = validation_metrics(
        Predictions.of_all(np.float32(0.2 + 0.6 * targets), targets)
    )
    assert set(SELECTION_METRICS) <= set(metrics)
    assert metrics["micro_f1"] == metrics["LRAP"] == 1.0


def validation_losses(workdir: Path) -> list[float]:
    history = Workdir(workdir).history()
    return [x["validation/loss"] for x in history if "validation/loss" in x]


def test_labels_in_chunks_have_the_validation_loss_of_all_at_once(zoo: Zoo) -> None:
    chunks, whole = (validation_losses(zoo(name)) for name in ("chunks", "whole"))
    assert len(chunks) == 2
    np.testing.assert_allclose(chunks, whole, rtol=1e-3)


def test_a_head_with_a_loss_of_its_own_has_a_validation_loss(
    zoo: Zoo, tmp_path: Path
) -> None:
    config = tiny_config(zoo.data, training={"epochs": 2})
    head = HeadConfig(kind="recurrent", hidden=5, max_labels=3)
    rule = dataclasses.replace(config.threshold, kind="half")
    config = dataclasses.replace(config, head=head, threshold=rule)
    fit(config, tmp_path / "run", progress=False)
    losses = validation_losses(tmp_path / "run")
    assert len(losses) == 2 and 0 < losses[1] < losses[0]


def test_every_label_has_its_metrics(trained: Path) -> None:
    test = results_of(trained)["test"]
    own, metrics = test["per_label"], test["metrics"]
    labels = load(trained).labels
    assert list(own) == list(labels)
    mean = np.mean([each["f1"] for each in own.values()])
    assert metrics["macro_f1"] == pytest.approx(mean)
    hits, wrong, missed = (
        sum(each[name] for each in own.values())
        for name in ("true_positives", "false_positives", "false_negatives")
    )
    assert metrics["micro_f1"] == pytest.approx(2 * hits / (2 * hits + wrong + missed))
    for label, threshold in zip(labels, load(trained).decision.thresholds, strict=True):
        each = own[label]
        assert each["support"] == each["true_positives"] + each["false_negatives"]
        assert each["threshold"] == threshold
        assert each["recall"] == pytest.approx(each["true_positives"] / each["support"])


@pytest.mark.parametrize("kind", ["label", "top_k"])
def test_the_best_labels_of_each_document_have_the_same_metrics(kind: str) -> None:
    random = np.random.default_rng(0)
    scores = random.random((40, 6)).astype(np.float32)
    truth = (random.random((40, 6)) < 0.3).astype(np.float32)
    truth[:, 5] = 0
    decision = Decision(kind=kind, thresholds=np.full(6, 0.6), k=2)
    names = [f"label {i}" for i in range(6)]
    every = Predictions.of_all(scores, truth)
    whole, best = (
        measure_labels(each.decide(decision), decision, names)
        for each in (every, every.top(6))
    )
    assert whole == best
    assert whole["label 5"]["support"] == whole["label 5"]["f1"] == 0
    assert whole["label 0"]["threshold"] == (0.6 if kind == "label" else None)


def test_cells_that_are_not_annotated_count_for_no_label() -> None:
    truth = np.array([[1, 0], [0, 1]], np.float32)
    known = np.array([[True, False], [True, True]])
    decided = Predictions.of_all(np.ones((2, 2), np.float32), truth, known).decide(
        at_half(2)
    )
    own = measure_labels(decided, at_half(2), ["a", "b"])
    assert own["b"]["false_positives"] == 0 and own["a"]["false_positives"] == 1
    assert (own["a"]["precision"], own["b"]["precision"]) == (0.5, 1.0)


def test_results_of_very_many_labels_are_not_bloated(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelgraph_jax.predictors.measure.MOST_LISTED", 4)
    assert "per_label" not in evaluate_workdir(trained)["test"]
