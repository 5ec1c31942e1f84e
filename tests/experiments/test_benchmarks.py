"""The benchmarks run at toy sizes; what they measure is not looked at here."""

import json
import sys
from pathlib import Path

import pytest

from experiments.benchmarks import imports, measure, train_step
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing

TOY = {
    "turns": 2,
    "race-turns": 1,
    "steps": 1,
    "batch": 4,
    "tokens": 6,
    "shortest": 2,
    "features": 3,
    "units": 2,
    "labels": 5,
    "hidden": 2,
}


def test_the_train_step_is_measured_and_says_why_it_has_no_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**TOY, "peer-python": "no-such-python", "out": tmp_path}
    train_step.main([f"--{name}={value}" for name, value in options.items()])
    assert "Without the rival: no interpreter at no-such-python" in (
        capsys.readouterr().out
    )
    result = json.loads((tmp_path / "train_step.json").read_text())
    assert result["milliseconds"]["ours"] > 0
    assert "torch" not in result["milliseconds"]


def test_the_rival_is_the_same_model_as_ours() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    sizes = train_step.Sizes(
        batch=4, tokens=6, shortest=2, features=3, units=2, labels=5, hidden=2
    )
    batches = train_step.make_batches(sizes)
    ours = train_step.Ours(sizes, batches)
    _, losses = ours.run(3)
    peer = train_step.start_peer(sys.executable, ours, sizes, batches)
    count = train_step.count_parameters(ours.params)
    for variant in ("turned fused", "turned foreach", "packed fused"):
        train_step.check_same_model(peer, variant, count, losses, exact=True)
    peer.close()


def test_a_rival_that_ends_early_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text("print('{}', flush=True)\ninput()\n")
    peer = Peer(sys.executable, script)
    with pytest.raises(PeerUnavailableError, match="its process ended"):
        peer.ask({})
    peer.close()


def test_runs_alternate_and_their_ratio_is_taken_turn_by_turn() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> Timing:
        order.append(name)
        return Timing(seconds, seconds)

    timings = measure.alternate(
        {"slow": lambda: run("slow", 3.0), "fast": lambda: run("fast", 2.0)}, 2
    )
    assert order == ["slow", "fast", "fast", "slow"]
    ratio = measure.ratio_of_turns(timings["slow"], timings["fast"])
    assert ratio == (1.5, 1.5, 1.5)


def test_a_failing_command_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        imports.seconds([sys.executable, "-c", "raise ValueError('boom')"])


def test_import_times_are_set_against_their_targets() -> None:
    facts = measure.machine_facts()
    row = {"median": 2.0, "lowest": 1.0, "highest": 3.0, "target": 1.5}
    text = imports.report({"machine": facts, "repeats": 1, "rows": {"it": row}})
    assert "| `it` | 2.00 | 1.00 to 3.00 | 1.5 s: missed |" in text
