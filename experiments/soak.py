"""A training run that is killed again and again ends as the one that never was.

    python -m experiments.soak [--kills 30] [--seed 0] [--signals kill,term,int]

`kill -9` (or with `--signals` one of several, drawn each time) at random moments of a
`labelgraph train` on stdlib_docs: three of ten before the first step (imports, reading,
restoring), the others within the training, which saves every 5 steps, so that many fall
into a save. Every life must go on from the newest checkpoint that was whole when the
one before was killed, so that nothing is lost but the steps since; and the last one
must end with the parameters, the optimizer's state, the thresholds and the test metrics
of an uninterrupted run, bit for bit. A life that SIGTERM or Ctrl-C ended must say so in
one line without a traceback, with exit code 0 or 130. Writes OUT/soak.json and .md.
Expected: 30 of 30. About 10 minutes on 2 cores.
"""

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.collect import hardware

SAVE_EVERY = 5
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
CODES = {"kill": -signal.SIGKILL, "term": 0, "int": 130}
FIRST_STEP = re.compile(r"first step done")
RESUMED = re.compile(r"going on after step (\d+) of (\d+)")


def command(workdir: Path, epochs: int) -> list[str]:
    """The run that is killed."""
    return [
        *(sys.executable, "-m", "labelgraph_jax", "train", "--workdir", str(workdir)),
        *("--training.epochs", str(epochs), "--text.dim", "64"),
        *("--training.batch-size", "64", "--checkpoint-every", str(SAVE_EVERY)),
    ]


class Life:
    """One process, from its start to its end."""

    def __init__(self, workdir: Path, epochs: int) -> None:
        self.log = workdir.parent / "stderr.txt"
        self.began = time.monotonic()
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                command(workdir, epochs), stdout=subprocess.DEVNULL, stderr=file
            )

    def told(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: re.Pattern[str]) -> bool:
        """Until it says so; False where it ends before."""
        while self.process.poll() is None:
            if pattern.search(self.told()):
                return True
            time.sleep(0.02)
        return False

    def kill(self, after: float, name: str = "kill") -> bool:
        """A signal after so many seconds; False where it had ended by then.

        Raises:
            RuntimeError: it did not end as it must.
        """
        try:
            self.process.wait(timeout=after)
            return False
        except subprocess.TimeoutExpired:
            self.process.send_signal(SIGNALS[name])
        code, said = self.process.wait(timeout=120), self.told()
        # Before the interpreter has come up a signal has its usual effect.
        usual = not said and code == -SIGNALS[name]
        if not usual and (code != CODES[name] or "Traceback" in said):
            raise RuntimeError(f"a life ended by {name} with {code}: {said[-800:]}")
        return True


def whole_steps(workdir: Path) -> list[int]:
    """Steps of the checkpoints that are complete."""
    folder = workdir / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(int(e.name) for e in folder.iterdir() if e.name.isdecimal())


def soak(
    kills: int,
    epochs: int,
    seed: int,
    root: Path,
    say: Any,
    signals: Sequence[str] = ("kill",),
) -> dict[str, Any]:
    """Kills a run so often, lets it end, and compares it with one left alone.

    Raises:
        RuntimeError: a run failed, or ended before it was killed so often.
    """
    generator = random.Random(seed)
    alone, killed = root / "alone" / "run", root / "killed" / "run"
    for workdir in (alone, killed):
        workdir.parent.mkdir(parents=True)
    life = Life(alone, epochs)
    if life.process.wait() != 0:
        raise RuntimeError(f"the run left alone failed: {life.told()[-500:]}")
    alone_seconds = time.monotonic() - life.began
    lives = []
    for number in range(kills):
        before = whole_steps(killed)
        life = Life(killed, epochs)
        early = generator.random() < 0.3
        if early:
            moment = generator.uniform(0.0, 6.0)
        else:
            if not life.wait_for(FIRST_STEP):
                raise RuntimeError(f"life {number} ended: {life.told()[-500:]}")
            moment = generator.uniform(0.0, 5.0)
        # A lone signal draws nothing, so that the moments stay those of the seed.
        name = signals[0] if len(signals) == 1 else generator.choice(signals)
        if not life.kill(moment, name):
            raise RuntimeError(f"life {number} ended before its kill; more --epochs")
        found = RESUMED.search(life.told())
        lives.append(
            {
                "kill": number,
                "signal": name,
                "early": early,
                "seconds": round(time.monotonic() - life.began, 2),
                "newest_before": before[-1] if before else 0,
                "resumed_from": int(found[1]) if found else None,
                "newest_after": (whole_steps(killed) or [0])[-1],
            }
        )
        say(f"kill {number + 1} of {kills}: {lives[-1]}")
    life = Life(killed, epochs)
    if life.process.wait() != 0:
        raise RuntimeError(f"the last life failed: {life.told()[-500:]}")
    resumed = [one for one in lives if one["resumed_from"] is not None]
    lost = [one for one in resumed if one["resumed_from"] != one["newest_before"]]
    return {
        "kills": kills,
        "signals": list(signals),
        "seed": seed,
        "epochs": epochs,
        "save_every": SAVE_EVERY,
        "alone_seconds": round(alone_seconds, 1),
        "steps": whole_steps(alone)[-1],
        "lives": lives,
        "seen_to_resume": len(resumed),
        "resumed_elsewhere": lost,
        "differing": differing(alone, killed),
        "hardware": hardware(),
    }


def differing(left: Path, right: Path) -> list[str]:
    """What two finished work directories differ in, bit for bit."""
    from labelgraph_jax.training.checkpoint import CheckpointStore
    from labelgraph_jax.training.checkpoint_files import flat_tree

    wrong = []
    stores = [CheckpointStore(place / "checkpoints") for place in (left, right)]
    if stores[0].best_step != stores[1].best_step:
        wrong.append("the best step")
    for which in ("last", "best"):
        trees = [flat_tree(store.restore_params(which)) for store in stores]
        if trees[0].keys() != trees[1].keys():
            wrong.append(f"{which}: other parameters")
            continue
        for name, leaf in trees[0].items():
            if np.asarray(leaf).tobytes() != np.asarray(trees[1][name]).tobytes():
                wrong.append(f"{which}: {name}")
    for name in ("thresholds.json",):
        if (left / name).read_bytes() != (right / name).read_bytes():
            wrong.append(name)
    tests = [
        json.loads((p / "results.json").read_text())["test"] for p in (left, right)
    ]
    if tests[0] != tests[1]:
        wrong.append("the test metrics")
    return wrong


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    good = result["kills"] if not result["differing"] else 0
    early = sum(one["early"] for one in result["lives"])
    signals = ", ".join(f"`kill -{name.upper()}`" for name in result["signals"])
    return (
        f"# Killed {result['kills']} times\n\n"
        f"{signals} at {result['kills']} random moments (seed {result['seed']}) of a "
        f"run of {result['steps']:,} steps that saves every {result['save_every']}; "
        f"{early} of them at a random moment of the first six seconds of a process, "
        f"the others within five seconds of its first step. {result['hardware']}; the "
        f"run left alone took {result['alone_seconds']:.0f} s.\n\n"
        f"- {result['seen_to_resume']} lives came far enough to say where they went "
        f"on; {len(result['resumed_elsewhere'])} of them elsewhere than at the newest "
        "whole checkpoint.\n"
        f"- Parameters (last and best), thresholds and test metrics that differ from "
        f"the run left alone, bit for bit: {', '.join(result['differing']) or 'none'}. "
        f"So {good} of {result['kills']} resumes are bit-identical.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill and resume runs, keep the report; return 1 if any ended differently."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signals", default="kill")
    parser.add_argument("--out", default="experiments/results")
    options = parser.parse_args(arguments)
    if options.kills < 1 or options.epochs < 1:
        print("soak: error: --kills and --epochs must be at least 1", file=sys.stderr)
        return 2
    signals = options.signals.split(",")
    if not set(signals) <= set(SIGNALS):
        known = ", ".join(SIGNALS)
        print(f"soak: error: --signals must be of {known}; got {options.signals}")
        return 2
    with tempfile.TemporaryDirectory() as root:
        try:
            result = soak(
                options.kills,
                options.epochs,
                options.seed,
                Path(root),
                lambda line: print(line, file=sys.stderr, flush=True),
                signals,
            )
        except RuntimeError as error:
            print(f"soak: error: {error}", file=sys.stderr)
            return 2
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "soak.md").write_text(report(result))
    print(report(result))
    return 0 if not result["differing"] and not result["resumed_elsewhere"] else 1


if __name__ == "__main__":
    sys.exit(main())
