"""Rows of a table, asked over HTTP."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import labelgraph_jax as lg
from labelgraph_jax.deploy.serve.asking import read_row_question
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.rows import Row, RowScorer
from labelgraph_jax.deploy.serve.scoring import Asked
from labelgraph_jax.predictors.tables.model import TableModel
from tests.deploy.serve.conftest import Served
from tests.tiny_table import made_rows
from tests.zoo import Zoo

LIMITS = Limits(max_batch=4, max_texts=3)


@pytest.fixture(scope="module")
def model(zoo: Zoo) -> TableModel:
    found = lg.load(zoo("table"))
    assert isinstance(found, TableModel)
    return found


def test_rows_are_answered_as_predict_writes_them(model: TableModel) -> None:
    scorer = RowScorer(model, LIMITS)
    assert scorer.compile_all() == 2
    assert set(scorer.cost(scorer.join([]))) == {1, 4}
    rows = made_rows(3, 8)
    read = [row for row in scorer.read(rows) if isinstance(row, Row)]
    found = scorer.answer(read, [Asked(), Asked(scores=True), Asked()])
    plain, whole = model.predict(rows), model.predict(rows, all_scores=True)
    for got, expected in zip(found, (plain[0], whole[1], plain[2]), strict=True):
        assert got["tasks"].keys() == expected.keys()
        for task, values in expected.items():
            assert got["tasks"][task]["value"] == pytest.approx(values["value"])
    assert "probabilities" in found[1]["tasks"]["genre"]
    assert "probabilities" not in found[0]["tasks"]["genre"]


def test_a_row_that_cannot_be_read_is_refused_alone(model: TableModel) -> None:
    good, bad, lacking = RowScorer(model, LIMITS).read(
        [{"job": "clerk", "age": 3}, {"job": "clerk", "age": "old"}, {"job": "clerk"}]
    )
    assert isinstance(good, Row)
    assert isinstance(bad, RefusedError) and bad.status == 422
    assert bad.reason == "column 'age' must hold numbers; got 'old'"
    assert isinstance(lacking, RefusedError)
    assert "no column 'age'" in lacking.reason


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "the body must be a JSON object; got a list"),
        ("{}", "there must be either row or rows; got neither"),
        ('{"row": {}, "rows": []}', "there must be either row or rows; got both"),
        ('{"rows": {}}', "rows must be a list of objects; got an object"),
        ('{"rows": []}', "rows must hold at least one row; got an empty list"),
        ('{"rows": [{"a": 1}, 3]}', "row 1 must be an object of values by column; got"),
        ('{"row": {}}', "row 0 must be an object of values by column; got an empty"),
        ('{"rows": [1, 1, 1, 1]}', "a request may hold at most 3 rows; got 4"),
        ('{"text": "a"}', "the fields must be among row, rows, scores; got 'text'"),
        ('{"row": {"a": 1}, "scores": 1}', "scores must be true or false; got an int"),
        ('{"row": {"a": NaN}}', "NaN is no JSON number"),
    ],
)
def test_what_is_no_question_is_refused_in_one_sentence(
    body: str, message: str
) -> None:
    with pytest.raises(RefusedError) as error:
        read_row_question(body.encode(), LIMITS)
    assert message in error.value.reason


@pytest.fixture(scope="module")
def served_table(zoo: Zoo) -> Iterator[Served]:
    service = Served(zoo("table"), "--max-texts", "9")
    yield service.wait()
    assert service.end() == 0, service.said


def ask(service: Served, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(service.address + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.process
def test_a_service_of_a_table_answers_rows_and_says_what_it_is(
    served_table: Served, model: TableModel
) -> None:
    assert ask(served_table, "/healthz")[0] == 200
    rows = made_rows(5, 2)
    code, found = ask(served_table, "/predict", {"rows": rows, "scores": True})
    assert code == 200
    assert [row["id"] for row in found["rows"]] == ["0", "1", "2", "3", "4"]
    for row, expected in zip(found["rows"], model.predict(rows), strict=True):
        assert row["tasks"]["click"]["value"] == expected["click"]["value"]
        probability = row["tasks"]["click"]["probability"]
        assert probability == pytest.approx(expected["click"]["probability"], abs=1e-6)
    one = ask(served_table, "/predict", {"row": rows[0]})[1]["rows"][0]["tasks"]
    assert one["genre"]["value"] == found["rows"][0]["tasks"]["genre"]["value"]
    about = ask(served_table, "/model")[1]
    assert [task["name"] for task in about["tasks"]][:2] == ["click", "rating"]
    assert about["columns"] == [
        {"name": "job", "kind": "categorical"},
        {"name": "age", "kind": "numeric"},
    ]
    assert about["tasks"][0]["decision"]["asked"] == "auto"
    code, page = ask(served_table, "/openapi.json")
    assert code == 200 and "RowAnswers" in json.dumps(page)


@pytest.mark.process
def test_a_bad_row_is_named_by_its_number(served_table: Served) -> None:
    rows = [{"job": "clerk", "age": 3}, {"job": "clerk", "age": "old"}]
    code, found = ask(served_table, "/predict", {"rows": rows})
    assert code == 422
    assert found == {"error": "row 1: column 'age' must hold numbers; got 'old'"}
    code, found = ask(served_table, "/predict", {"row": rows[1]})
    assert found["error"].startswith("row 0: column 'age'")
    code, found = ask(served_table, "/predict", {"row": {"job": {"a": 1}, "age": 3}})
    assert code == 422 and found["error"].startswith("row 0: ")
    code, found = ask(served_table, "/labels")
    assert code == 404 and "/labels," not in found["error"]
    assert (
        ask(served_table, "/predict", {"rows": [{"job": "clerk", "age": 3}]})[0] == 200
    )
