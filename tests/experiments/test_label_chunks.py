"""The benchmark of label chunks runs at toy sizes and says why a point failed."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import label_chunks
from experiments.benchmarks.__main__ import judge_label_chunks

TOY = ["--batch=2", "--features=4", "--positives=2", "--chunk=4", "--repeats=1"]


def test_both_forms_are_measured_and_give_one_loss() -> None:
    losses = []
    for form in label_chunks.FORMS:
        point = label_chunks.measure_point(form, 40, label_chunks.parse(TOY))
        assert min(point["seconds"]) > 0
        assert point["vectors"] == 4 * (2 * 4 + 40 * 4 + 40)
        losses.append(point["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_form_that_fails_is_not_tried_with_more_labels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def point(form: str, labels: int, options: Any) -> dict[str, Any]:
        record = {"form": form, "labels": labels}
        if form == "whole" and labels > 40:
            return record | {"reason": "out of memory"}
        numbers = {"seconds": [labels / 10], "processor_seconds": [labels / 10]}
        sizes = {"working": 8, "peak": 9, "temporaries": 7, "vectors": 6, "loss": 1.0}
        return record | numbers | sizes

    monkeypatch.setattr(label_chunks, "run_point", point)
    label_chunks.main([*TOY, "--labels=40,400,4000", f"--out={tmp_path}"])
    text = (tmp_path / "label_chunks.md").read_text()
    assert "| 400 | whole | failed: out of memory |" in text
    assert "| 4,000 | whole" not in text
    assert "chunks: processor time grows as N^1.00, temporaries as N^" in text
    result = json.loads((tmp_path / "label_chunks.json").read_text())
    assert [verdict.met for verdict in judge_label_chunks(result)] == [True, True]


def test_a_point_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    options = label_chunks.parse([*TOY, "--labels=40", "--seconds=0.01"])
    found = label_chunks.run_point("chunks", 40, options)
    assert found["reason"] == "took longer than 0.01 s"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels=many"], "--labels must be numbers with commas, got 'many'"),
        (["--labels=0,5"], "--labels must be at least 1 each, got 0,5"),
        (["--chunk=0"], "--chunk must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_answered_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        label_chunks.main(arguments)
    assert message in capsys.readouterr().err
