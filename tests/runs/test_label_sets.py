"""Several label sets at once, each annotated on some documents only."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig, HeadConfig, LossConfig
from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import label_objective, prepare
from labelgraph_jax.runs.predict import write_predictions
from labelgraph_jax.runs.steps import optimizer_and_step
from labelgraph_jax.training.step import init_train_state
from tests.reference import adjacency as adjacency_reference
from tests.tiny import tiny_config, write_jsonl
from tests.tiny_sets import SETS, write_sets
from tests.zoo import Zoo


@pytest.fixture(scope="module")
def sets(zoo: Zoo) -> DataConfig:
    """Nobody annotated trade in validation."""
    return zoo.sets


@pytest.fixture(scope="module")
def workdir(zoo: Zoo) -> Path:
    """A finished run; tests read it and leave it as it is."""
    return zoo("sets")


def results_of(workdir: Path) -> dict[str, Any]:
    return json.loads((workdir / "results.json").read_text())


def test_the_labels_of_all_sets_are_learned(workdir: Path) -> None:
    model = load(workdir)
    assert model.labels == (
        "crops/corn",
        "crops/grain",
        "crops/wheat",
        "trade/oil",
        "trade/ship",
    )
    assert model.label_space.tasks == ("crops", "trade")
    assert results_of(workdir)["corpus"] == "data.jsonl/crops,trade"


def test_each_set_is_measured_on_the_documents_annotated_for_it(
    workdir: Path, sets: DataConfig
) -> None:
    model, test = load(workdir), results_of(workdir)["test"]
    documents = read_documents(sets.test, task="all")
    probabilities = model.predict_proba([d.text for d in documents])
    targets, _ = model.label_space.targets(documents)
    training = read_documents(sets.data, task="all")
    for task, columns in model.label_space.task_columns.items():
        annotated = [f"{task}/" not in d.unannotated for d in documents]
        learned = [d for d in training if f"{task}/" not in d.unannotated]
        cells = np.ix_(annotated, columns)
        expected = evaluate_scores(
            probabilities[cells],
            targets[cells],
            predictions=model.decision.decide(probabilities)[cells],
            train_label_counts=model.label_space.targets(learned)[0].sum(0)[columns],
            train_documents=len(learned),
        )
        assert test["tasks"][task]["documents"] == sum(annotated) == 16
        assert test["tasks"][task]["labels"] == len(columns)
        assert test["tasks"][task]["metrics"] == pytest.approx(expected)


def test_micro_f1_counts_the_annotated_cells_of_all_sets(
    workdir: Path, sets: DataConfig
) -> None:
    model, test = load(workdir), results_of(workdir)["test"]
    right = wrong = 0
    for document in read_documents(sets.test, task="all"):
        predicted = set(*model.predict(document.text))
        known = {label for label in predicted if document.is_annotated(label)}
        right += len(known & set(document.labels))
        wrong += len(known ^ set(document.labels))
    assert test["documents"] == 24
    assert test["metrics"]["micro_f1"] == pytest.approx(2 * right / (2 * right + wrong))
    assert test["metrics"]["hamming_loss"] == pytest.approx(wrong / (16 * 3 + 16 * 2))


def test_priors_and_bonds_come_from_annotated_documents(
    workdir: Path, sets: DataConfig
) -> None:
    model = load(workdir)
    documents = read_documents(sets.data, task="all")
    targets, _ = model.label_space.targets(documents)
    mask = model.label_space.target_mask(documents)
    assert mask is not None
    graph = model.classifier.graph
    for column, annotated in enumerate(mask.T):
        positives = sum(targets[annotated, column])
        assert graph.counts[column] == positives
        assert graph.prior[column] == pytest.approx(positives / sum(annotated))
    np.testing.assert_allclose(
        graph.adjacency,
        adjacency_reference.masked_conditional(targets, mask),
        rtol=1e-6,
    )


def test_evaluation_reproduces_the_numbers_of_every_set(workdir: Path) -> None:
    assert evaluate_workdir(workdir)["test"] == results_of(workdir)["test"]


def test_a_file_annotated_for_one_set_measures_that_one(
    workdir: Path, sets: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(sets.test).read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    for document in documents:
        del document["tasks"]["trade"]
    file = write_jsonl(tmp_path / "crops.jsonl", documents)
    test = evaluate_workdir(workdir, data=str(file))["test"]
    assert test["tasks"]["trade"]["metrics"] is None
    whole = results_of(workdir)["test"]["tasks"]["crops"]["metrics"]
    # Sums over other documents may differ in their last bit.
    assert test["tasks"]["crops"]["metrics"] == pytest.approx(whole)
    assert test["metrics"] == pytest.approx(whole)
    assert run(["evaluate", str(workdir), "--data", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "\n   crops " in printed
    assert "trade: not measured, with 2 labels learned and 0 documents" in printed
    assert np.isfinite(list(test["metrics"].values())).all()
    # Of trade nothing is known, which is not the same as labels that do not occur.
    assert test["absent_labels"] == 0


def test_the_table_has_a_row_for_each_set(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from labelgraph_jax.cli.results import print_results

    results = results_of(workdir)
    print_results(results, workdir=str(workdir))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for task in SETS:
        metrics = results["test"]["tasks"][task]["metrics"]
        assert [task, f"{metrics['micro_f1']:.4f}"] in [row[:2] for row in rows]
        assert [f"{task}:", "16", "of", "the", "24"] in [row[:5] for row in rows]


def test_every_set_is_predicted(workdir: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "new.txt", tmp_path / "out.jsonl"
    source.write_text("harvest silo barrel crude the new\n")
    write_predictions(load(workdir), str(source), str(output), top_k=5)
    row = json.loads(output.read_text())
    assert sorted(row["labels"]) == sorted(load(workdir).labels)
    assert {task: set(names) for task, names in row["tasks"].items()} == SETS
    # What was predicted reads as a file of these label sets.
    row["text"] = "harvest"
    again = read_documents(write_jsonl(tmp_path / "again.jsonl", [row]), task="all")
    assert sorted(again[0].labels) == sorted(row["labels"])


def test_the_baseline_is_measured_on_the_same_cells(
    workdir: Path, sets: DataConfig, tmp_path: Path
) -> None:
    shutil.copytree(workdir, tmp_path / "w")
    config = tiny_config(sets, training={"epochs": 4, "batch_size": 8})
    baseline = fit(config, tmp_path / "w", baseline=True)["baseline"]
    for metrics in baseline["metrics"].values():
        assert np.isfinite(list(metrics.values())).all()
        # A whole number of the 16 * 3 + 16 * 2 annotated cells is wrong.
        assert (metrics["hamming_loss"] * 80) % 1 == pytest.approx(0, abs=1e-9)


def test_a_null_that_became_an_empty_list_is_other_data(
    workdir: Path, sets: DataConfig, tmp_path: Path
) -> None:
    shutil.copytree(workdir, tmp_path / "w")
    changed = tmp_path / "test.jsonl"
    changed.write_text(Path(sets.test).read_text().replace("null", "[]", 1))
    config = json.loads((tmp_path / "w" / "config.json").read_text())
    config["data"]["test"] = str(changed)
    (tmp_path / "w" / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorkdirError, match="test documents are not those of the"):
        evaluate_workdir(tmp_path / "w")


def test_a_set_that_nobody_annotated_in_validation_is_learned_all_the_same(
    workdir: Path,
) -> None:
    results = results_of(workdir)
    assert np.isfinite(load(workdir).thresholds).all()
    assert np.isfinite(results["training"]["best_validation"])
    for found in results["test"]["tasks"].values():
        assert np.isfinite(list(found["metrics"].values())).all()


def test_a_test_split_that_cannot_be_measured_is_told_before_training(
    tmp_path: Path,
) -> None:
    data = write_sets(tmp_path, data="trade", test="crops")
    with pytest.raises(
        DataError,
        match="none of the 24 test documents is annotated for a label that training",
    ):
        fit(tiny_config(data), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        ("product", "binary_cross_entropy"),
        ("product", "distribution_balanced"),
        ("recurrent", "binary_cross_entropy"),
    ],
)
def test_a_missing_target_changes_no_bit_of_a_train_step(
    sets: DataConfig, head: Any, loss: Any
) -> None:
    config = dataclasses.replace(
        tiny_config(sets),
        head=HeadConfig(kind=head, hidden=4, max_labels=3),
        loss=LossConfig(kind=loss),
    ).resolved()
    prepared = prepare(config)
    batch = dict(evaluation_batches(prepared.train, batch_size=16)[0])
    params = prepared.classifier.init(jax.random.key(0), batch)
    optimizer, step = optimizer_and_step(
        config,
        label_objective(config, prepared.classifier),
        jax.random.key(1),
        total_steps=10,
    )
    state, step = init_train_state(params, optimizer), jax.jit(step)
    mask = batch["target_mask"]
    assert not mask.all() and mask.any()
    # The first step is one of warm-up, at a rate of 0.
    state, _ = step(state, batch)
    after, metrics = step(state, batch)
    changed = jax.tree.map(
        lambda a, b: bool((a != b).any()), state.params, after.params
    )
    assert any(jax.tree.leaves(changed))
    for what in (1.0, np.nan, np.inf, -7.0):
        targets = np.where(mask, batch["targets"], np.float32(what))
        other, again = step(state, batch | {"targets": jnp.asarray(targets)})
        jax.tree.map(np.testing.assert_array_equal, (after, metrics), (other, again))


def test_a_corpus_of_sets_is_looked_at_and_exported(
    sets: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "stats", sets.data, "--task", "all"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "crops: train 32 annotated, 3 labels" in printed
    assert "note: train: 32 of 48 documents are not annotated for every" in printed
    assert run(["data", "validate", sets.data, "--task", "crops,trade"]) == 0
    capsys.readouterr()
    assert run(["data", "validate", sets.data, "--task", "crops,crops"]) == 2
    assert "a task counts once" in capsys.readouterr().err
    out = tmp_path / "train.jsonl"
    export = ["data", "export", sets.data, "--task", "all", "--split", "train"]
    cut = ["--validation-fraction", "0.1", "--test-fraction", "0.1"]
    assert run([*export, *cut, "--out", str(out)]) == 0
    original = {d.id: d for d in read_documents(sets.data, task="all")}
    for document in read_documents(out, task="all"):
        before = original[document.id]
        assert document.labels == before.labels
        assert document.unannotated == before.unannotated
        assert document.tasks == before.tasks
