"""Explanations of a trained run: what they say, as tables, JSON and a page."""

import dataclasses
import gc
import io
import json
import shutil
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.explanation import print_explanation
from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.tokenizers.traces import Trace
from labelgraph_jax.inspection.explain import ExplainError, Explanation
from labelgraph_jax.inspection.explain.attribute import compiled_attribution
from labelgraph_jax.inspection.explain.label_explanation import Check, merged_words
from labelgraph_jax.inspection.explain.words import joined_words
from labelgraph_jax.predictors.decision import at_half
from labelgraph_jax.predictors.ensemble import Ensemble
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.corpus import read_corpus
from tests.tiny import LABELS

TEXT = "Maize cob of the <b>barrel</b>, today"
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def workdir(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: the vectors of training documents are kept in it."""
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("explained") / "run"))


@pytest.fixture(scope="module")
def model(workdir: Path) -> Model:
    loaded = lg.load(workdir)
    assert isinstance(loaded, Model)
    return loaded


@pytest.fixture(scope="module")
def found(model: Model) -> Explanation:
    return lg.explain(model, TEXT, ["corn", "oil", "ship"])


def test_the_words_add_up_to_the_logit_of_predict(
    found: Explanation, model: Model
) -> None:
    (probabilities,) = model.predict_proba(TEXT)
    predicted = model.predict(TEXT)[0]
    for label in found.labels:
        place = LABELS.index(label.label)
        assert label.probability == pytest.approx(float(probabilities[place]))
        assert label.predicted == (label.label in predicted)
        assert label.logit is not None and label.check is not None
        assert 1 / (1 + np.exp(-label.logit)) == pytest.approx(label.probability, 1e-4)
        total = sum(label.words) + label.frame
        assert total == pytest.approx(label.check.total, abs=1e-5)
        assert label.check.holds
    assert [TEXT[a:b] for a, b in found.spans] == list(found.words)
    corn = dict(zip(found.words, found.labels[0].words, strict=True))
    assert max(corn, key=lambda word: corn[word]) in ("Maize", "cob")


def test_it_names_the_labels_received_from_and_what_stands_beside(
    found: Explanation, model: Model
) -> None:
    graph, params = model.classifier.graph, model.params["label_graph"]
    for label in found.labels:
        row = LABELS.index(label.label)
        assert len(label.itself) == model.config.graph.layers
        for layer in range(len(label.itself)):
            received = sum(one.attention[layer] for one in label.neighbours)
            assert received + label.itself[layer] == pytest.approx(1.0, abs=1e-4)
        for one in label.neighbours:
            column = LABELS.index(one.label)
            assert one.start == pytest.approx(float(graph.adjacency[row, column]))
            learned = float(np.exp(params["edge_bias"][row, column]))
            assert one.learned == pytest.approx(learned, rel=1e-5)
            assert np.mean(one.heads[0]) == pytest.approx(one.attention[0], abs=1e-6)
            assert one.probability == pytest.approx(one.start, abs=1e-5)
        assert label.message is not None


def test_the_nearest_training_documents_are_kept_and_found_again(
    found: Explanation, model: Model, workdir: Path, tiny_data: DataConfig
) -> None:
    documents = {d.id: d for d in read_corpus(tiny_data).train}
    assert len(found.documents) == 5
    similarities = [near.similarity for near in found.documents]
    assert similarities == sorted(similarities, reverse=True)
    for near in found.documents:
        assert near.labels == documents[near.id].labels
        assert near.start == documents[near.id].text
    written = (workdir / "train_vectors.npz").stat().st_mtime_ns
    some = documents[found.documents[0].id]
    said: list[str] = []
    again = lg.explain(model, some.text, ["corn"], documents=1, say=said.append)
    assert again.documents[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert not said
    assert (workdir / "train_vectors.npz").stat().st_mtime_ns == written
    (workdir / "train_vectors.npz").write_bytes(b"damaged")
    lg.explain(model, TEXT, ["corn"], documents=1, say=said.append)
    assert "vectors of 48 training documents" in said[0]


def test_documents_that_are_gone_are_a_sentence_and_not_a_failure(
    model: Model, tmp_path: Path
) -> None:
    moved = dataclasses.replace(model.config.data, data=str(tmp_path / "gone.jsonl"))
    config = dataclasses.replace(model.config, data=moved)
    place = dataclasses.replace(model.workdir, path=tmp_path)
    other = dataclasses.replace(model, config=config, workdir=place)
    explained = other.explain(TEXT, ["corn"])
    assert not explained.documents
    assert "cannot be read any more" in explained.notes[0]
    assert explained.labels[0].neighbours[0].together is None
    assert not lg.explain(other, TEXT, ["corn"], documents=0).notes


def test_models_of_one_classifier_share_what_was_compiled_until_it_goes(
    model: Model,
) -> None:
    compiled = compiled_attribution(model)
    other = model.with_decision(at_half(len(LABELS)))
    assert compiled_attribution(other) is compiled
    alone = dataclasses.replace(model, classifier=dataclasses.replace(model.classifier))
    assert compiled_attribution(alone) is not compiled
    lg.explain(alone, TEXT, ["corn"], documents=0, neighbours=0)
    gone = weakref.ref(alone.classifier)
    del alone
    gc.collect()
    assert gone() is None


def test_without_a_predicted_label_the_most_probable_one_is_explained(
    model: Model,
) -> None:
    never = dataclasses.replace(
        model.decision, thresholds=np.full(5, 0.9999), at_least_one=False
    )
    explained = lg.explain(model.with_decision(never), "today of the", documents=0)
    assert len(explained.labels) == 1
    assert not explained.labels[0].predicted
    assert "no label is predicted" in explained.notes[0]
    best = lg.explain(model, "port cargo", top_k=2, documents=0, neighbours=0)
    assert best.labels[0].label == "ship"
    assert len(best.labels) == 2


def test_an_ensemble_is_explained_by_the_weighed_sum_of_its_members(
    model: Model, found: Explanation
) -> None:
    both = Ensemble(
        **{name: getattr(model, name) for name in Model.__dataclass_fields__},
        members=(model, model),
        weights=np.array([0.5, 1.0]),
        bias=0.25,
    )
    joined = lg.explain(both, TEXT, ["corn"])
    (label,), alone = joined.labels, found.labels[0]
    assert alone.logit is not None
    assert label.logit == pytest.approx(1.5 * alone.logit + 0.25, rel=1e-5)
    np.testing.assert_allclose(label.words, 1.5 * np.array(alone.words), atol=1e-5)
    assert 1 / (1 + np.exp(-label.logit)) == pytest.approx(label.probability, 1e-4)
    assert label.neighbours == alone.neighbours


def test_readers_that_cut_a_text_differently_share_its_words() -> None:
    one = Trace("don't go", ((0, 3), (4, 5), (6, 8)), ("don", "t", "go"), ())
    two = Trace("don't go", ((0, 5), (6, 8)), ("don't", "go"), ())
    joined, places = joined_words([one, two])
    assert joined.names == ("don't", "go")
    assert [place.tolist() for place in places] == [[0, 0, 1], [0, 1]]


@given(text=st.text(max_size=30))
@settings(max_examples=30, deadline=None)
def test_nothing_of_a_text_or_a_label_becomes_markup(text: str) -> None:
    words = tuple(text.split())
    spans, at = [], 0
    for word in words:
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    label = dataclasses.replace(_label(EVIL, len(words)), note=EVIL)
    explanation = Explanation(
        text, tuple(spans), words, (label,), notes=(EVIL,), read=EVIL
    )
    shown = explanation.to_html()
    assert "<script" not in shown
    assert "http" not in shown.replace(text, "")


def _label(name: str, words: int):
    from labelgraph_jax.inspection.explain import LabelExplanation

    check = Check("integrated-gradients", 32, 1.0, 2.0)
    return LabelExplanation(
        name, "", True, 0.9, 0.5, 2.0, 0.0, (0.5,) * words, 0.0, check, check
    )


def test_a_gap_beyond_the_tolerance_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = Explanation("a b", ((0, 1), (2, 3)), ("a", "b"), (_label("x", 2),))
    assert "miss more than 5%" in found.to_html()
    print_explanation(found)
    assert "miss more than 5%" in " ".join(capsys.readouterr().out.split())
    assert Check("gradient-x-input", 1, 0.0, 0.0).relative == 0
    assert Check("gradient-x-input", 1, 1.0, 0.0).relative is None
    assert merged_words(("A", "b", "a"), (1.0, -0.5, 1.0)) == [
        ("A", 2.0, 2),
        ("b", -0.5, 1),
    ]


def test_a_page_is_whole_and_a_notebook_gets_its_middle(found: Explanation) -> None:
    whole, part = found.to_html(), found._repr_html_()
    assert part in whole
    assert whole.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in part
    assert "&lt;" in part and "<b>barrel" not in part
    assert "title='+" in part


def test_the_command_prints_a_table_of_80_columns_json_and_a_page(
    workdir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "why.html"
    arguments = ["explain", str(workdir), "Maize cob today", "--label", "corn"]
    assert run([*arguments, "--label", "ship", "--html", str(out)]) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if str(out) not in line]
    assert max(map(len, lines)) <= 80 and len(lines) < len(said.splitlines())
    assert "Sum of attributions" in said and "Labels it receives from" in said
    assert "\x1b[" not in said
    assert out.read_text("utf-8").startswith("<!doctype html>")

    stream = io.TextIOWrapper(io.BytesIO(b"Maize cob today"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run(["explain", str(workdir), "-", "--json", "--documents", "0"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["words"] == ["Maize", "cob", "today"]
    assert read["labels"][0]["check"]["complete"] is True


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("  ", {}, "the document is empty"),
        (["maize", "port"], {}, "one document is explained at a time, got 2"),
        ("maize", {"labels": ["korn"]}, "no label 'korn'; near it are 'corn'"),
        ("maize", {"labels": ["zzzz"]}, "no label 'zzzz' among its 5"),
        ("maize", {"steps": -1}, "steps must be at least 1, got -1"),
        ("maize", {"documents": -1}, "documents must not be negative, got -1"),
        ("maize", {"method": "magic"}, "method must be one of integrated-gradients"),
        ("maize", {"labels": ["corn"], "top_k": 2}, "not both"),
    ],
)
def test_what_cannot_be_explained_is_said(model: Model, text, options, said) -> None:
    with pytest.raises(ExplainError, match=said):
        lg.explain(model, text, **options)


def test_a_text_of_unknown_words_has_finite_attributions(model: Model) -> None:
    explained = lg.explain(model, "xyzzy plugh", ["corn"], documents=0, neighbours=0)
    assert np.isfinite(explained.labels[0].words).all()
    nothing = lg.explain(model, "?!", ["corn"], documents=0, neighbours=0)
    assert "no word of this text is known" in nothing.notes[0]


def test_the_command_refuses_in_one_line(
    workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = tmp_path / "two.txt"
    two.write_text("maize\nport\n")
    for arguments, said in (
        ([str(tmp_path / "absent"), "a"], "no such work directory"),
        ([str(workdir), "--file", str(two)], "it holds 2; name one with --id"),
        ([str(workdir), "--file", str(two), "--id", "x"], "has no document 'x'"),
        ([str(workdir), "a", "--file", str(two)], "give a text or --file, not both"),
        ([str(workdir), "a", "--id", "x"], "there is no --file"),
        ([str(workdir), "a", "--html", str(tmp_path / "no" / "x")], "no such folder"),
    ):
        assert run(["explain", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_no_control_character_of_a_text_reaches_the_page_or_the_terminal(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "why.html"
    text = "wheat \x1b[31mharvest\x9b2J \u202esilo"
    assert run(["explain", str(trained), text, "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    for shown in (printed, page.read_text("utf-8")):
        assert not set(shown) & set("\x1b\x9b\u202e")
    assert "\\x1b" in page.read_text("utf-8")
