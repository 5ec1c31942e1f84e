"""A trained model in memory, and predictions for files and streams."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax import load
from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import prepare
from labelgraph_jax.runs.predict import write_predictions
from labelgraph_jax.training.checkpoint import CheckpointError
from tests.tiny import LABELS, tiny_config, write_jsonl, write_tiny_bert

TEXTS = ["maize cob today", "crude barrel of the port cargo", "flour"]


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return lg.load(trained)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_loaded_model_has_the_names_that_were_promised(model: Model) -> None:
    assert isinstance(model, lg.Model)
    assert model.labels == LABELS
    probabilities = model.predict_proba(TEXTS)
    assert probabilities.shape == (3, 5)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert "label_graph" in model.params


def test_it_predicts_the_labels_that_the_words_name(model: Model) -> None:
    predicted = model.predict(["barrel crude barrel crude", "port cargo port cargo"])
    assert predicted[0][0] == "oil"
    assert predicted[1][0] == "ship"


def test_the_labels_are_those_above_their_threshold_the_most_probable_first(
    model: Model,
) -> None:
    scores = np.float32([0.1, 0.9, 0.3, 0.2, 0.8])
    own = Decision(kind="label", thresholds=np.array([0.05, 0.5, 0.5, 0.2, 0.9]))
    assert model.with_decision(own).decide(scores) == ["grain", "ship", "corn"]
    two = Decision(kind="top_k", k=2, thresholds=np.full(5, 0.5))
    assert model.with_decision(two).decide(scores) == ["grain", "wheat"]


def test_what_is_predicted_is_what_is_measured(
    model: Model, tiny_data: DataConfig
) -> None:
    documents = read_corpus(tiny_data).test
    never = np.full(5, 0.9999)
    forced = model.with_decision(
        Decision(kind="label", thresholds=never, at_least_one=True)
    )
    predicted = forced.predict([document.text for document in documents])
    assert all(len(labels) == 1 for labels in predicted)
    hits = sum(p[0] in d.labels for p, d in zip(predicted, documents, strict=True))
    metrics = forced.evaluate(documents)["metrics"]
    assert metrics["micro_precision"] == hits / len(documents) == metrics["P@1"]


def test_one_text_and_no_text_are_texts_too(model: Model) -> None:
    one = model.predict_proba(TEXTS[0])
    np.testing.assert_allclose(one, model.predict_proba(TEXTS)[:1], atol=1e-6)
    assert model.predict_proba([]).shape == (0, 5)
    assert model.predict([]) == []


@pytest.mark.parametrize("text", ["", "   ", "\n", "ξένος", "?!", "maize " * 1000])
def test_any_text_has_finite_probabilities(text: str, model: Model) -> None:
    assert np.isfinite(model.predict_proba([text])).all()


def test_what_is_no_text_is_named_by_its_place(model: Model) -> None:
    with pytest.raises(DataError, match="text 1 must be a string, got NoneType"):
        model.predict_proba(["maize", None])  # type: ignore[list-item]


def test_the_order_and_the_batch_size_do_not_change_a_prediction(model: Model) -> None:
    texts = TEXTS * 5
    together = model.predict_proba(texts)
    np.testing.assert_allclose(
        model.predict_proba(texts[::-1], batch_size=4), together[::-1], atol=1e-6
    )


def test_a_checkpoint_can_be_chosen(trained: Path, model: Model) -> None:
    last = load(trained, checkpoint="last")
    assert last.predict_proba(TEXTS).shape == (3, 5)
    with pytest.raises(CheckpointError, match="no checkpoint of step 99999"):
        load(trained, checkpoint=99999)


def test_what_is_no_work_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkdirError, match="no such work directory"):
        lg.load(tmp_path / "absent")
    with pytest.raises(WorkdirError, match=r"it has no config\.json"):
        lg.load(tmp_path)


def test_a_jsonl_file_becomes_one_object_a_line(model: Model, tmp_path: Path) -> None:
    documents = [{"id": f"n{i}", "text": text} for i, text in enumerate(TEXTS)]
    source = write_jsonl(tmp_path / "new.jsonl", documents)
    out = tmp_path / "out.jsonl"
    assert write_predictions(model, str(source), str(out), all_scores=True) == 3
    probabilities = model.predict_proba(TEXTS)
    for row, text, scores in zip(rows(out), TEXTS, probabilities, strict=True):
        assert row["id"] == f"n{TEXTS.index(text)}"
        assert row["labels"] == model.decide(scores)
        assert list(row["all_scores"]) == list(LABELS)
        np.testing.assert_allclose(list(row["all_scores"].values()), scores, atol=1e-6)
        assert row["scores"] == [row["all_scores"][name] for name in row["labels"]]


def test_a_text_file_holds_a_document_a_line(model: Model, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("maize cob\nport cargo\n")
    out = tmp_path / "out.jsonl"
    assert write_predictions(model, str(tmp_path / "new.txt"), str(out)) == 2
    assert [row["id"] for row in rows(out)] == ["line-1", "line-2"]


@pytest.mark.parametrize(
    ("content", "format"),
    [("maize\nport\n", None), ('{"text": "maize"}\n' * 2, "jsonl")],
)
def test_standard_input_is_read_and_standard_output_written(
    content: str,
    format: str | None,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(content.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert write_predictions(model, "-", "-", format=format, top_k=2) == 2
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(row["labels"]) for row in written] == [2, 2]
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in written)


def test_more_labels_than_there_are_gives_all_of_them(
    model: Model, tmp_path: Path
) -> None:
    (tmp_path / "new.txt").write_text("maize\n")
    out = tmp_path / "out.jsonl"
    write_predictions(model, str(tmp_path / "new.txt"), str(out), top_k=99)
    assert sorted(rows(out)[0]["labels"]) == sorted(LABELS)


def test_nothing_is_written_where_the_input_is_wrong(
    model: Model, tmp_path: Path
) -> None:
    (tmp_path / "new.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r'new\.jsonl:2: "text" must be a string'):
        write_predictions(model, str(tmp_path / "new.jsonl"), str(out))
    with pytest.raises(DataError, match="no such folder"):
        write_predictions(model, "x.txt", str(tmp_path / "absent" / "out.jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


@pytest.mark.slow
def test_cached_encodings_give_the_predictions_of_uncached_ones(
    tiny_data: DataConfig, tmp_path: Path, encodings_folder: Path
) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    text = {"encoder": "bilstm", "vectors": "pretrained", "trainable": False}
    config = tiny_config(tiny_data, text={**text, "pretrained": str(folder)})
    first = fit(config, tmp_path / "first", progress=False)
    files = [path for path in encodings_folder.rglob("*") if path.is_file()]
    written = {path: path.stat().st_mtime_ns for path in files}
    second = fit(config, tmp_path / "second", progress=False)
    assert written
    assert {path: path.stat().st_mtime_ns for path in files} == written
    assert first["test"] == second["test"]

    model = load(tmp_path / "second")
    texts = [row["text"] for row in rows(Path(tiny_data.data))]
    assert model.encoder is not None
    assert model.encoder.cache is None, "a loaded model writes nothing"
    examples = prepare(config).train
    np.testing.assert_allclose(
        model.predict_examples((), examples).probabilities,
        model.predict_proba(texts),
        atol=1e-3,
    )
