"""A memory beside the classifier: made, chosen, saved, used, and given new labels."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    MemoryConfig,
)
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.labels.new_labels import NewLabel
from labelgraph_jax.predictors.memory import choice as memory_choice
from labelgraph_jax.predictors.memory.files import copy_encoder, encoder_folder
from labelgraph_jax.predictors.memory.memory import (
    AddedLabels,
    Choice,
    Keys,
    Memory,
    unit,
)
from labelgraph_jax.predictors.memory.model import with_memory as beside
from labelgraph_jax.predictors.memory.texts import family_text, own_text
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.added_labels import add_labels, make_memory, remove_labels
from labelgraph_jax.runs.ensemble import make_ensemble
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.lock import WorkdirLock
from tests.tiny import LABELS, made_documents, tiny_config, write_jsonl
from tests.zoo import FIXED_SAY, Zoo

TEXTS = ["maize cob today", "crude barrel of the port cargo"]


def with_memory(data: DataConfig, **memory: Any) -> Config:
    config = tiny_config(data, training={"epochs": 4, "batch_size": 8})
    return dataclasses.replace(config, memory=MemoryConfig(neighbours=8, **memory))


@pytest.fixture(scope="module")
def bert(zoo: Zoo) -> Path:
    return zoo.bert


@pytest.fixture(scope="module")
def remembering(zoo: Zoo) -> Path:
    """A run whose memory has half the say; tests read it and leave it as it is."""
    return zoo("memory")


@pytest.fixture(scope="module")
def model(remembering: Path) -> Model:
    return lg.load(remembering)


@pytest.fixture
def own(remembering: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(remembering, tmp_path / "own")
    return tmp_path / "own"


def classified(model: Model) -> np.ndarray:
    """What the classifier alone says of TEXTS."""
    documents = [Document(str(i), text, ()) for i, text in enumerate(TEXTS)]
    return model.network.score_documents(documents)[1]


def test_results_tell_what_was_chosen_and_evaluate_repeats_them(
    remembering: Path,
) -> None:
    results = json.loads((remembering / "results.json").read_text())
    memory = results["memory"]
    assert memory["kind"] == "pretrained"
    assert memory["choice"] == FIXED_SAY
    about = memory["validation"]
    assert set(about["with_memory"]) == set(about["without_memory"])
    again = evaluate_workdir(remembering)
    assert again["memory"] == memory
    assert again["test"]["metrics"] == results["test"]["metrics"]


def test_the_mixture_is_that_of_classifier_and_memory(model: Model) -> None:
    assert model.memory is not None
    kept = model.memory.keys
    documents = [Document(str(i), text, ()) for i, text in enumerate(TEXTS)]
    queries = model.memory.queries(documents)
    expected = np.zeros((len(TEXTS), len(LABELS)))
    for row, query in enumerate(queries):
        for keys, labels in (
            (kept.documents, kept.document_labels),
            (kept.labels, np.arange(len(LABELS))[:, None]),
        ):
            products = keys @ query
            near = np.argsort(-products, kind="stable")[:8]
            shares = np.exp(products[near] / 0.1)
            for key, share in zip(near, shares / shares.sum(), strict=True):
                for label in labels[key]:
                    if label >= 0:
                        expected[row, label] += 0.5 * share
    mixed = model.predict_proba(TEXTS)
    np.testing.assert_allclose(mixed, (classified(model) + expected) / 2, atol=1e-5)


def test_with_weight_0_the_model_is_exactly_its_classifier(model: Model) -> None:
    assert model.memory is not None
    choice = dataclasses.replace(model.memory.choice, weight=0.0)
    plain = beside(model, dataclasses.replace(model.memory, choice=choice))
    np.testing.assert_array_equal(plain.predict_proba(TEXTS), classified(model))


def test_lists_give_the_best_labels_of_the_whole_mixture(model: Model) -> None:
    assert model.memory is not None
    keys = unit(np.ones((1, model.memory.keys.labels.shape[1])))
    added = AddedLabels(names=("rice",), descriptions=("",), parents=((),), keys=keys)
    memory = model.memory.with_added(added)
    documents = [Document(str(i), text, ()) for i, text in enumerate(TEXTS)]
    queries, own = memory.queries(documents), classified(model)
    every = Predictions.of_all(own)
    best = dataclasses.replace(every.top(3), elsewhere=every.scores_at)
    expected, mixed = memory.mix(every, queries).top(3), memory.mix(best, queries)
    np.testing.assert_array_equal(mixed.ids, expected.ids)
    np.testing.assert_allclose(mixed.probabilities, expected.probabilities, atol=1e-6)
    assert mixed.labels == expected.labels == len(LABELS) + 1


def toy_memory(**settings: Any) -> Memory:
    """Documents and texts of three labels, each along an axis of its own."""
    axes = np.eye(3, dtype=np.float32)
    keys = Keys(
        centre=np.zeros(3),
        label_centre=np.zeros(3),
        documents=axes,
        document_labels=np.int32([[0], [1], [2]]),
        labels=axes,
        seen=np.ones(3, bool),
    )
    choice = Choice(temperature=0.1, label_temperature=0.1, share=0.5, weight=0.5)
    config = MemoryConfig(kind="documents", **settings)
    return Memory(config, lambda documents, examples=None: axes, keys, choice)


def toy_validation(probabilities: np.ndarray) -> memory_choice.Validation:
    queries = np.eye(3, dtype=np.float32)
    predictions = Predictions.of_all(probabilities, np.eye(3))
    return memory_choice.Validation(queries, predictions)


def test_a_memory_that_knows_better_gets_weight_and_one_that_does_not_gets_none() -> (
    None
):
    wrong = np.float32(np.roll(np.eye(3), 1, axis=1))
    choice, measured = memory_choice.choose(toy_memory(), toy_validation(wrong))
    assert choice.weight > 0.5
    assert measured["nDCG@5"] == measured["nDCG@5_memory"] == 1
    right = np.float32(np.eye(3))
    choice, measured = memory_choice.choose(toy_memory(), toy_validation(right))
    assert choice.weight == 0
    assert measured["nDCG@5_classifier"] == 1


def test_what_the_settings_fix_is_not_chosen() -> None:
    wrong = np.float32(np.roll(np.eye(3), 1, axis=1))
    fixed = toy_memory(weight=0.1, share=1.0, temperature=0.7)
    choice, _ = memory_choice.choose(fixed, toy_validation(wrong))
    assert (choice.weight, choice.share, choice.temperature) == (0.1, 1.0, 0.7)


def test_without_validation_documents_the_classifier_stays_alone() -> None:
    nothing = np.zeros((0, 3), np.float32)
    none = memory_choice.Validation(nothing, Predictions.of_all(nothing, nothing))
    choice, measured = memory_choice.choose(toy_memory(), none)
    assert (choice.weight, measured) == (0.0, {})


def test_the_text_rule_takes_each_label_as_if_it_were_unseen() -> None:
    # Its score leaves the label itself out, and its threshold parts right from wrong.
    validation = toy_validation(np.zeros((3, 3), np.float32))
    memory = toy_memory()
    rule = memory_choice.fit_text_rule(memory, validation)
    unseen = dataclasses.replace(
        memory.keys, labels=memory.keys.labels, seen=np.array([True, True, False])
    )
    asked = dataclasses.replace(memory, keys=unseen, text_rule=rule)
    probabilities = asked.text_probabilities(np.eye(3, dtype=np.float32))[:, 0]
    assert (probabilities >= rule.threshold).tolist() == [False, False, True]


def test_stacking_lets_labels_that_text_alone_tells_of_compete() -> None:
    # 40 labels, a document each, whose vector is its label's text and a little noise;
    # the classifier gives four wrong labels 0.9 everywhere.
    count, random = 40, np.random.default_rng(0)
    texts = unit(random.normal(size=(count, 24)))
    documents = unit(texts + 0.1 * random.normal(size=texts.shape))
    keys = Keys(
        centre=np.zeros(24, np.float32),
        label_centre=np.zeros(24, np.float32),
        documents=documents,
        document_labels=np.arange(count, dtype=np.int32)[:, None],
        labels=texts,
        seen=np.ones(count, bool),
    )
    choice = Choice(temperature=0.1, label_temperature=0.1, share=1.0, weight=0.0)
    probabilities = np.full((count, count), 0.01, np.float32)
    for row in range(count):
        probabilities[row, (row + 1 + np.arange(6)) % count] = 0.9
        probabilities[row, row] = 0.95
    rule = memory_choice.TextRule(slope=1.0, intercept=-4.0, threshold=0.2)
    config = MemoryConfig(kind="documents")
    memory = Memory(config, lambda d, examples=None: documents, keys, choice, rule)
    truth = Predictions.of_all(probabilities, np.eye(count))
    validation = memory_choice.Validation(documents, truth)
    moved, measured = memory_choice.stack(memory, validation)
    assert measured["shift"] > 0 and measured["harmonic_mean"] > 0.9
    assert moved.intercept == rule.intercept + measured["shift"]
    # Nothing is decided otherwise.
    hidden = dataclasses.replace(keys, seen=np.arange(count) < 30)
    decided = [
        dataclasses.replace(memory, keys=hidden, text_rule=each)
        .text_probabilities(documents)
        .__ge__(each.threshold)
        for each in (rule, moved)
    ]
    assert decided[0].any() and not decided[0].all()
    np.testing.assert_array_equal(*decided)
    # Labels that every shift upwards hides from the documents that carry them.
    wrong = np.full((count, count), 0.01, np.float32)
    wrong[np.arange(count), np.arange(count)] = 0.02
    truth = Predictions.of_all(wrong, np.eye(count))
    low = dataclasses.replace(memory, text_rule=dataclasses.replace(rule, slope=1e-3))
    _, measured = memory_choice.stack(low, memory_choice.Validation(documents, truth))
    assert measured["shift"] <= 0 and measured["seen"] == 1.0
    # Where no document carries a label that stands for an unseen one, nothing moves.
    few = dataclasses.replace(truth, truth=np.eye(count) * 0)
    nothing = memory_choice.Validation(documents, few)
    assert memory_choice.stack(memory, nothing) == (rule, {})


def test_the_texts_of_labels_name_what_lies_above_them() -> None:
    labels = LabelSpace(
        ("12", "grain_trade"),
        {"12": "air transport; aviation", "grain_trade": "Buying and selling."},
        {"12": ("grain_trade",)},
    )
    assert own_text(labels, "12") == "air transport; aviation"
    assert own_text(labels, "grain_trade") == "grain trade. Buying and selling."
    assert family_text(labels, "12") == "air transport, grain trade"
    assert family_text(labels, "grain_trade") == ""


def test_an_added_label_is_predicted_measured_and_taken_away_again(
    own: Path, tmp_path: Path
) -> None:
    before = lg.load(own)
    new = [NewLabel("rice", "silo harvest", ("grain",)), NewLabel("the-crude")]
    assert len(add_labels(own, new[:1])) == 1
    assert add_labels(own, new[1:]).names == ("rice", "the-crude")
    model = lg.load(own)
    assert model.labels == (*LABELS, "rice", "the-crude")
    old, now = before.predict_proba(TEXTS), model.predict_proba(TEXTS)
    np.testing.assert_array_equal(now[:, : len(LABELS)], old)
    assert model.memory is not None
    threshold = model.memory.text_rule.threshold
    np.testing.assert_array_equal(model.thresholds[-2:], threshold)
    documents = made_documents(12, 9)
    for document in documents[:4]:
        document["labels"].append("rice")
    data = write_jsonl(tmp_path / "new.jsonl", documents)
    test = evaluate_workdir(own, data=str(data))["test"]
    assert test["unseen_labels"] == {}
    group = test["added_labels"]
    assert (group["labels"], group["documents"]) == (2, 4)
    assert 0 < group["metrics"]["RP@5"] <= 1
    both = test["seen_and_unseen"]
    harmonic = 2 / (1 / both["seen"] + 1 / both["unseen"]) if both["unseen"] else 0.0
    assert both["harmonic_mean"] == pytest.approx(harmonic)
    assert remove_labels(own, ["rice", "the-crude"]).names == ()
    np.testing.assert_array_equal(lg.load(own).predict_proba(TEXTS), old)


def test_a_memory_can_be_added_to_a_finished_run_and_taken_away(
    trained: Path, bert: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(trained, own)
    before = lg.load(own)
    told = before.predict_proba(TEXTS), before.predict(TEXTS)
    asked = MemoryConfig(kind="documents", neighbours=8, **FIXED_SAY)
    results = make_memory(own, asked)
    assert results["memory"]["kind"] == "documents"
    again = evaluate_workdir(own)
    assert again["test"]["metrics"] == results["test"]["metrics"]
    assert not np.allclose(lg.load(own).predict_proba(TEXTS), told[0])
    assert make_memory(own, asked)["memory"] == results["memory"]  # twice in a row
    assert make_memory(own, MemoryConfig())["memory"] is None
    after = lg.load(own)
    np.testing.assert_array_equal(after.predict_proba(TEXTS), told[0])
    assert after.predict(TEXTS) == told[1]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(arguments) == 2
    return capsys.readouterr().err


def test_the_verbs_add_list_and_remove(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = str(own)
    add = ["labels", "add", workdir, "--label", "rice", "--description", "a grain"]
    assert run(add) == 0
    assert capsys.readouterr().out == "1 label added, 1 in all\n"
    assert "'rice' was added before" in said(add, capsys)
    assert run(["labels", "list", workdir, "--added"]) == 0
    assert capsys.readouterr().out == "rice\tadded\ta grain\n"
    left = said(["memory", workdir, "--memory.kind", "none"], capsys)
    assert "1 label was added" in left
    message = said(["labels", "remove", workdir, "corn"], capsys)
    assert "'corn' was trained" in message
    assert "no label 'rye' was added" in said(
        ["labels", "remove", workdir, "rye"], capsys
    )
    add_labels(own, [NewLabel("paddy", "", ("rice",))])
    message = said(["labels", "remove", workdir, "rice"], capsys)
    assert "'rice' lies above 'paddy', which was added: remove both" in message
    assert run(["labels", "remove", workdir, "rice", "paddy"]) == 0


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.jsonl", '{"name": "corn"}', "has the label 'corn' already"),
        (
            "a.jsonl",
            '{"name": "x"}\n{"name": "x"}',
            ":2: the label 'x' stands in line 1",
        ),
        ("a.jsonl", '{"name": ""}', ":1: a label must not be empty"),
        ("a.jsonl", '{"name": 3}', ':1: "name" must be a string; got 3'),
        ("a.jsonl", '{"title": "x"}', ':1: a label must have a "name"'),
        ("a.jsonl", '{"name": "x", "text": "y"}', ":1: a label has name, description"),
        (
            "a.jsonl",
            '{"name": "x", "description": 3}',
            '"description" must be a string',
        ),
        ("a.jsonl", '{"name": "x", "parents": ["y"]}', "the parent 'y' of 'x' is no"),
        ("a.jsonl", '{"name": "x", "parents": ["x"]}', "cannot lie above itself"),
        ("a.jsonl", "{", ":1: "),
        ("a.jsonl", "", "at least one label; it is empty"),
        ("a.tsv", "x\ty\tz", ":1: must be name<TAB>description; got 3 columns"),
        ("a.tsv", "x\ty\nx\tz", ":2: the label 'x' stands in line 1 already"),
        ("a.csv", "x", "must stand in a .jsonl or .tsv file; got .csv"),
    ],
)
def test_labels_that_cannot_be_added_are_named_and_none_is(
    remembering: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    lines: str,
    message: str,
) -> None:
    (tmp_path / name).write_text(lines, encoding="utf-8")
    add = ["labels", "add", str(remembering), str(tmp_path / name)]
    assert message in said(add, capsys)
    assert not (remembering / "memory" / "added.npz").exists()


def test_what_is_missing_or_too_much_is_said(
    trained: Path, remembering: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = ["--label", "rice"]
    message = said(["labels", "add", str(trained), *label], capsys)
    assert f"`labelgraph memory {trained}` makes one" in message
    workdir = str(remembering)
    assert "no such file" in said(["labels", "add", workdir, "absent.jsonl"], capsys)
    assert "one of the two" in said(["labels", "add", workdir], capsys)
    assert "one of the two" in said(["labels", "add", workdir, "f.tsv", *label], capsys)
    alone = said(["labels", "add", workdir, "f.tsv", "--description", "x"], capsys)
    assert "--description is of --label" in alone
    assert "no such work directory" in said(["labels", "list", "absent"], capsys)
    with WorkdirLock(remembering):
        assert "another run is at work" in said(
            ["labels", "add", workdir, *label], capsys
        )


def test_a_damaged_memory_is_named(own: Path) -> None:
    (own / "memory" / "memory.json").write_text("{}")
    with pytest.raises(WorkdirError, match=r"memory\.json: must hold the settings"):
        lg.load(own)


@pytest.mark.parametrize("name", ["memory/keys.npz", "label_graph.npz"])
def test_an_archive_that_was_cut_off_is_named(own: Path, name: str) -> None:
    whole = (own / name).read_bytes()
    (own / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkdirError, match=rf"{name}: cannot be read"):
        lg.load(own)


def test_another_encoder_of_the_same_shape_takes_the_place_of_the_one_before(
    tmp_path: Path,
) -> None:
    place = Workdir(tmp_path / "run")
    for weights in (b"one", b"two"):
        source = tmp_path / weights.decode()
        source.mkdir()
        (source / "model.safetensors").write_bytes(weights)
        copy_encoder(source, place)
        copied = encoder_folder(place) / "model.safetensors"
        assert copied.read_bytes() == weights


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"kind": "documents", "share": 1.5}, r"memory.share must lie in \[0, 1\]"),
        ({"kind": "documents", "weight": -1.0}, r"memory.weight must lie in \[0, 1\]"),
        ({"kind": "documents", "temperature": 0.0}, "temperature must be positive"),
        ({"kind": "documents", "neighbours": 0}, "neighbours must be at least 1"),
        ({"weight": 0.5}, "memory.weight is read only with a memory"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    memory: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        MemoryConfig(**memory)


def test_labels_in_chunks_are_mixed_and_added_as_all_at_once(
    zoo: Zoo, bert: Path, tmp_path: Path
) -> None:
    memory = MemoryConfig(
        kind="pretrained", pretrained=str(bert), neighbours=8, **FIXED_SAY
    )
    whole = zoo.copy("whole", tmp_path / "whole")
    for own in (zoo.copy("chunks", tmp_path / "run"), whole):
        make_memory(own, memory)
        add_labels(own, [NewLabel("rice", "silo harvest")])
    one, other = lg.load(whole), lg.load(tmp_path / "run")
    assert (one.label_chunk, other.label_chunk) == (0, 2)
    for a, b in zip(
        one.predict_top(TEXTS, 5), other.predict_top(TEXTS, 5), strict=True
    ):
        assert [name for name, _ in a] == [name for name, _ in b]
        np.testing.assert_allclose([p for _, p in a], [p for _, p in b], atol=1e-4)
    documents = [{"id": "a", "text": TEXTS[0], "labels": ["corn", "rice"]}]
    data = write_jsonl(tmp_path / "new.jsonl", documents)
    test = evaluate_workdir(tmp_path / "run", data=str(data))["test"]
    of_all = evaluate_workdir(whole, data=str(data))["test"]["added_labels"]
    added = test["added_labels"]
    assert (added["labels"], added["documents"]) == (1, 1)
    for name in ("micro_f1", "RP@5", "nDCG@5"):
        assert added["metrics"][name] == pytest.approx(of_all["metrics"][name])
    assert test["unseen_labels"] == {}
    assert 0 <= test["metrics"]["nDCG@5"] <= 1


def test_runs_with_added_labels_are_not_joined(
    own: Path, remembering: Path, tmp_path: Path
) -> None:
    add_labels(own, [NewLabel("rice")])
    with pytest.raises(WorkdirError, match="labels that were added after training"):
        make_ensemble([remembering, own], tmp_path / "joined")
