"""Text that reaches a terminal, or is read line by line."""

import ast
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax
from labelgraph_jax.data.terminal import json_line, last_words, visible

NASTY = "\x1b\x07\r\x9b\x85\u2028\u2029\u202e\u2066\x7f\x00"
PACKAGE = Path(labelgraph_jax.__file__).parent
MAY_PRINT = {"cli/output.py", "training/progress.py", "training/hosts.py"}
"""Files that print: each through `visible`, or what is no one's name."""
ELSEWHERE = {"data/corpora/docstrings.py"}
"""Programs of their own."""


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    shown = visible(text)
    assert all(c.isprintable() or c in "\n\t" or ord(c) > 159 for c in shown)
    assert not set(shown) & set(NASTY)
    assert visible(shown) == shown


def test_what_is_no_control_character_stays() -> None:
    text = "naïve 分類 👍\n\t[x] [/i] :fire:"
    assert visible(text) == text
    assert visible("a\tb\n", keep="") == "a\\tb\\n"
    assert visible("\ud800") == "\\ud800"


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_json_without_control_characters_is_the_same_value(value: object) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert len(line.splitlines()) <= 1
    assert not set(line) & set(NASTY)
    assert json.loads(json_line(value, indent=2)) == value
    assert json_line(value, ascii=True).isascii()


def test_every_control_character_is_an_escape_in_json() -> None:
    line = json_line({"id": NASTY + "\ud800"})
    assert line.isascii()
    assert json.loads(line)["id"] == NASTY + "\ud800"


def test_last_words_are_not_waited_for_by_anyone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    last_words("ends\n")
    assert capfd.readouterr().err == "ends\n"
    kept = os.dup(2)
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        os.dup2(writing, 2)
        last_words("nobody reads this\n")  # full
        os.close(reading)
        last_words("nobody reads this\n")  # gone
        os.close(writing)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_nothing_prints_but_through_one_door() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                printed = node.func.id == "print"
                assert not printed or name in MAY_PRINT | ELSEWHERE, name
            if isinstance(node, ast.Attribute) and node.attr in ("print_exc",):
                raise AssertionError(f"{name} prints a traceback")
