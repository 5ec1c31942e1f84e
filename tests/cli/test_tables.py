"""What a terminal of 80 columns shows."""

from typing import Any

import pytest

from labelgraph_jax.cli.results import RULES, print_results
from labelgraph_jax.runs.result_rows import (
    COLUMNS,
    MODEL_AT_HALF,
    result_rows,
    verdict,
)


def results(baseline: float) -> dict[str, Any]:
    ours = dict.fromkeys((*COLUMNS, "macro_f1_present"), 0.1234)
    rows = {name: dict.fromkeys(COLUMNS, baseline) for name in ("SVM, tuned", "at 0")}
    return {
        "corpus": "made",
        "labels": 5,
        "split": "test",
        "test": {
            "documents": 1234,
            "threshold": "auto",
            "decision": {"kind": "global", "at_least_one": True},
            "absent_labels": 2,
            "metrics": ours,
            "metrics_at_half": dict.fromkeys(COLUMNS, 0.0567),
            "unseen_labels": {},
            "truncated_documents": 0,
        },
        "baseline": {"metrics": rows},
    }


def test_every_number_of_the_table_fits_into_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_results(results(0.9876), workdir="w")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (ours,) = (line for line in lines if "graph, auto (global)" in line)
    assert ours.count("0.1234") == len(COLUMNS)
    assert not any("…" in line for line in lines)
    header = " ".join(lines[1:5])
    for title in ("micro", "macro", "sample", "Hamming", "exact", "P@1", "nDCG@5"):
        assert title in header


def test_results_of_a_file_do_not_point_at_those_of_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results(results(0.5), workdir="w")
    assert "w/results.json" in capsys.readouterr().out
    print_results(results(0.5) | {"split": "file"}, workdir="w")
    assert "results.json" not in capsys.readouterr().out


def test_a_model_that_loses_is_said_to_lose() -> None:
    assert "micro-F1 the label graph loses by 0.8642" in verdict(results(0.9876))
    assert "macro-F1 the label graph wins by 0.1134" in verdict(results(0.01))
    assert "ties" in verdict(results(0.1234))


@pytest.mark.parametrize(
    ("asked", "decision", "rows"),
    [
        ("half", {"kind": "half"}, [MODEL_AT_HALF]),
        ("half", {"at_least_one": True}, ["label graph, half", MODEL_AT_HALF]),
        ("auto", {"kind": "half"}, ["label graph, auto", MODEL_AT_HALF]),
        ("auto", {"kind": "label"}, ["label graph, auto", MODEL_AT_HALF]),
        ("top_k", {"kind": "top_k"}, ["label graph, top_k", MODEL_AT_HALF]),
    ],
)
def test_a_row_has_the_name_of_what_was_asked_for(
    asked: str, decision: dict[str, Any], rows: list[str]
) -> None:
    found = results(0.5)
    found["test"] |= {"threshold": asked, "decision": decision}
    assert [name for name, _ in result_rows(found)][:-2] == rows


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("half", "0.5"), ("global", "global"), ("sloped", "sloped"), (None, "label")],
)
def test_the_table_says_which_rule_was_chosen(
    kind: str | None, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = results(0.5)
    found["test"]["decision"]["kind"] = kind
    if kind is None:  # as version 0.1 left it
        del found["test"]["decision"]
    print_results(found, workdir="w")
    told = " ".join(capsys.readouterr().out.split())
    assert f"graph, auto ({shown})" in told
    assert (RULES[shown] in told) == (kind is not None)
    assert ("at least one label per document" in told) == (kind is not None)


def test_labels_that_occur_nowhere_are_said_to_lower_the_macro_f1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results(results(0.5), workdir="w")
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 5 labels occur in none of these documents" in said
    assert "without them it is 0.1234" in said
