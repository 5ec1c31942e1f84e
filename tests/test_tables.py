"""What a terminal of 80 columns shows."""

from typing import Any

import pytest

from labelgraph_jax.tables import COLUMNS, print_results, verdict


def results(baseline: float) -> dict[str, Any]:
    ours = dict.fromkeys(COLUMNS, 0.1234)
    rows = {name: dict.fromkeys(COLUMNS, baseline) for name in ("SVM, tuned", "at 0")}
    return {
        "corpus": "made",
        "labels": 5,
        "split": "test",
        "test": {
            "documents": 1234,
            "threshold": "label",
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
    (ours,) = (line for line in lines if "label graph, tuned" in line)
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
