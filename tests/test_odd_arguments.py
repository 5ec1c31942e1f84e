"""What the entries of the package say of arguments that they cannot take."""

import pickle
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import labelgraph_jax as lg
from labelgraph_jax.data.documents import Document
from labelgraph_jax.runs.ensemble import make_ensemble
from tests.tiny_table import made_rows
from tests.zoo import Zoo

ROWS = made_rows(3, 5)
BROKEN = "maize \ud800"


@pytest.fixture(scope="module")
def texts(zoo: Zoo) -> Any:
    return lg.load(zoo("bag"))


@pytest.fixture(scope="module")
def table(zoo: Zoo) -> Any:
    return lg.load(zoo("table"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[0], "column '.*' holds '?.*: of one row give a list of one mapping"),
        ({"job": 1}, "column 'job' holds 1: of one row give a list of one mapping"),
        ({"job": "pilot"}, "column 'job' holds 'pilot': of one row give a list of one"),
        ({"job": None}, "column 'job' holds None: of one row give a list of one"),
        ({"age": np.float64(2.0)}, "column 'age' holds 2.0: of one row"),
        ({1: [2]}, "no column 'job'; the columns are: 1"),
        (None, "or a list of one mapping per row; got None"),
        (5, "or a list of one mapping per row; got 5"),
        (np.float64(2.0), "per row; got 2.0"),
        (b"rows", "per row; got b'rows'"),
        (np.zeros((2, 2)), "per row; got array"),
        (sparse.csr_array([[1]]), "per row; got <"),
        ([["pilot", 3]], "row 0 must be a mapping, .*; got list"),
        ([ROWS[0], None], "row 1 must be a mapping, .*; got NoneType"),
        (["rows.csv"], "row 0 must be a mapping, .*; got str"),
        (pd.DataFrame(ROWS).iloc[0], "row 0 must be a mapping"),
        ("x" * 5000, "xxx: File name too long"),
    ],
)
def test_rows_that_are_none_are_refused(table: Any, rows: Any, message: str) -> None:
    for call in (table.predict, table.predict_proba, table.evaluate):
        with pytest.raises(ValueError, match=message) as raised:
            call(rows)
        assert "\n" not in str(raised.value)


def test_rows_in_every_form_are_one_table(table: Any) -> None:
    expected = table.predict(ROWS)
    columns = {name: [row.get(name) for row in ROWS] for name in ROWS[0]}
    for rows in (tuple(ROWS), iter(ROWS), np.array(ROWS, object), columns):
        assert table.predict(rows) == expected
    assert table.predict([ROWS[0]])[0]["click"] == expected[0]["click"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (BROKEN, "text 0 must be valid Unicode; character 7 is half of a surrogate"),
        (["a", BROKEN], "text 1 must be valid Unicode; character 7"),
        (np.float64(2.0), "in a list, array or Series, got 2.0"),
        (b"maize", "text 0 must be a string, got int"),
        ({"text": "a"}, "got a dict; of a frame or mapping give one column"),
    ],
)
def test_texts_that_are_none_are_refused(texts: Any, given: Any, message: str) -> None:
    for call in (texts.predict, texts.predict_proba, texts.predict_top, texts.explain):
        with pytest.raises(ValueError, match=message):
            call(given)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, np.float64(2.0), "2", True])
def test_numbers_that_are_none_are_refused(texts: Any, table: Any, wrong: Any) -> None:
    shown = f"got {wrong.item() if isinstance(wrong, np.generic) else wrong!r}"
    for call in (texts.predict, texts.predict_proba, texts.predict_top):
        with pytest.raises(ValueError, match=f"batch_size must be .*{shown}"):
            call(["maize"], batch_size=wrong)
    with pytest.raises(ValueError, match=f"batch_size must be .*{shown}"):
        table.predict(ROWS, batch_size=wrong)
    with pytest.raises(ValueError, match=rf"k must .*{shown}"):
        texts.predict_top("maize", wrong)
    assert len(texts.predict_top("maize", np.int64(2), batch_size=np.int32(3))[0]) == 2


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (5, "documents must be `Document`s in a list, got 5"),
        (["maize"], "document 0 must be a `Document`, got str; texts alone are of"),
        ("maize", "document 0 must be a `Document`, got str"),
        ([Document("a", "maize", ("corn",)), None], "document 1 must be .* NoneType"),
    ],
)
def test_documents_that_are_none_are_refused(
    texts: Any, documents: Any, message: str
) -> None:
    for call in (texts.evaluate, texts.score_documents, texts.predict_documents):
        with pytest.raises(ValueError, match=message):
            call(documents)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, r: t.explain("maize", 5), "labels must be names in a list, got 5"),
        (lambda t, r: t.explain("maize", [1]), "a label must be a name, got 1"),
        (lambda t, r: t.explain("maize", steps=1.5), "steps must be a whole number"),
        (lambda t, r: t.explain("maize", top_k="a"), "top_k must be a whole number"),
        (lambda t, r: t.explain("maize", method=[1]), "method must be one of"),
        (lambda t, r: lg.explain(r, ROWS), "got a TableModel, which reads rows"),
        (lambda t, r: lg.explain(None, "a"), "as lg.load.workdir. gives it; got None"),
        (lambda t, r: lg.score_test(r), "score_test reads a model of texts"),
        (lambda t, r: lg.score_test("runs/mine"), "gives it; got str"),
        (lambda t, r: t.with_decision(None), "must be a `Decision`, got NoneType"),
        (lambda t, r: t.decide(np.zeros(3)), r"of shape \[5\], got \[3\]"),
        (lambda t, r: t.decide("x"), r"of shape \[5\], got \[\]"),
        (lambda t, r: lg.load(None), "a work directory must be a path, got None"),
        (lambda t, r: lg.load(["a"]), "a work directory must be a path, got "),
        (lambda t, r: lg.load(b"a"), "a work directory must be a path, got b'a'"),
        (lambda t, r: lg.load("x" * 5000), "xxx: no such work directory"),
    ],
)
def test_other_arguments_that_are_none_are_refused(
    texts: Any, table: Any, call: Callable[[Any, Any], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        call(texts, table)
    assert "\n" not in str(raised.value)


def test_one_label_may_be_named_alone(texts: Any) -> None:
    (label,) = texts.explain("maize flour", "corn", documents=0).labels
    assert label.name == "corn"


def test_runs_over_tables_are_joined_by_none(zoo: Zoo, tmp_path: Path) -> None:
    table, bag = zoo("table"), zoo("bag")
    for runs in ([table, table], [table, bag], [bag, table]):
        with pytest.raises(ValueError, match="tasks of a table; an ensemble joins"):
            make_ensemble(runs, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


ONE: Any = (["maize"], [["corn"]])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["\udfff"]], "a label of text 0 must be valid Unicode; character 1"),
        ([{"a\ud800": 1}], "a label of text 0 must be valid Unicode; character 2"),
        (np.array("a"), "or an indicator matrix, got a ndarray"),
    ],
)
def test_labels_that_are_none_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lg.fit(["maize"], y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": np.float64(2.5)}, "training.epochs must be of kind int, got 2.5"),
        ({"epochs": np.array([1, 2])}, "training.epochs must be of kind int"),
        ({"epochs": pd.NA}, "training.epochs must be of kind int, got <NA>"),
        ({"encoder": pd.NA}, "text.encoder must be one of .* got <NA>"),
        ({"encoder": np.array([1, 2])}, "text.encoder must be one of .* got array"),
        ({"loss": 3}, "loss.kind must be one of .* got 3"),
        ({"learning_rate": np.float32("nan")}, "learning_rate must be a finite number"),
        ({"random_state": 1.5}, "random_state must be a whole number .* got 1.5"),
        ({"random_state": np.float64(2.0)}, "random_state must be .* got 2.0"),
        ({"random_state": "x"}, "random_state must be a whole number .* got 'x'"),
        ({"random_state": -1}, "random_state must not be negative, got -1"),
        ({"config": 5}, "config must be a `Config`, a mapping or the path .* got 5"),
        ({"config": [1]}, "config must be a `Config`, a mapping or the path"),
        ({"workdir": 5}, "workdir must be a path, got 5"),
        ({"workdir": ""}, "workdir must be a path, got ''"),
        ({"workdir": ["a"]}, "workdir must be a path"),
    ],
)
def test_parameters_that_are_none_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lg.fit(*ONE, **parameters)


def test_label_names_are_a_list_of_names() -> None:
    for names in ("corn", 5):
        with pytest.raises(ValueError, match="label_names must be a list of names"):
            lg.fit(["maize"], np.array([[1]]), label_names=names)
    with pytest.raises(ValueError, match="column of y must be valid Unicode; char"):
        lg.fit(["maize"], np.array([[1]]), label_names=["\ud800"])


@pytest.mark.parametrize("name", ["bag", "table", "ensemble", "memory", "sets"])
def test_a_model_that_has_predicted_is_pickled_and_copied(zoo: Zoo, name: str) -> None:
    model: Any = lg.load(zoo(name))
    given: Any = ROWS if name == "table" else ["maize and flour", "crude oil"]
    before = model.predict(given)
    for again in (pickle.loads(pickle.dumps(model)), deepcopy(model), copy(model)):
        assert again.predict(given) == before
        assert repr(again) == repr(model)


def test_a_relative_work_directory_goes_on_working_elsewhere(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = zoo.copy("memory", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    model = lg.load("run")
    monkeypatch.chdir(tmp_path.parent)
    assert model.workdir.results() == lg.load(run).workdir.results()
    assert model.predict("maize") == lg.load(run).predict("maize")
    assert len(lg.score_test(model).documents) == 24
    assert model.explain("maize flour").labels
