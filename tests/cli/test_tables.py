"""What a terminal of 80 columns shows."""

from typing import Any

import pytest

from labelgraph_jax.cli.results import RULES, print_results
from labelgraph_jax.runs.result_rows import (
    COLUMNS,
    result_rows,
    verdicts,
)


def results(baseline: float) -> dict[str, Any]:
    ours = dict.fromkeys((*COLUMNS, "macro_f1_present"), 0.1234)
    rows = {name: dict.fromkeys(COLUMNS, baseline) for name in ("SVM, tuned", "at 0")}
    return {
        "corpus": "made",
        "model": "bag + label graph",
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
    (ours,) = (line for line in lines if line.startswith(" bag + label graph"))
    assert ours.count("0.1234") == len(COLUMNS)
    assert not any("…" in line for line in lines)
    header = " ".join(lines[1:5])
    for title in ("micro", "macro", "sample", "Hamming", "exact", "P@1", "nDCG@5"):
        assert title in header


def test_what_unlabelled_documents_did_fits_into_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "prior": 0.3412,
        "pseudo_positives": 12_345,
        "expected_precision": 0.8765,
        "predicted": 0.3321,
        "drift": -0.0091,
    }
    level = {"difference": 0.0234, "low": -0.002, "high": 0.05}
    bands = {"5 to 19": {"labels": 7, "micro_f1": level, "macro_f1": level}}
    semi = {
        "kind": "cap",
        "documents": 1000,
        "said": "",
        "labels": {"label-of-two-dozen-signs": row},
        "supervised": {"bands": bands},
    }
    print_results(results(0.5) | {"semi": semi}, workdir="w")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and "…" not in out
    words = out.split()
    for title in ("labelled", "pseudo-", "positives", "expected", "precision", "drift"):
        assert title in words
    (line,) = (line for line in out.splitlines() if "label-of-two-dozen" in line)
    assert line.split() == [
        "label-of-two-dozen-signs",
        "0.3412",
        "12,345",
        "0.8765",
        "0.3321",
        "-0.0091",
    ]
    said = " ".join(words)
    assert (
        "With them against without, 7 labels of 5 to 19 labelled documents: "
        "micro-F1 +0.0234 [-0.0020, +0.0500] (level)"
    ) in said


def test_results_of_a_file_do_not_point_at_those_of_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results(results(0.5), workdir="w")
    assert "w/results.json" in capsys.readouterr().out
    print_results(results(0.5) | {"split": "file"}, workdir="w")
    assert "results.json" not in capsys.readouterr().out


def test_a_difference_to_each_rival_is_told_by_the_models_name() -> None:
    assert verdicts(results(0.9876)) == [
        f"bag + label graph against {name}: micro-F1 -0.8642, macro-F1 -0.8642"
        for name in ("SVM, tuned", "at 0")
    ]
    assert "micro-F1 +0.1134" in verdicts(results(0.01))[0]
    old = results(0.5)
    del old["model"]
    assert verdicts(old)[0].startswith("label graph against SVM, tuned: ")
    assert verdicts(old | {"baseline": None}) == []
    assert verdicts(old | {"test": None}) == []


def test_an_interval_that_holds_zero_is_level() -> None:
    found = results(0.1)
    found["baseline"]["differences"] = {
        "SVM, tuned": {
            "micro_f1": {"difference": 0.0234, "low": 0.01, "high": 0.0368},
            "macro_f1": {"difference": 0.0234, "low": -0.002, "high": 0.05},
        }
    }
    assert verdicts(found) == [
        "bag + label graph against SVM, tuned: micro-F1 +0.0234 [+0.0100, +0.0368], "
        "macro-F1 +0.0234 [-0.0020, +0.0500] (level)",
        "bag + label graph against at 0: micro-F1 +0.0234, macro-F1 +0.0234",
    ]


@pytest.mark.parametrize(
    ("asked", "decision", "half"),
    [
        ("half", {"kind": "half"}, False),
        ("half", {"at_least_one": True}, True),
        ("auto", {"kind": "half"}, True),
        ("auto", {"kind": "label"}, True),
        ("top_k", {"kind": "top_k"}, True),
    ],
)
def test_a_row_at_half_stands_below_a_model_that_decides_otherwise(
    asked: str, decision: dict[str, Any], half: bool
) -> None:
    found = results(0.5)
    found["test"] |= {"threshold": asked, "decision": decision}
    rows = ["bag + label graph", *(["  at 0.5"] if half else [])]
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
    assert (RULES[shown] in told) == (kind is not None)
    assert ("at least one label per document" in told) == (kind is not None)


def test_labels_that_occur_nowhere_are_said_to_lower_the_macro_f1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_results(results(0.5), workdir="w")
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of 5 labels occur in none of these documents" in said
    assert "without it that is 0.1234" in said
