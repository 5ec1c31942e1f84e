"""The check of a device at toy sizes, on the CPU; what it measures is not looked at."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import device_check
from experiments.benchmarks.device_check import PARTS, Check, Room


def checked(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The report of a quick run, whose exit code is 1 where a part failed."""
    given = ["--quick", "--out", str(folder), "--peer-python", "no-such-python"]
    try:
        device_check.main([*given, *arguments])
        failed = False
    except SystemExit as error:
        failed = error.code == 1
    result = json.loads((folder / "device_check.json").read_text())
    assert failed == any("reason" in part for part in result["parts"])
    return result, (folder / "device_check.md").read_text()


@pytest.mark.slow
@pytest.mark.process
def test_every_part_runs_on_a_cpu_at_toy_sizes(tmp_path: Path) -> None:
    result, text = checked(tmp_path)
    assert [part["name"] for part in result["parts"]] == list(PARTS)
    assert [part.get("reason") for part in result["parts"]] == [None] * len(PARTS)
    for part in result["parts"]:
        assert json.loads((tmp_path / f"{part['name']}.json").read_text()) == part
        assert f"## {part['name']}" in text
        assert {check["met"] for check in part["checks"]} <= {True, None}, part
    by_name = {part["name"]: part["result"] for part in result["parts"]}
    assert by_name["functional"]["ran_on"] == ["cpu"]
    assert by_name["functional"]["counts"]["PASSED"] > 0
    assert set(by_name["train_steps"]) == {"bag", "transformer"}
    assert len(by_name["utilisation"]["encoders"]) == 2
    assert len(by_name["label_attention"]["points"]) == 3
    assert by_name["restoring"]["platforms"] == ["cpu", "cpu"]
    assert by_name["restoring"]["largest_difference"] < 1e-5
    assert "**Quick run: toy sizes.**" in text
    assert str(tmp_path) not in text
    assert sys.executable not in text


@pytest.mark.process
def test_a_part_that_fails_is_written_down_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_check, "QUICK_TESTS", ("no_such_test.py",))

    def breaks(room: Room) -> str:
        """Breaks."""
        room.checks.append(Check("first", "measured", True))
        raise ValueError("in the middle")

    monkeypatch.setitem(device_check.PARTS, "utilisation", (breaks, 5.0))
    chosen = "functional,utilisation,restoring"
    result, text = checked(tmp_path, "--only", chosen)
    functional, broken, restoring = result["parts"]
    assert "no_such_test" in functional["reason"] or "exit code" in functional["reason"]
    assert broken["reason"] == "ValueError: in the middle"
    assert broken["checks"][0]["found"] == "measured"
    assert "there is no run that answered" in restoring["reason"]
    assert "**Failed**: ValueError: in the middle." in text
    verdicts = command.judge_device_check(result)
    assert [verdict.met for verdict in verdicts] == [False, False, True, False, False]


def test_a_part_without_time_is_not_begun(tmp_path: Path) -> None:
    options = argparse.Namespace(quick=True, out=str(tmp_path), peer_python="python")
    room = Room(1.0, tmp_path, options, "cpu", {}, [], [], time.perf_counter())
    record = device_check.run_part("utilisation", 1.0, room)
    assert record["reason"] == "no time was left for it"
    assert record["checks"] == []


def test_the_shares_fill_the_time() -> None:
    assert sum(share for _, share in PARTS.values()) <= device_check.SECONDS <= 480


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "training,dancing"], "must be some of functional, "),
        (["--only", "training,dancing"], "got 'dancing'"),
        (["--seconds", "3"], "--seconds must be at least 5, got 3"),
    ],
)
def test_bad_arguments_are_answered_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        device_check.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
