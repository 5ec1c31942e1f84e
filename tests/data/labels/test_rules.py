"""Labelling functions: what their file may say, how they vote, what is refused."""

import json

"""Rules over label names: how lines are read, refused and mined."""

from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels import rules
from labelgraph_jax.data.labels.rules import read_rules

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
        ({"label": "x", "regex": "("}, '"regex" must be a regular expression'),
        ({"label": "x", "regex": 3}, '"regex" must be a string'),
        ({"label": "x", "any": ["a"], "vote": "yes"}, '"vote" must be one of for'),
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


from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelgraph_jax.data.labels.rules import (
    LabelRules,
    Rule,
    mine_rules,
    parse_rule,
    rule_lines,
)

LABELS = ("acq", "crude oil", "grain", "trade, other", "wheat")


def read(tmp_path: Path, text: str, labels=LABELS) -> tuple[Rule, ...]:
    path = tmp_path / "rules.txt"
    path.write_text(text, encoding="utf-8")
    return read_rules(path, labels)


@pytest.mark.parametrize(
    ("line", "kind", "labels", "weight"),
    [
        ("wheat -> grain", "implies", ("wheat", "grain"), None),
        ("a&b->c", "implies", ("a", "b", "c"), None),
        ("!(acq & crude oil)", "never", ("acq", "crude oil"), None),
        ("one-of(a, b, c)", "one-of", ("a", "b", "c"), None),
        ("0.94: wheat -> grain", "implies", ("wheat", "grain"), 0.94),
        ('"trade, other" -> acq', "implies", ("trade, other", "acq"), None),
        ("use::a -> chapter: b c", "implies", ("use::a", "chapter: b c"), None),
        ('"0.5: x" -> "->"', "implies", ("0.5: x", "->"), None),
    ],
)
def test_a_line_is_read(line, kind, labels, weight):
    rule = parse_rule(line, "rules.txt:1")
    assert (rule.kind, rule.labels, rule.weight) == (kind, labels, weight)
    assert parse_rule(rule.line, "rules.txt:1").line == rule.line


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, unique=True))
def test_any_names_are_read_as_they_were_written(names):
    for kind, head in (("implies", names[-1]), ("never", ""), ("one-of", "")):
        body = tuple(names[:-1] if head else names)
        rule = Rule(kind, body, head)
        again = parse_rule(rule.text, "rules.txt:1")
        assert (again.kind, again.labels) == (kind, rule.labels)


@pytest.mark.parametrize(
    "line",
    [
        "wheat",
        "a -> b -> c",
        "!(a)",
        "one-of(a)",
        "a & -> b",
        "a | b -> c &",
        "!(a, b)",
    ],
)
def test_another_form_is_refused_with_file_and_line(tmp_path, line):
    with pytest.raises(DataError, match=r"rules\.txt:2: must be label -> label, .*got"):
        read(tmp_path, f"# a comment\n{line}\n", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "wheat -> grian",
            r"rules\.txt:1: 'grian' is none of the 5 labels; did you me",
        ),
        ("0: wheat -> grain", r"rules\.txt:1: a weight must be above 0, got 0"),
        ("wheat -> wheat", r"rules\.txt:1: a rule must name each of its labels once"),
        ("# nothing\n\n", r"rules\.txt: must hold at least one rule"),
        (
            "acq -> grain\none-of(wheat, grain)\none-of(wheat, acq)\nwheat -> acq\n"
            "!(grain & acq)\n",
            r"no set of labels obeys these rules together: one-of\(wheat, grain\) "
            r"\(line 2\), one-of\(wheat, acq\) \(line 3\), wheat -> acq \(line 4\), "
            r"!\(grain & acq\) \(line 5\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_soft_rules_contradict_nothing(tmp_path):
    rules = read(tmp_path, "one-of(wheat, grain)\n0.9: !(wheat & acq)  # mined\n")
    assert [rule.weight for rule in rules] == [None, 0.9]


def test_one_of_is_every_pair_and_one_at_least():
    rules = LabelRules((parse_rule("one-of(a, b, c)", ""),), ("a", "b", "c"))
    assert len(rules.clauses.body) == 4 and set(rules.owners) == {0}
    assert len(rules.chosen(hard=False).rules) == 0


def sets(rng, count=600):
    """Label 1 wherever 0 is, 2 never with 3."""
    found = rng.random((count, 5)) < np.array([0.2, 0.3, 0.4, 0.3, 0.2])
    found[:, 1] |= found[:, 0]
    found[:, 3] &= ~found[:, 2]
    return csr_array(found.astype(np.float32))


def test_what_was_planted_is_mined_and_nothing_is_hard():
    rng = np.random.default_rng(0)
    mined = mine_rules(sets(rng), sets(rng, 200), ("a", "b", "c", "d", "e"))
    assert {m.rule.text for m in mined} == {"a -> b", "!(c & d)"}
    for found in mined:
        assert 0.9 < found.rule.weight < 1
        assert found.held == found.tried > 0
    assert "held out" in rule_lines(mined)[0]


def test_a_rule_that_other_documents_break_is_not_mined():
    rng = np.random.default_rng(1)
    other = np.ones((200, 5), np.float32)
    other[:, 1] = 0
    mined = mine_rules(sets(rng), csr_array(other), ("a", "b", "c", "d", "e"))
    assert not mined


def test_nothing_is_mined_of_labels_that_are_independent():
    rng = np.random.default_rng(2)
    plain = csr_array((rng.random((500, 6)) < 0.2).astype(np.float32))
    assert not mine_rules(plain, plain, tuple("abcdef"))
