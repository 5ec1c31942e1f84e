"""Labelling functions: what their file may say, how they vote, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels import labelling_functions as rules
from labelgraph_jax.data.labels.labelling_functions import read_rules

TEXTS = (
    "Wheat and durum prices rose",
    "Buckwheat pancakes with wheat flour",
    "The price of crude oil fell, 12 USD a barrel",
    "Nothing of the kind",
)
DOCUMENTS = [Document(str(i), text, ()) for i, text in enumerate(TEXTS)]


def votes_of(tmp_path: Path, *lines: dict) -> np.ndarray:
    path = tmp_path / "rules.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_rules(path)(DOCUMENTS).votes


def test_words_phrases_and_expressions_vote_as_they_say(tmp_path):
    votes = votes_of(
        tmp_path,
        {"label": "wheat", "any": ["WHEAT", "durum"], "not": ["buckwheat"]},
        {"label": "wheat", "all": ["wheat", "flour"], "vote": "against"},
        {"label": "oil", "any": ["crude oil"], "else": "against"},
        {"label": "oil", "regex": r"\d+ USD a barrel"},
        {"label": "oil", "not": ["oil"], "vote": "against"},
        {"label": "oil", "any": ["oi"]},  # whole words alone
    )
    np.testing.assert_array_equal(
        votes.T,
        [
            [1, 0, 0, 0],
            [0, -1, 0, 0],
            [-1, -1, 1, -1],
            [0, 0, 1, 0],
            [-1, -1, 0, -1],
            [0, 0, 0, 0],
        ],
    )


def test_names_of_labels_alone_vote_for_those_who_say_them_and_against_others(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("crude_oil\tOil as it is\nwheat\n")
    found = read_rules(path)(DOCUMENTS)
    assert found.labels == ("crude_oil", "wheat")
    np.testing.assert_array_equal(found.votes.T, [[-1, -1, 1, -1], [1, 1, -1, -1]])
    described = tmp_path / "names.jsonl"
    described.write_text('{"name": "crude_oil"}\n{"name": "wheat"}\n')
    np.testing.assert_array_equal(read_rules(described)(DOCUMENTS).votes, found.votes)


def test_python_is_executed_where_it_is_allowed_alone(tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(
        "import re\n"
        "def cereals(text):\n"
        "    return {'wheat': 1, 'oil': -1} if 'wheat' in text.lower() else None\n"
        "def _hidden(text):\n"
        "    raise AssertionError\n"
    )
    with pytest.raises(DataError, match="--allow-python allows it"):
        read_rules(path)
    found = read_rules(path, allow_python=True)(DOCUMENTS)
    assert found.names == ("cereals:wheat", "cereals:oil")
    np.testing.assert_array_equal(found.votes.T, [[1, 1, 0, 0], [-1, -1, 0, 0]])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n", "at least one function"),
        ("def f(:\n", "cannot be executed; SyntaxError"),
        ("def f(text):\n    return 1\n", r"f of the document '0' must give"),
        ("def f(text):\n    return {'a': 2}\n", "must give"),
        ("def f(text):\n    return {}[1]\n", r"f of the document '0' failed; KeyError"),
        (
            "import numpy as np\n\n\ndef f(text):\n    return {'a': np.ones(2)}\n",
            "f of the document '0' must give",
        ),
        ("raise SystemExit(3)\n", r"cannot be executed; SystemExit\(3\)"),
        ("def f(text):\n    raise SystemExit\n", "document '0' failed; SystemExit"),
    ],
)
def test_python_that_fails_is_one_line(tmp_path, code, message):
    path = tmp_path / "functions.py"
    path.write_text(code)
    with pytest.raises(DataError, match=message) as refused:
        read_rules(path, allow_python=True)(DOCUMENTS)
    assert "\n" not in str(refused.value)


def test_an_expression_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "SECONDS", 0.1)
    slow = [Document("7", "a" * 40 + "!", ())]
    path = tmp_path / "rules.jsonl"
    path.write_text('{"label": "x", "regex": "(a+)+$"}\n')
    with pytest.raises(DataError, match=r"jsonl:1: .* within 0\.1 s.* document '7'"):
        read_rules(path)(slow)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"any": ["a"], "label": "x", "some": 1}, "a rule has name, label, any"),
        ({"label": "x"}, "any, all, not or regex"),
        ({"label": "x", "any": "a"}, '"any" must be a list of strings'),
        ({"label": "x", "any": ["..."]}, '"any" must hold words'),
        ({"label": "", "any": ["a"]}, "a label must not be empty"),
        ({"label": ["x"], "any": ["a"]}, '"label" must be a string'),
        ({"label": "x", "regex": "("}, '"regex" must be a regular expression'),
        ({"label": "x", "regex": 3}, '"regex" must be a string'),
        ({"label": "x", "regex": "a{99999999999999999999}"}, "must be a regular expr"),
        ({"label": "x", "regex": "(" * 9_000 + ")" * 9_000}, "must be a regular expr"),
        ({"label": "x", "any": ["a"], "vote": "yes"}, '"vote" must be one of for'),
        ({"label": "x", "any": ["a"], "vote": []}, '"vote" must be one of for'),
        ({"label": "x", "any": ["a"], "else": "for"}, '"vote" and "else" must differ'),
    ],
)
def test_a_bad_rule_is_refused_with_its_line(tmp_path, line, message):
    with pytest.raises(DataError, match=rf"rules\.jsonl:2: .*{message}"):
        votes_of(tmp_path, {"label": "x", "any": ["a"], "name": "first"}, line)


def test_two_rules_of_one_name_and_other_files_are_refused(tmp_path):
    rule = {"label": "x", "any": ["a"], "name": "one"}
    with pytest.raises(DataError, match=r"jsonl:2: names of rules must differ"):
        votes_of(tmp_path, rule, rule)
    with pytest.raises(DataError, match=r"must stand in a \.jsonl or \.py"):
        read_rules(tmp_path / "rules.yaml")
    with pytest.raises(DataError, match="no such file"):
        read_rules(tmp_path / "absent.jsonl")
