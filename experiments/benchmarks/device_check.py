"""What a new accelerator must show, in at most eight minutes, in one report.

    python -m experiments.benchmarks.device_check --out FOLDER [--seconds 480] \
        [--only NAME,NAME] [--peer-python TORCH_PYTHON] [--quick]

  functional       tests of `lg.functional` against NumPy loops, run on this device
  train_steps      a step of the default (a bag) and of a MiniLM that is fine-tuned;
                   where torch is installed, with the same first losses as its, raced
  utilisation      model FLOP utilisation of a BERT-base step in bfloat16, by batch size
  label_attention  exact attention over 4,000, 131,072 and 1,000,000 labels, forward and
                   gradient; over the fewest also against the dense form
  training         `labelgraph train` on the embedded corpus, two minutes, and what its
                   model answers on this device
  restoring        the same work directory in a process that has the CPU alone: the same
                   answers

Every part has its share of the time, and what the parts before it left over, and runs
in processes of its own. As soon as it is over `NAME.json` and `device_check.md` are
written; one that fails is written down with its reason, what it had measured by then is
kept, and the rest goes on. What the parts work with lies in `work/`, made anew each
time. The exit code is 1 where a part failed. `--quick` takes toy sizes: it says that
every part runs, and nothing about the device.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.measure import ROOT, run_limited
from experiments.study import markdown_table

SECONDS = 480.0
LEAST_SECONDS = 5.0
"""A part that is left less time is not begun."""
PATIENCE = 15.0
"""Seconds that training is left to save what it has."""
ANSWERING = 20.0
"""Seconds that are kept for its model's answers."""
TESTS = (
    "attention/test_attention.py",
    "losses/test_losses.py",
    "text/test_pooling.py",
    "text/test_transformer.py",
    "mixture/test_experts.py",
    "graph/test_convolution.py",
    "attention/test_attention_methods.py",
    "many_labels/test_label_chunks.py",
    "text/test_recurrent.py",
)
"""Of tests/functional, the first that matter first: the time may not do for all."""
QUICK_TESTS = ("graph/test_convolution.py",)
RUN_TESTS = (
    "import sys, pytest; code = pytest.main(sys.argv[1:]); import jax; "
    "print('ran on', jax.default_backend()); sys.exit(code)"
)
ATTENTION_LABELS = (4_000, 131_072, 1_000_000)
QUICK_ATTENTION_LABELS = (50, 200)
ATTENTION = {
    **{"features": 64, "heads": 4, "width": 64, "repeats": 5, "seconds": 10.0},
    # Address space, of which an accelerator's driver takes much: no limit in effect.
    "limit_gib": 65_536.0,
}
BATCH_ROWS = "32,64,128,256"
STEPS = {
    "bag": "--encoder bag --batch 32 --tokens 512 --shortest 128 --features 256 "
    "--variants fused,foreach",
    "transformer": "--encoder transformer --shape minilm --dtype bfloat16 --batch 64 "
    "--tokens 128 --variants fused",
}
QUICK_STEPS = "--turns 1 --race-turns 1 --steps 1 --batch 4 --tokens 6 --shortest 2 "
QUICK_STEPS += "--features 4 --units 2 --labels 5 --hidden 2 --vocabulary 9 --shape toy"
ANSWERS = """
import json, sys
import numpy as np
import labelgraph_jax as lg
import jax
work, texts, out = sys.argv[1:]
found = lg.load(work).predict_proba(json.load(open(texts)))
np.savez(out, probabilities=found, platform=jax.default_backend())
"""
MOST_DIFFERENCE = 5e-3
"""Between probabilities of an accelerator and a CPU: its products may be rounded."""
TEXTS = (
    "Return a list of the names of the files in a folder, sorted by size.",
    "Open a socket, wait for a connection and read a line.",
    "The arithmetic mean of a sequence of numbers, and its standard deviation.",
    "Parse the header of an e-mail message and decode its parts.",
)


METRICS = ("micro_f1", "macro_f1", "mAP")


class Check(NamedTuple):
    """What was asked, what was found, and whether that is enough (None: not judged)."""

    target: str
    found: str
    met: bool | None


@dataclass
class Room:
    """What a part is given, and where it leaves what it finds.

    Attributes:
        seconds: that it has; `left` are left of them.
        folder: for files that stay beside the report, such as a work directory.
        platform: that JAX found here.
        found: what goes into the part's file, from the moment it is there.
        checks: against targets.
        lines: of its section in the report.
    """

    seconds: float
    folder: Path
    options: argparse.Namespace
    platform: str
    found: dict[str, Any]
    checks: list[Check]
    lines: list[str]
    started: float

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.perf_counter() - self.started)

    @property
    def quick(self) -> bool:
        """True for toy sizes, which show that a part runs."""
        return bool(self.options.quick)

    def run(self, *command: str, limit: float = 0.0, **options: Any) -> str:
        """Run a command of this interpreter; why it failed, empty if it did not."""
        limit = min(limit or self.left, self.left)
        if limit < LEAST_SECONDS:
            return "no time was left for it"
        environment = {**os.environ, **options.pop("environment", {})}
        whole = [sys.executable, *command]
        return run_limited(whole, limit, environment=environment, **options)


def functional(room: Room) -> str:
    """The chosen tests; what the time did for is counted."""
    printed = room.folder / "functional.log"
    files = QUICK_TESTS if room.quick else TESTS
    reason = room.run(
        *("-c", RUN_TESTS, "-v", "-p", "no:cacheprovider", "-W", "default"),
        *(f"tests/functional/{file}" for file in files),
        output=printed,
        environment={
            # Not the CPU, which the tests take where nothing is said.
            "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", ""),
            "JAX_DEFAULT_MATMUL_PRECISION": "highest",
            # Of whoever calls: one process runs these tests, and names each.
            "PYTEST_ADDOPTS": "",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
    )
    text = printed.read_text(errors="replace") if printed.is_file() else ""
    told = re.findall(r"^(tests/\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED)", text, re.M)
    counts = {
        how: sum(each == how for _, each in told)
        for how in ("PASSED", "FAILED", "ERROR", "SKIPPED")
    }
    backend = re.findall(r"^ran on (\w+)$", text, re.M)
    failed = [name for name, how in told if how in ("FAILED", "ERROR")]
    room.found |= {"counts": counts, "failed": failed, "ran_on": backend}
    bad = len(failed)
    found = f"{counts['PASSED']} passed, {bad} failed"
    room.checks.append(Check("no test fails", found, counts["PASSED"] > 0 and not bad))
    room.lines += [f"{found}, products at the highest precision."]
    room.lines += [f"- failed: `{name}`" for name in failed[:20]]
    if reason.startswith("did not end") and counts["PASSED"]:
        room.lines += ["The time did not do for all of them."]
        return ""
    return "" if failed else reason


def train_steps(room: Room) -> str:
    """Ours and torch's step, of a bag and of a transformer."""
    reasons = []
    for number, (name, arguments) in enumerate(STEPS.items()):
        folder = room.folder / f"step_{name}"
        device = "cpu" if room.platform == "cpu" else "accelerator"
        reason = room.run(
            *("-m", "experiments.benchmarks.train_step", *arguments.split()),
            *(QUICK_STEPS.split() if room.quick else ("--turns", "6", "--steps", "10")),
            *("--device", device, "--peer-python", room.options.peer_python),
            *("--out", str(folder)),
            limit=room.left / (len(STEPS) - number),
            # Ours and torch's lie on the device at once.
            environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        if reason:
            reasons.append(f"{name}: {reason}")
            continue
        result = json.loads((folder / "train_step.json").read_text())
        room.found[name] = result
        ratio = result.get("torch_over_ours", {}).get("median")
        found = f"{result['milliseconds']['ours']:.1f} ms a step"
        found += ", no torch here" if ratio is None else f", {ratio:.2f}x torch"
        met = None if ratio is None else ratio >= 1
        room.checks.append(Check(f"{name}: at least as fast as torch", found, met))
        room.lines += [(folder / "train_step.md").read_text().strip(), ""]
    return "; ".join(reasons)


def utilisation(room: Room) -> str:
    """MFU of BERT-base by batch size."""
    sizes = f"--shapes bert-base --rows {BATCH_ROWS} --steps 15 --products 8192"
    if room.quick:
        sizes = "--shapes toy --rows 2,4 --tokens 16 --steps 3 --products 64"
    reason = room.run(
        *("-m", "experiments.benchmarks.mfu", *sizes.split()),
        *("--out", str(room.folder)),
    )
    written = room.folder / "mfu.json"
    if written.is_file():
        result = json.loads(written.read_text())
        room.found |= result
        found = ", ".join(f"{k} {e['mfu']:.1%}" for k, e in result["encoders"].items())
        target = f"MFU {result['target']:.0%} at the best batch size"
        room.checks.append(Check(target, found, result["met"]))
        room.lines += [(room.folder / "mfu.md").read_text().strip()]
    return reason


def label_attention(room: Room) -> str:
    """Exact attention, each size in a process; the fewest labels by the dense form."""
    labels = QUICK_ATTENTION_LABELS if room.quick else ATTENTION_LABELS
    points = room.found.setdefault("points", [])
    rows, reasons = [], []
    for method, count in [("dense", labels[0]), *(("complete", n) for n in labels)]:
        printed = room.folder / "attention.log"
        reason = room.run(
            *("-m", "experiments.extreme.ours", method, str(count)),
            json.dumps(ATTENTION),
            output=printed,
        )
        said = printed.read_text().splitlines() if printed.is_file() else []
        point: dict[str, Any] = {"method": method, "labels": count}
        point |= {"reason": reason} if reason or not said else json.loads(said[-1])
        points.append(point)
        if "reason" in point:
            reasons.append(f"{method}, {count:,} labels: {point['reason']}")
            continue
        fastest = 1000 * min(point["seconds"])
        rows.append([method, f"{count:,}", f"{fastest:.2f}", f"{point['loss']:.6g}"])
    room.lines += [markdown_table(["method", "labels", "ms, fastest", "loss"], rows)]
    losses = [p["loss"] for p in points if p["labels"] == labels[0] and "loss" in p]
    if len(losses) == 2:
        same = bool(np.isclose(losses[0], losses[1], rtol=1e-2))
        found = f"{losses[0]:.6g} and {losses[1]:.6g}"
        room.checks.append(Check("dense and exact have one loss, to 1 %", found, same))
    return "; ".join(reasons)


def training(room: Room) -> str:
    """A run of the default, and what its model answers here."""
    work = room.folder / "run"
    command = ["-m", "labelgraph_jax", "train", "--workdir", str(work), "--no-report"]
    command += ["--quiet", "--json"]
    if room.quick:
        data = room.folder / "tiny.jsonl"
        rows = [
            json.dumps({"text": f"{text} {number}", "labels": [f"label{number % 3}"]})
            for number in range(60)
            for text in (TEXTS[number % 3],)
        ]
        data.write_text("\n".join(rows) + "\n")
        command += ["--data", str(data), "--training.epochs", "2"]
        command += ["--training.batch-size", "8", "--text.dim", "16"]
    printed = room.folder / "train.log"
    started = time.perf_counter()
    limit = room.left - PATIENCE - ANSWERING
    reason = room.run(*command, output=printed, limit=limit, patience=PATIENCE)
    room.found["seconds"] = round(time.perf_counter() - started, 1)
    ended = not reason
    if ended:
        room.found["result"] = result = json.loads(printed.read_text())
        metrics = result["test"]["metrics"]
        told = ", ".join(f"{name} {metrics[name]:.3f}" for name in METRICS)
        room.lines += [f"{result['documents']['test']} test documents: {told}.", ""]
    elif not reason.startswith("did not end"):
        return reason
    target = "training ends in its time"
    room.checks.append(Check(target, f"{room.found['seconds']:.0f} s", ended))
    # Where the time was up, it has saved what it had.
    room.lines += [f"Training took {room.found['seconds']:.0f} s."]
    return answers(room, room.folder / "answers.npz", {})


def answers(room: Room, out: Path, environment: Mapping[str, str]) -> str:
    """Let the model of the run answer, in a process of its own."""
    texts = room.folder / "texts.json"
    texts.write_text(json.dumps(TEXTS))
    work = str(room.folder / "run")
    command = ("-c", ANSWERS, work, str(texts), str(out))
    return room.run(*command, environment=environment)


def restoring(room: Room) -> str:
    """The same run on the CPU alone."""
    before, out = room.folder / "answers.npz", room.folder / "answers_cpu.npz"
    if not before.is_file():
        return "there is no run that answered on the device: see training"
    if reason := answers(room, out, {"JAX_PLATFORMS": "cpu"}):
        return reason
    with np.load(before) as one, np.load(out) as other:
        platforms = [str(one["platform"]), str(other["platform"])]
        gap = float(np.abs(one["probabilities"] - other["probabilities"]).max())
    room.found |= {"platforms": platforms, "largest_difference": gap}
    target = f"probabilities within {MOST_DIFFERENCE:g}"
    found = f"{gap:.2g} between {' and '.join(platforms)}"
    room.checks.append(Check(target, found, gap <= MOST_DIFFERENCE))
    room.lines += [f"Largest difference of a probability: {found}."]
    return ""


Part = Callable[[Room], str]
PARTS: dict[str, tuple[Part, float]] = {
    "functional": (functional, 65),
    "train_steps": (train_steps, 95),
    "utilisation": (utilisation, 85),
    "label_attention": (label_attention, 45),
    "training": (training, 155),
    "restoring": (restoring, 30),
}
"""Every part, and its share of the time in seconds of `SECONDS`."""


def run_part(name: str, seconds: float, room: Room) -> dict[str, Any]:
    """Run a part and write its file.

    Args:
        name: of the part.
        seconds: that it may take.
        room: what it is given.
    """
    part = PARTS[name][0]
    try:
        reason = part(room)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    record: dict[str, Any] = {
        "name": name,
        "what": (part.__doc__ or "").strip(),
        "allowed": round(seconds, 1),
        "seconds": round(time.perf_counter() - room.started, 1),
        "checks": [check._asdict() for check in room.checks],
        "result": room.found,
        "markdown": "\n".join(room.lines),
    }
    if reason:
        record["reason"] = reason
    record = json.loads(_without_places(json.dumps(record), room))
    out = Path(room.options.out) / f"{name}.json"
    out.write_text(json.dumps(record, indent=1) + "\n")
    return record


def _without_places(text: str, room: Room) -> str:
    places = {str(room.folder): "WORK", sys.executable: "PYTHON", str(ROOT): "."}
    peer = room.options.peer_python
    if os.sep in peer:
        places[peer] = "PYTHON"
    for place, word in places.items():
        text = text.replace(json.dumps(place)[1:-1], word)
    return text


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Run every part that was chosen; files are written as they come."""
    started = time.perf_counter()
    out = Path(options.out)
    folder = out / "work"
    if folder.is_dir():
        shutil.rmtree(folder)  # a finished run would only be read again
    folder.mkdir(parents=True)
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": measure.machine_facts(),
        "device": measure.device_facts(),
        "versions": measure.versions(),
        "quick": options.quick,
        "seconds": options.seconds,
        "parts": [],
    }
    names = options.only or list(PARTS)
    for number, name in enumerate(names):
        later = sum(PARTS[other][1] for other in names[number + 1 :])
        left = options.seconds - (time.perf_counter() - started)
        seconds = left - later * options.seconds / SECONDS
        if options.quick:
            seconds = options.seconds
        print(f"{name}: {seconds:.0f} s at most", file=sys.stderr, flush=True)
        room = Room(
            *(seconds, folder.resolve(), options, result["device"]["platform"]),
            *({}, [], [], time.perf_counter()),
        )
        record = run_part(name, seconds, room)
        outcome = record.get("reason") or "done"
        print(f"  {outcome}, {record['seconds']:.0f} s", file=sys.stderr, flush=True)
        result["parts"].append(record)
        measure.save(options.out, "device_check", result, report(result))
    return result


def report(result: Mapping[str, Any]) -> str:
    """What is there so far, in Markdown."""
    device = result["device"]
    total = sum(part["seconds"] for part in result["parts"])
    lines = [
        "# Check of a device",
        "",
        f"{result['date']}; {device['count']} x {device['kind']} "
        f"({device['platform']}); {measure.machine_line(result['machine'])}; "
        f"{total:.0f} of {result['seconds']:.0f} s.",
        "",
        ", ".join(f"{name} {n}" for name, n in result["versions"].items()) + ".",
        "",
    ]
    if result["quick"]:
        lines += ["**Quick run: toy sizes.** Its numbers say nothing.", ""]
    elif device["platform"] == "cpu":
        lines += ["**This is a CPU**: no accelerator was found.", ""]
    rows = []
    for part in result["parts"]:
        words = {True: "met", False: "**missed**", None: "-"}
        cells = [
            [each["target"], each["found"], words[each["met"]]]
            for each in part["checks"]
        ]
        if "reason" in part:
            cells.append(["", part["reason"], "**failed**"])
        seconds = f"{part['seconds']:.0f} of {part['allowed']:.0f}"
        rows += [[part["name"], *each, seconds] for each in cells]
    header = ["part", "target", "found", "", "s"]
    lines += [markdown_table(header, rows)]
    for part in result["parts"]:
        lines += [f"## {part['name']}", "", part["what"], "", part["markdown"], ""]
        if "reason" in part:
            lines += [f"**Failed**: {part['reason']}.", ""]
    return "\n".join(lines)


def _parts(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(
                f"must be some of {', '.join(PARTS)}, got {name!r}"
            )
    return names


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts within their time, and exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", default="device_check", help="folder for the report and every part"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for all parts together"
    )
    parser.add_argument("--only", type=_parts, default=[], help="some parts")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter with torch"
    )
    parser.add_argument(
        "--quick", action="store_true", help="toy sizes: does every part run?"
    )
    options = parser.parse_args(arguments)
    if not options.seconds >= LEAST_SECONDS:
        parser.error(
            f"--seconds must be at least {LEAST_SECONDS:g}, got {options.seconds:g}"
        )
    result = check(options)
    print(Path(options.out) / "device_check.md")
    failed = [part["name"] for part in result["parts"] if "reason" in part]
    if failed:
        print(f"failed: {', '.join(failed)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
