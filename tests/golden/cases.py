"""One tiny run of every kind, as commands, and the numbers that such a run gives.

Nothing here knows a module of the package but the command line, so that the inside of
the package can be rebuilt while these runs stand still. Every path is relative: the
current directory holds `data/`, `bert/` and `runs/`.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelgraph_jax.cli import run
from tests.tiny import made_documents, write_jsonl, write_tiny_bert
from tests.tiny_table import TASKS, made_rows, write_rows

SETS = {"crops": {"corn", "grain", "wheat"}, "trade": {"oil", "ship"}}
TAXONOMY = "Root\tcrops\tship\ncrops\tgrain\ngrain\tcorn\twheat\n"
FEATURES, FEATURE_LABELS = 20, 4
COUNTS = {"train": (48, 1), "validation": (16, 2), "test": (24, 3)}
"""Documents of each split, and the seed that they are made with. Every count and every
size of a batch is a multiple of 8, so that eight devices pad none."""


class Case(NamedTuple):
    """A run.

    Attributes:
        options: of `labelgraph train`, beside what all runs over such data share; of
            `labelgraph memory` where the run starts from another one.
        data: what it reads, a key of `INPUTS`.
        members: of an ensemble the runs that it joins.
        of: the finished run that a memory is put beside, in a copy of it.
    """

    options: str = ""
    data: str = "texts"
    members: tuple[str, ...] = ()
    of: str = ""


class Input(NamedTuple):
    """What a kind of run reads: its files, and what all such runs are told."""

    options: str
    test: str


_SMALL = " --config data/small.json"
"""A file that names every setting, so that a kind of run may leave some unread."""
SMALLEST: dict[str, dict[str, Any]] = {
    "text": {"max_length": 8, "dim": 8, "hidden": 4, "layers": 1, "min_count": 1},
    "graph": {"heads": 2, "hidden": 4, "feature_dim": 6},
    "training": {
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.05,
        "evaluation_batch_size": 8,
    },
}


def _files(folder: str, suffix: str = "jsonl") -> str:
    names = {"data": "train", "validation": "validation", "test": "test"}
    return " ".join(f"--{n} data/{folder}/{f}.{suffix}" for n, f in names.items())


INPUTS = {
    "texts": Input(_files("texts") + _SMALL, "data/texts/test.jsonl"),
    "sets": Input(_files("sets") + " --task all" + _SMALL, "data/sets/test.jsonl"),
    "features": Input(_files("features", "svm") + _SMALL, "data/features/test.svm"),
    "table": Input(
        f"--data data/table/rows.csv {' '.join(f'--task {task}' for task in TASKS)}"
        " --table.dim 4 --table.min-count 1 --mixture.experts 2 --mixture.hidden 8"
        " --mixture.towers --training.epochs 3 --training.batch-size 24"
        " --training.learning-rate 0.04 --training.evaluation-batch-size 24",
        "data/table/rows.csv",
    ),
}

_PLAIN = "--text.dropout 0 --text.token-dropout 0"
_BAG = f"--text.encoder bag --text.ngrams False {_PLAIN}"
_BERT = f"--text.vectors pretrained --text.pretrained bert {_PLAIN}"
_DROPOUT = "--text.dropout 0.3 --text.token-dropout 0.2 --graph.attention-dropout 0.2"
_FIXED = (
    "--memory.neighbours 8 --memory.weight 0.5 --memory.share 0.5"
    " --memory.temperature 0.1 --memory.label-temperature 0.1"
)

CASES = {
    "bag of n-grams": Case(f"--text.encoder bag --text.ngrams True {_DROPOUT}"),
    "bag without a graph": Case(
        f"{_BAG} --graph.layers 0 --training.seed 1 --baseline"
    ),
    "cnn": Case(
        f"--text.encoder cnn {_PLAIN} --graph.layers 1 --graph.role mask"
        " --loss.kind asymmetric --threshold.kind half"
    ),
    "bilstm": Case(
        f"--text.encoder bilstm {_PLAIN} --graph.layers 1 --graph.role multiplicative"
        " --graph.initialisation xavier --threshold.kind sloped"
    ),
    "blocks": Case(f"--text.encoder blocks {_PLAIN} --graph.layers 0"),
    "frozen encoder": Case(
        f"--text.encoder bilstm --text.no-trainable {_BERT} --graph.layers 1"
        " --graph.attention relu --graph.role multiplicative --threshold.kind label"
    ),
    "fine-tuned encoder": Case(
        f"--text.encoder transformer {_BERT} --graph.layers 1 --graph.role fixed"
        " --graph.initialisation thresholded --training.body-learning-rate 0.01"
    ),
    "label attention": Case(
        f"--text.encoder cnn {_PLAIN} --head.kind label_attention --graph.layers 1"
        " --graph.attention gatv2 --loss.kind distribution_balanced"
    ),
    "recurrent decoder": Case(
        f"{_BAG} --graph.layers 0 --head.kind recurrent --head.hidden 4"
        " --head.max-labels 4"
    ),
    "label chunks": Case(
        f"{_BAG} --graph.layers 1 --graph.method sparse --head.label-chunk 2"
        " --head.kept-labels 5 --threshold.kind global"
    ),
    "memory of documents": Case(
        f"{_BAG} --graph.layers 0 --memory.kind documents --memory.neighbours 8"
    ),
    "memory of an encoder": Case(
        f"--memory.kind pretrained --memory.pretrained bert {_FIXED}",
        of="bag without a graph",
    ),
    "memory over label chunks": Case(
        f"--memory.kind documents {_FIXED}", of="label chunks"
    ),
    "ensemble": Case(members=("bag of n-grams", "bag without a graph")),
    "label sets": Case(f"{_BAG} --graph.layers 1", "sets"),
    "label sets with a mixture": Case(
        f"{_BAG} --graph.layers 1 --mixture.kind mmoe --mixture.experts 3"
        " --mixture.hidden 6",
        "sets",
    ),
    "taxonomy": Case(
        f"{_BAG} --taxonomy data/taxonomy.tsv --graph.layers 1"
        " --graph.initialisation taxonomy --threshold.consistent"
    ),
    "features": Case(f"--text.encoder bag {_PLAIN} --graph.layers 0", "features"),
    "table": Case("", "table"),
}
TOLERANCE = 2e-5
"""Relative or absolute. Programs are compiled for the processor at hand, and another
one adds in another order: 6e-6 was seen between two processors, and from 1 device to
8, after training; vectors that are kept as float16 may fall either way by a bit."""

THRESHOLDS = 1e-3
"""Of thresholds, which are averages over cuts between scores: one that its last bit
moves over a cut moves them. 1.6e-4 was seen."""

LOOSER = {
    # Validation documents of the same words are equally probable but for the last bit,
    # and this metric ranks them: 3.6e-3 was seen.
    "memory of documents": {".results.memory.validation.without_memory.mAP": 5e-3},
    # The vectors that are compared are kept as float16, of documents that training
    # itself moves: 4.9e-5 was seen.
    "memory over label chunks": {".": 1e-4},
}
"""Where a case allows more: the start of a path, and its tolerance."""

LEFT_OUT = {
    "devices",
    "documents_per_second",
    "rows_per_second",
    "seconds",
    "test_seconds",
    "workdir",
}
"""Of results.json: times, places, hardware."""


def write_inputs(folder: Path) -> None:
    """`data/` and `bert/`, which the commands name."""
    data = folder / "data"
    for kind in ("texts", "sets", "features", "table"):
        (data / kind).mkdir(parents=True)
    for split, made in COUNTS.items():
        documents = made_documents(*made)
        write_jsonl(data / "texts" / f"{split}.jsonl", documents)
        sets = [_of_sets(n, document) for n, document in enumerate(documents)]
        write_jsonl(data / "sets" / f"{split}.jsonl", sets)
        rows = "\n".join(_feature_rows(*made)) + "\n"
        (data / "features" / f"{split}.svm").write_text(rows, encoding="utf-8")
    write_small(data)
    (data / "taxonomy.tsv").write_text(TAXONOMY, encoding="utf-8")
    write_rows(data / "table" / "rows.csv", made_rows(240, 0))
    write_tiny_bert(folder / "bert")


def write_small(data: Path) -> None:
    """Write the file of settings that every run is told."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run(["config", "show", "default", "--all", "--json"]) == 0
    settings = json.loads(printed.getvalue())
    for section, values in SMALLEST.items():
        settings[section] |= values
    (data / "small.json").write_text(json.dumps(settings), encoding="utf-8")


def _of_sets(number: int, document: dict[str, Any]) -> dict[str, Any]:
    """A third has no annotation of crops, another one none of trade."""
    labels = set(document["labels"])
    tasks: dict[str, Any] = {t: sorted(known & labels) for t, known in SETS.items()}
    if missing := (None, "crops", "trade")[number % 3]:
        tasks[missing] = None
    return {"id": document["id"], "text": document["text"], "tasks": tasks}


def _feature_rows(count: int, seed: int) -> list[str]:
    """LIBSVM; label l has features 3l to 3l + 2, the last eight say nothing."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        labels = {number % FEATURE_LABELS}
        if random.random() < 0.4:
            labels.add(int(random.integers(FEATURE_LABELS)))
        ids = {3 * label + int(random.integers(3)) for label in sorted(labels)}
        ids |= {12 + int(i) for i in random.integers(0, FEATURES - 12, 3)}
        pairs = " ".join(
            f"{i}:{random.uniform(0.5, 2) if i < 12 else 0.1:.3f}" for i in sorted(ids)
        )
        lines.append(f"{','.join(map(str, sorted(labels)))} {pairs}")
    return lines


def place(name: str) -> Path:
    """The work directory of a case."""
    return Path("runs") / name.replace(",", "").replace(" ", "-")


def train(name: str) -> Path:
    """Runs a case in the current directory, or goes on with it; its work directory.

    The runs that it starts from are made where they are absent.
    """
    case, workdir = CASES[name], place(name)
    for other in (*case.members, case.of):
        if other and not place(other).is_dir():
            train(other)
    if case.members:
        labelgraph("ensemble", workdir, *map(place, case.members))
    elif case.of:
        shutil.copytree(place(case.of), workdir)
        labelgraph("memory", workdir, *case.options.split())
    else:
        options = f"{INPUTS[case.data].options} {case.options}".split()
        labelgraph("train", "--workdir", workdir, "--no-report", *options)
    return workdir


def labelgraph(verb: str, *arguments: str | Path) -> str:
    """One command, which must succeed; what it prints."""
    command = [verb, *map(str, arguments), "--quiet"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run(command) == 0, " ".join(command)
    return printed.getvalue()


def golden_numbers(name: str, workdir: Path) -> dict[str, Any]:
    """What a finished run measured, how it decides, and what it predicts."""
    return {
        "results": without_circumstances(read_json(workdir / "results.json")),
        "losses": _losses(workdir),
        "thresholds": _thresholds(workdir),
        "predictions": predictions(name, workdir),
    }


def evaluation(workdir: Path) -> Any:
    """What `labelgraph evaluate` measures on a run's own test split."""
    printed = labelgraph("evaluate", workdir, "--json")
    return without_circumstances(json.loads(printed))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def without_circumstances(value: Any) -> Any:
    """Results without times, places and hardware."""
    if isinstance(value, dict):
        return {
            key: without_circumstances(held)
            for key, held in value.items()
            if key not in LEFT_OUT
        }
    return [without_circumstances(v) for v in value] if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _losses(workdir: Path) -> list[float]:
    """The mean training loss of each epoch; an ensemble has none."""
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row["epoch_loss"] for row in rows if "epoch_loss" in row]


def _thresholds(workdir: Path) -> Any:
    """A run over a table has none."""
    path = workdir / "thresholds.json"
    return read_json(path) if path.is_file() else None


def predictions(name: str, workdir: Path) -> list[Any]:
    """What `labelgraph predict --scores` says of every test document or row."""
    case = CASES[name]
    output = workdir.with_name(f"{workdir.name}.predictions.jsonl")
    source = INPUTS[case.data].test
    labelgraph("predict", workdir, source, "--scores", "--output", output)
    lines = output.read_text(encoding="utf-8").splitlines()
    output.unlink()
    return [_compact(json.loads(line)) for line in lines]


def _compact(row: dict[str, Any]) -> list[Any]:
    """A row without its names where they are the same in every row.

    Of a document `[id, its labels, the probability of every label]`, the labels the
    most probable first; of a row of a table what each task says, in their order.
    """
    if "row" not in row:
        scores = dict(zip(row["labels"], row["scores"], strict=True))
        assert scores.items() <= row["all_scores"].items()
        return [row["id"], row["labels"], list(row["all_scores"].values())]
    said = [held for held in row.values() if isinstance(held, dict)]
    return [row["id"], *(_flat(task) for task in said)]


def _flat(task: dict[str, Any]) -> list[Any]:
    """The value that a task predicts, then its probabilities."""
    rest = task.get("probabilities", task.get("probability", {}))
    rest = list(rest.values()) if isinstance(rest, dict) else [rest]
    return [task["value"], *rest]


def unlike(name: str, stored: Any, found: Any) -> list[str]:
    """Where the numbers of a case are not the stored ones, as far as it must be so."""
    looser = LOOSER.get(name, {})
    told = differences(stored, found, TOLERANCE)
    still = set(differences(stored, found, THRESHOLDS))
    told = [line for line in told if "threshold" not in line or line in still]
    for start, tolerance in looser.items():
        still = set(differences(stored, found, tolerance))
        told = [line for line in told if not line.startswith(start) or line in still]
    return told


def differences(
    stored: Any, found: Any, tolerance: float, where: str = ""
) -> list[str]:
    """Where what was found is not what is stored: a line for each place.

    What is found beside what is stored is no difference: results may grow.
    """
    if isinstance(stored, dict) and isinstance(found, dict):
        return [
            line
            for key, held in stored.items()
            for line in (
                differences(held, found[key], tolerance, f"{where}.{key}")
                if key in found
                else [f"{where}.{key}: is gone"]
            )
        ]
    if _is_list(stored) and _is_list(found):
        return _list_differences(stored, found, tolerance, where)
    if _is_number(stored) and _is_number(found):
        same = math.isclose(stored, found, rel_tol=tolerance, abs_tol=tolerance)
        same = same or (math.isnan(stored) and math.isnan(found))
    else:
        same = type(stored) is type(found) and stored == found
    return [] if same else [f"{where}: {stored!r} -> {found!r}"]


def _list_differences(
    stored: Sequence[Any], found: Sequence[Any], tolerance: float, where: str
) -> list[str]:
    if len(stored) != len(found):
        return [f"{where}: {len(stored)} entries -> {len(found)}"]
    return [
        line
        for number, pair in enumerate(zip(stored, found, strict=True))
        for line in differences(*pair, tolerance, f"{where}[{number}]")
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_numbers(path: Path, numbers: dict[str, dict[str, Any]]) -> None:
    """JSON with a line for each part of a case and for each prediction."""
    text = []
    for name, parts in numbers.items():
        lines = []
        for part, held in parts.items():
            shown = json.dumps(held, ensure_ascii=False, separators=(",", ":"))
            if part == "predictions":
                rows = (
                    json.dumps(row, ensure_ascii=False, separators=(",", ":"))
                    for row in held
                )
                shown = "[\n" + ",\n".join(rows) + "\n]"
            lines.append(f"{json.dumps(part)}:{shown}")
        text.append(f"{json.dumps(name)}:{{\n" + ",\n".join(lines) + "\n}")
    path.write_text("{\n" + ",\n".join(text) + "\n}\n", encoding="utf-8")
