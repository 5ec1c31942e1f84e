"""The one command that runs every benchmark: its report, its failures, its messages."""

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import measure
from experiments.benchmarks.__main__ import BENCHMARKS, Benchmark, Verdict


def judge(result: Any) -> list[Verdict]:
    return [Verdict("a target", "a number", True)]


def options(**changed: Any) -> argparse.Namespace:
    given = {"quick": True, "peer_python": sys.executable, "limit": 0.0}
    return argparse.Namespace(**(given | changed))


def test_a_quick_run_measures_and_writes_one_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["--quick", "--only", "imports", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "benchmarks.json").read_text())
    text = (tmp_path / "benchmarks.md").read_text()
    (record,) = result["benchmarks"]
    assert record["command"] == ("python -m experiments.benchmarks.imports --repeats 1")
    assert record["result"]["rows"]["python alone"]["median"] > 0
    assert {verdict["met"] for verdict in record["verdicts"]} <= {True, False}
    assert result["device"]["platform"] == "cpu"
    assert result["versions"]["jax"] in text
    assert "**Quick run: toy sizes.**" in text
    assert "not judged" in text
    assert "load average" in text
    assert "## imports: the import and the command's help" in text
    assert "1 benchmark" in capsys.readouterr().out


def test_a_failing_benchmark_is_written_down_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Benchmark("imports", "fails", judge, "--repeats nonsense")
    missing = Benchmark("no_such_module", "is not there", judge, "")
    good = Benchmark("lstm", "works", judge, "--help")
    monkeypatch.setattr(command, "BENCHMARKS", (bad, missing, good))
    with pytest.raises(SystemExit) as caught:
        command.main(["--quick", "--out", str(tmp_path)])
    assert caught.value.code == 1
    text = (tmp_path / "benchmarks.md").read_text()
    assert "invalid int value: 'nonsense'" in text
    assert "No module named experiments.benchmarks.no_such_module" in text
    # It ends well, but leaves nothing behind.
    assert "wrote no lstm.json" in text
    assert "failed: imports, no_such_module, lstm" in capsys.readouterr().out
    assert str(Path(sys.executable).parent) not in text


@pytest.mark.process
def test_a_benchmark_that_takes_too_long_is_ended_with_what_it_started() -> None:
    code = (
        "import subprocess, sys, time; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "time.sleep(60)"
    )
    reason = command.run_limited([sys.executable, "-c", code], 1.0)
    assert reason == "did not end within 1 s"
    assert command.run_limited([sys.executable, "-c", "exit(3)"], 30) == (
        "ended with exit code 3 and said nothing"
    )


def test_the_report_sets_targets_against_what_was_found() -> None:
    record = {
        "name": "one",
        "what": "something",
        "command": "python -m one",
        "seconds": 3.0,
        "load_before": 0.1,
        "load_after": 1.2,
    }
    verdict = Verdict("3x torch", "1.42x", False)._asdict()
    good = record | {"verdicts": [verdict], "markdown": "a table\n"}
    failed = record | {"name": "two", "reason": "no such encoder"}
    result = {
        "date": "2025-01-01",
        "machine": measure.machine_facts(),
        "device": {"platform": "gpu", "count": 2, "kind": "one of them"},
        "versions": {"jax": "1.2.3"},
        "quick": False,
        "benchmarks": [good, failed],
    }
    text = command.report(result)
    assert "| one | 3x torch | 1.42x | **missed** | 3 | 0.1, 1.2 |" in text
    assert "| two |  | no such encoder | failed | 3 | 0.1, 1.2 |" in text
    assert "**Failed**: no such encoder." in text
    assert "JAX on 2 x one of them (gpu)" in text
    assert "Quick run" not in text


def test_without_a_peer_nothing_is_judged() -> None:
    alone = {
        "rows": {"ours, same padding": {"median": 5.0}},
        "over_ours": {},
        "ours_over_peers": {},
    }
    for name in ("encoding", "train_step", "mmoe_step", "synthetic_train", "lstm"):
        (benchmark,) = command.choose(name)
        (verdict,) = benchmark.judge(alone)
        assert (verdict.found, verdict.met) == ("no peer here", None)


def test_ratios_are_judged_the_right_way_round() -> None:
    (lstm,) = command.choose("lstm")
    (verdict,) = lstm.judge({"ours_over_peers": {"torch padded": {"median": 2.0}}})
    assert (verdict.found, verdict.met) == ("0.50x", False)
    (encoding,) = command.choose("encoding")
    rows = {
        "ours, same padding": {"median": 3.0},
        "torch, same padding": {"median": 2.0},
    }
    (verdict,) = encoding.judge({"rows": rows})
    assert (verdict.found, verdict.met) == ("1.50x", True)


def test_the_list_names_every_benchmark_of_the_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command.main(["--list"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    shared = {
        "measure",
        "race",
        "finetuning",
        "scaling_estimate",
        "weak_scaling_worker",
    }
    shared |= {"serving_attack", "serving_client"}
    folder = Path(command.__file__).parent
    modules = {
        path.stem
        for path in folder.glob("*.py")
        if not path.stem.startswith("__") and not path.stem.endswith("_peer")
    }
    assert set(listed) == modules - shared


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_every_module_takes_the_arguments_it_is_given(
    benchmark: Benchmark, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"experiments.benchmarks.{benchmark.name}")
    given = [*benchmark.arguments(quick), "--out", "somewhere"]
    given += ["--peer-python", "x"] * benchmark.has_peer
    parse = argparse.ArgumentParser.parse_args

    class ParsedError(Exception):
        pass

    def read(self: Any, arguments: Any = None, namespace: Any = None) -> None:
        parse(self, given, namespace)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read)
    with pytest.raises(ParsedError):
        module.main()


def test_places_on_this_machine_do_not_reach_the_report(tmp_path: Path) -> None:
    text = f"no interpreter at {sys.executable}; {tmp_path}/x; {command.ROOT}/y"
    cleaned = command.without_paths(text, options(), tmp_path)
    assert cleaned == "no interpreter at PYTHON; SCRATCH/x; ./y"
    assert command.without_paths("python 3", options(peer_python="python"), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "lstm,fast"], "--only must name some of imports, "),
        (["--only", "lstm,fast"], "got fast"),
        (["--limit", "-1"], "--limit must not be negative, got -1"),
    ],
)
def test_bad_arguments_are_answered_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_limit_given_holds_for_each(tmp_path: Path) -> None:
    slow = dataclasses.replace(BENCHMARKS[0], limit=1000.0)
    record = command.run_one(slow, options(limit=0.01), tmp_path)
    assert record["reason"] == "did not end within 0.01 s"
