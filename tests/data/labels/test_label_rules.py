"""Rules over label names: how lines are read, refused and mined."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.labels.label_rules import (
    LabelRules,
    Rule,
    mine_rules,
    parse_rule,
    read_rules,
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
