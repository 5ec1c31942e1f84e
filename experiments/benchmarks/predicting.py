"""Documents that one processor second predicts, the start of the process included.

    python -m experiments.benchmarks.predicting [--texts 20000] [--words 64] \
        [--turns 3] [--run WORKDIR] [--out FOLDER] [--peer-python PYTHON]

`labelgraph predict` of the default model, as it is typed, on texts of 64 words that
are cut from the embedded corpus, in turns with two peers that were fitted to the same
training documents and write the same kind of file: a linear SVM over TF-IDF of words,
pairs and parts of words (scikit-learn) and fastText with pairs and parts of words. One
that is not installed is left out, and the report says so. Every run is a process of its
own; its processor seconds (of all threads) and its largest memory are what the
operating system says.

Wanted: 6,000 documents per processor second in at most 500 MB. Without `--run` a
default model is trained first, two minutes on two cores.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import measure
from experiments.study import markdown_table
from labelgraph_jax.data.corpora import load_corpus

TARGET = 6_000
MOST_MEGABYTES = 500
PEERS = {"svm": "TF-IDF + linear SVM (scikit-learn)", "fasttext": "fastText"}
PEER = Path(__file__).with_name("predicting_peer.py")


def usage(command: Sequence[str]) -> tuple[float, float]:
    """Processor seconds of a command, of all its threads, and its largest megabytes.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            lines = said.read().strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"{Path(command[-1]).name}: {lines[-1]}")
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return used.ru_utime + used.ru_stime, used.ru_maxrss / unit


def write_inputs(folder: Path, texts: int, words: int, documents: int = 0) -> None:
    """Write the training documents, and texts cut from the whole corpus.

    A number of documents keeps the first ones alone; texts have so many words.
    """
    corpus = load_corpus("stdlib_docs")
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for document in corpus.train[: documents or None]:
            row = {"text": document.text, "labels": sorted(document.labels)}
            file.write(json.dumps(row) + "\n")
    every = [d.text.split() for part in corpus.splits.values() for d in part]
    flat = [word for text in every for word in text]
    draw = random.Random(0)
    with (folder / "texts.txt").open("w", encoding="utf-8") as file:
        for _ in range(texts):
            start = draw.randrange(len(flat) - words)
            file.write(" ".join(flat[start : start + words]) + "\n")


def commands(
    folder: Path, options: argparse.Namespace
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What is timed, by name, all being fitted; and why a peer is not among them."""
    ours = [sys.executable, "-m", "labelgraph_jax"]
    documents, run = str(folder / "train.jsonl"), options.run or str(folder / "run")
    if not options.run:
        train = [*ours, "train", "--workdir", run, "--quiet"]
        train += ["--training.epochs", str(options.epochs)] if options.epochs else []
        usage([*train, "--data", documents] if options.documents else train)
    texts, written = str(folder / "texts.txt"), str(folder / "out.jsonl")
    found = {"ours": [*ours, "predict", run, texts, "--output", written]}
    missing: dict[str, str] = {}
    for kind in PEERS:
        script = [options.peer_python, str(PEER), kind]
        model = str(folder / kind)
        try:
            usage([*script, "fit", documents, model])
        except (RuntimeError, OSError) as error:
            missing[kind] = str(error)
        else:
            found[kind] = [*script, "predict", model, texts, written]
    return found, missing


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Documents a processor second and megabytes of every command, in turns."""
    result: dict[str, Any] = {"machine": measure.machine_facts(), **vars(options)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.texts, options.words, options.documents)
        lines, missing = commands(folder, options)
        taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in lines}
        for turn in range(options.turns + 1):
            for kind, line in lines.items():
                used = usage(line)
                if turn:  # the first fills the caches of files and programs
                    taken[kind].append(used)
                    print(f"{kind}: {used[0]:.2f} s", file=sys.stderr, flush=True)
    rows = {
        kind: {
            "rate": measure.Spread.of([options.texts / t for t, _ in used])._asdict(),
            "seconds": measure.Spread.of([t for t, _ in used])._asdict(),
            "megabytes": max(size for _, size in used),
        }
        for kind, used in taken.items()
    }
    return result | {
        "rows": rows,
        "missing": missing,
        "target": TARGET,
        "most_megabytes": MOST_MEGABYTES,
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    names = {"ours": "`labelgraph predict`, default model", **PEERS}
    table = markdown_table(
        ["whole process", "documents per processor second", "seconds", "MB at most"],
        [
            [
                names[kind],
                f"{row['rate']['median']:,.0f} "
                f"({row['rate']['low']:,.0f} to {row['rate']['high']:,.0f})",
                f"{row['seconds']['median']:.2f}",
                f"{row['megabytes']:.0f}",
            ]
            for kind, row in result["rows"].items()
        ],
    )
    lines = "".join(
        f"\n{PEERS[kind]} is not measured: {why}\n"
        for kind, why in result["missing"].items()
    )
    machine = measure.machine_line(result["machine"])
    return (
        f"{result['texts']:,} texts of {result['words']} words, {result['turns']} runs "
        f"each; {machine}.\n\n{table}{lines}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Race prediction from the command line against the peers, and keep the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=64, help="of a text")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--run", default="", help="a run of the default model")
    parser.add_argument("--epochs", type=int, default=0, help="of a model made here")
    parser.add_argument("--documents", type=int, default=0, help="to train on; 0: all")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    result = benchmark(options)
    print(report(result))
    measure.save(options.out, "predicting", result, report(result))


if __name__ == "__main__":
    main()
