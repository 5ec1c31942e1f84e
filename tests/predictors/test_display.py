"""A model in a notebook: how it shows itself, and predictions as frames."""

import dataclasses
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import labelgraph_jax as lg
from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.display import as_html, as_text, model_facts
from labelgraph_jax.predictors.ensemble import Ensemble
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.tables.inputs import as_table
from labelgraph_jax.predictors.tables.model import TableModel
from tests.tiny import LABELS
from tests.zoo import Zoo

TEXTS = ["maize cob today", "crude barrel of the port cargo", "flour"]


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return lg.load(trained)


@pytest.fixture(scope="module")
def table_model(zoo: Zoo) -> TableModel:
    loaded = lg.load(zoo("table"))
    assert isinstance(loaded, TableModel)
    return loaded


class Cells(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_model_is_a_short_text_and_not_its_parameters(model: Model) -> None:
    lines = repr(model).splitlines()
    assert lines[0] == "Model" and len(lines) < 12
    shown = dict(line.strip().split("  ", 1) for line in lines[1:])
    assert shown["from"].strip() == str(model.workdir.path)
    assert shown["labels"].strip() == "5"
    assert shown["trained on"].strip().startswith("48 documents of ")
    assert shown["encoder"].strip() == "bag of words"
    assert shown["label graph"].strip() == "2 layers of gat, 2 heads, from cooccurrence"
    metrics = model.workdir.results()["test"]["metrics"]
    assert f"micro F1 {metrics['micro_f1']:.3f}" in shown["test, 24 documents"]
    step = model.workdir.results()["training"]["best_step"]
    assert shown["checkpoint"].strip() == f"step {step}"


def test_a_notebook_shows_the_same_facts_as_a_table(model: Model) -> None:
    cells = Cells(model._repr_html_())
    assert set(cells.tags) == {"table", "caption", "tbody", "tr", "th", "td"}
    facts = [part for fact in model_facts(model) for part in fact]
    assert cells.texts == ["Model", *facts]


def test_what_a_model_says_of_itself_is_escaped(model: Model) -> None:
    page = as_html("<b>", [("<i>", "<script>alert('&')</script>")])
    cells = Cells(page)
    assert "script" not in cells.tags and "i" not in cells.tags
    assert cells.texts == ["<b>", "<i>", "<script>alert('&')</script>"]


def test_the_checkpoint_that_was_asked_for_is_named(trained: Path) -> None:
    step = lg.load(trained).workdir.results()["training"]["best_step"]
    assert f"step {step}" in repr(lg.load(trained, checkpoint=step))


def test_an_ensemble_names_its_members(model: Model) -> None:
    fields = {name: getattr(model, name) for name in Model.__dataclass_fields__} | {
        "step": None
    }
    joined = Ensemble(
        members=(model, model), weights=np.array([0.5, 0.5]), bias=0.0, **fields
    )
    facts = dict(model_facts(joined))
    assert facts["members"] == "bag of words; bag of words"
    assert "checkpoint" not in facts
    assert repr(joined).startswith("Ensemble\n")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("half", "0.5 for every label"),
        ("global", "one threshold, 0.250"),
        ("label", "a threshold per label"),
        ("sloped", "a threshold that slopes"),
        ("top_k", "the 2 most probable labels"),
    ],
)
def test_every_rule_of_decision_has_words(kind: str, words: str, model: Model) -> None:
    rule = Decision(kind=kind, thresholds=np.full(5, 0.25), k=2, at_least_one=True)
    shown = dict(model_facts(model.with_decision(rule)))["decides by"]
    assert shown.startswith(words) and shown.endswith(", at least one label")


def test_a_model_whose_run_has_no_results_is_shown_without_them(
    model: Model, tmp_path: Path
) -> None:
    elsewhere = dataclasses.replace(model.workdir, path=tmp_path)
    facts = dict(model_facts(dataclasses.replace(model, workdir=elsewhere)))
    assert facts["training"] == "not finished"
    assert as_text("Model", list(facts.items())).count("\n") == len(facts)


def test_predictions_are_plain_python(model: Model) -> None:
    predicted = model.predict(pd.Series(TEXTS))
    assert predicted == model.predict(np.array(TEXTS)) == model.predict(TEXTS)
    assert type(predicted) is list and type(predicted[0]) is list
    assert all(type(name) is str for row in predicted for name in row)


def test_a_frame_of_predictions_has_a_row_per_text_and_its_index(model: Model) -> None:
    series = pd.Series(TEXTS, index=["a", "b", "c"])
    frame = model.predict(series, as_frame=True)
    assert list(frame.columns) == [
        "text", "labels", "scores", "top_label", "top_probability",
    ]  # fmt: skip
    assert list(frame.index) == ["a", "b", "c"]
    assert list(frame["text"]) == TEXTS
    assert list(frame["labels"]) == model.predict(TEXTS)
    probabilities = model.predict_proba(TEXTS)
    best = [model.labels[i] for i in probabilities.argmax(1)]
    assert list(frame["top_label"]) == best
    np.testing.assert_allclose(
        frame["top_probability"], probabilities.max(1), rtol=1e-6
    )
    for names, scores in zip(frame["labels"], frame["scores"], strict=True):
        assert len(names) == len(scores) and sorted(scores, reverse=True) == scores


def test_a_frame_of_probabilities_has_a_column_per_label(model: Model) -> None:
    frame = model.predict_proba(TEXTS, as_frame=True)
    assert tuple(frame.columns) == LABELS and list(frame.index) == [0, 1, 2]
    np.testing.assert_array_equal(frame.to_numpy(), model.predict_proba(TEXTS))
    assert model.predict_proba([], as_frame=True).shape == (0, 5)
    assert len(model.predict([], as_frame=True)) == 0
    assert list(model.predict("maize", as_frame=True)["text"]) == ["maize"]


def test_without_pandas_a_frame_says_how_to_install_it(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        model.predict(TEXTS, as_frame=True)
    assert model.predict(TEXTS)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (pd.DataFrame({"text": TEXTS}), "got a DataFrame; of a frame or mapping give"),
        ({"text": TEXTS}, "got a dict; of a frame or mapping give one column"),
        (3, "strings in a list, array or Series, got 3"),
        (pd.Series(["maize", None]), "text 1 must be a string, got"),
        (np.array([["maize"]]), "text 0 must be a string, got ndarray"),
        (b"maize", "text 0 must be a string, got int"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(
    texts: object, message: str, model: Model
) -> None:
    with pytest.raises(DataError, match=message):
        model.predict(texts)


def test_the_test_documents_of_a_run_are_scored_as_they_were_measured(
    model: Model, tiny_data: DataConfig
) -> None:
    scored = lg.score_test(model)
    assert repr(scored).endswith("24 documents, 5 labels)")
    counts = model.workdir.results()["test"]["metrics"]
    tp = (scored.decided & (scored.targets > 0)).sum()
    f1 = 2 * tp / (scored.decided.sum() + scored.targets.sum())
    assert counts["micro_f1"] == pytest.approx(f1)
    assert np.nanmean(scored.label_f1) == pytest.approx(counts["macro_f1"])
    matrix, names = scored.most_confused(3)
    assert matrix.shape == (3, 3) and set(names) <= set(LABELS)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        scored.most_confused(0)


def test_from_a_run_to_a_figure_are_two_lines(trained: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    model = lg.load(trained)
    lg.figures.learning_curves(model.workdir.history())
    lg.figures.adjacency_heat_map(model.classifier.graph.adjacency, model.labels)
    lg.figures.label_network(model.classifier.graph.adjacency, model.labels)
    scored = lg.score_test(model)
    lg.figures.reliability_diagram(scored.probabilities, scored.targets)
    lg.figures.f1_by_frequency(
        scored.train_counts, scored.label_f1, names=scored.labels
    )
    lg.figures.label_confusion(*scored.most_confused(20))
    assert len(pyplot.get_fignums()) == 6
    pyplot.close("all")


def test_a_model_of_a_table_shows_its_tasks(table_model: TableModel) -> None:
    lines = repr(table_model).splitlines()
    assert lines[0] == "TableModel" and len(lines) < 10
    assert "click (binary)" in repr(table_model) and "checkpoint" in repr(table_model)
    cells = Cells(table_model._repr_html_())
    assert "table" in cells.tags and "click (binary)" in "".join(cells.texts)


def test_a_model_of_a_table_reads_and_gives_frames(table_model: TableModel) -> None:
    frame = pd.DataFrame(
        {"job": ["clerk", "pilot"], "age": [30.0, np.nan], "country": ["de", None]},
        index=[7, 9],
    )
    assert len(as_table(frame)) == 2
    rows = [{"job": "clerk", "age": 30.0, "country": "de"}, {"job": "pilot"}]
    predicted = table_model.predict(frame)
    assert predicted == table_model.predict(rows)
    found = table_model.predict(frame, as_frame=True)
    assert list(found.index) == [7, 9]
    assert list(found["genre"]) == [row["genre"]["value"] for row in predicted]
    assert "click probability" in found.columns
    scores = table_model.predict_proba(frame, as_frame=True)
    own = table_model.predict_proba(frame)
    np.testing.assert_array_equal(scores["click"], own["click"])
    np.testing.assert_array_equal(scores["genre: news"].shape, (2,))
    assert "tags: old" in scores.columns
