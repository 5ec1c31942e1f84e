"""The study of label sets that share an encoder: from a file to its page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.mmoe_text import main
from experiments.text.runs import SETS, WAYS, TextRun, configuration
from experiments.text.statistics import differences, f1_rows, verdict
from tests.tiny import write_jsonl
from tests.tiny_sets import documents_of_sets


def run_of(decisions: np.ndarray, seed: int = 0) -> TextRun:
    targets = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 1]], bool)
    mask = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1], [0, 0, 1]], bool)
    return TextRun(seed, decisions, targets, mask, {}, {})


def test_a_set_is_measured_over_the_documents_annotated_for_it() -> None:
    decisions = np.array([[1, 0, 1], [1, 1, 1], [1, 0, 0], [1, 1, 1]], bool)
    columns = {"first": np.array([0, 1]), "second": np.array([2])}
    rows = {(r["task"], r["metric"]): r for r in f1_rows([run_of(decisions)], columns)}
    # first, three documents: 3 hits, 1 wrong; second, two documents: 1 hit, 1 missed.
    assert rows["first", "micro_f1"]["mean"] == pytest.approx(6 / 7)
    assert rows["first", "macro_f1"]["mean"] == pytest.approx((4 / 5 + 1) / 2)
    assert rows["second", "micro_f1"]["mean"] == pytest.approx(2 / 3)
    assert rows["second", "micro_f1"]["sd"] is None


def test_a_way_that_is_always_right_is_above_one_that_is_always_wrong() -> None:
    columns = {"first": np.array([0, 1])}
    truth = run_of(np.zeros((4, 3), bool)).targets
    cells = {
        "mmoe": [run_of(truth, seed) for seed in range(3)],
        "shared_bottom": [run_of(~truth, seed) for seed in range(3)],
    }
    found = differences(cells, "shared_bottom", columns, resamples=50)
    assert {row["difference"] for row in found} == {1.0}
    sentences = " ".join(verdict({"differences": found, "gates": None}))
    assert "above it in 2 and below it in 0" in sentences
    assert "It wins on first micro-F1 (+100.00)" in sentences


def test_experts_and_shared_bottom_are_of_one_size() -> None:
    shared, mmoe = WAYS["shared_bottom"], WAYS["mmoe"]
    width, (wide, out), features = mmoe.hidden[0], shared.hidden, 384
    experts = mmoe.experts * (features * width + width + 5 * features)
    bottom = features * wide + wide + wide * out + out
    assert abs(bottom - experts) < 0.03 * experts


def test_what_came_after_mmoe_is_of_its_size_and_has_an_expert_for_each_set() -> None:
    shared, own = {}, {}
    for study, sets in SETS.items():
        for way in ("cgc", "ple"):
            mixture = configuration(study, way, learning_rate=0.1).mixture
            shared[study, way], own[study, way] = mixture.experts, mixture.own_experts
            units = mixture.hidden[0]
            weights = 8 * 384 * units + 8 * units**2 * (way == "ple")
            assert mixture.experts + sets == 8
            assert abs(weights - 8 * 384 * 256) < 0.01 * weights
    assert set(own.values()) == {1} and set(shared.values()) == {3, 6}


def test_a_study_is_written_down_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_jsonl(tmp_path / "sets.jsonl", documents_of_sets(96, 1))
    options = [
        *("--data", str(data), "--out", str(tmp_path), "--work", str(tmp_path / "w")),
        *(
            "--encoder",
            "bag",
            "--ways",
            "mmoe",
            "cgc",
            "project",
            "--seeds",
            "1",
            "--resamples",
            "20",
            "--quick",
        ),
    ]
    assert main(options) == 0
    said = capsys.readouterr().err
    assert "mmoe, rate 0.003" in said
    assert "shared_bottom, rate 0.003" in said
    record = json.loads((tmp_path / "mmoe-text-sets-bag-quick.json").read_text())
    assert {way["way"] for way in record["ways"]} == {
        *("shared_bottom", "mmoe", "cgc", "project")
    }
    np.testing.assert_allclose(np.sum(record["gates"]["mean_weights"], axis=1), 1, 1e-3)
    page = (tmp_path / "mmoe-text-sets-bag-quick.md").read_text()
    assert "MMoE, 8 experts" in page
    assert "crops micro-F1" in page
    assert (tmp_path / "mmoe-text-sets-bag-quick.png").stat().st_size > 1000
    assert main(options) == 0
    assert "mmoe" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "0"), "--seeds must be at least 1, got 0"),
        (("--ways", "moe"), "--ways must be of joint, .*; got 'moe'"),
        (("--data", "none.jsonl"), "none.jsonl"),
    ],
)
def test_an_argument_that_is_wrong_is_one_line(
    options: tuple[str, ...], message: str, capsys, tmp_path: Path
) -> None:
    assert main([*options, "--work", str(tmp_path)]) == 2
    assert re.search(message, capsys.readouterr().err)
