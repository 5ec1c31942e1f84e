"""Fine-tuning a small encoder: cost against score, losses tuned alike, two presets.

    python -m experiments.finetuning --stage frontier
    python -m experiments.finetuning --stage losses --start 3x64x2
    python -m experiments.finetuning --stage presets --cells 3x96x8 --seeds 3

A cell is `LAYERSxTOKENSxEPOCHS`, then settings of `labelgraph train` after commas:
`3x96x8,loss.kind=focal,loss.gamma=1`. Whatever it leaves open is the preset
minilm-finetune's. `frontier` and `losses` never read the test split: a cell's score is
the mean of micro- and macro-F1 on validation documents, decided by thresholds that were
fitted on others of them. Both halve: every cell runs short, and the better half goes on
with twice the epochs (of `losses` the best of every loss), so a cell that was left
behind has a short run's score alone. `presets` trains seeds and reads the test split
once for each.

Writes OUT/finetuning-STAGE-CORPUS.json and .md. Runs are work directories in the work
folder: what was stopped goes on where it was, and `--cells` computes those alone.
"""

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.collect import hardware
from experiments.graph_worth import Arguments as Documents
from experiments.graph_worth import source
from experiments.pod import ALONE, Pod, whole
from experiments.store import Part, Store
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    markdown_table,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from experiments.tables.settings import command as train_command
from experiments.tables.settings import configuration
from labelgraph_jax.config import Config, ConfigError, ThresholdConfig, to_dict
from labelgraph_jax.config.effects import changed
from labelgraph_jax.config.presets import preset
from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.modules.pretrained import find_pretrained, read_shape
from labelgraph_jax.predictors.choosing import AT_LEAST_ONE, choose_decision
from labelgraph_jax.predictors.decision import Decision, at_half
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.restore import load_model

LAYERS, TOKENS, EPOCHS = (1, 3, 6), (64, 96, 128), (2, 4, 8)
"""Of the frontier; epochs are those of its rounds."""
VARIATIONS = (
    "text.pooling=cls",
    "text.pooling=max",
    "training.average=ema",
    "training.average=epochs",
    "loss.r_drop=0.5",
)
"""Tried on the frontier's best cell."""
RATES = (1e-4, 2e-4, 4e-4)
"""Of the encoder; the head's stays 15 times that."""
HEAD_RATE = 15
CONSTANTS: dict[str, tuple[str, ...]] = {
    "binary_cross_entropy": ("", "loss.logit_adjustment=0.5"),
    "focal": ("loss.gamma=1", "loss.gamma=2"),
    "asymmetric": ("loss.gamma_negative=2", "loss.gamma_negative=4"),
    "class_balanced": ("loss.beta=0.9", "loss.beta=0.99"),
    "negative_tolerant": ("loss.negative_scale=2", "loss.negative_scale=5"),
    "distribution_balanced": ("loss.alpha=0.1", "loss.alpha=0.5"),
}
"""Every loss gets as many tries: the rates times two values of one constant."""
RULES: tuple[Literal["micro_f1", "mean_f1"], ...] = ("micro_f1", "mean_f1")
"""Metrics that a decision may be chosen by."""
METRICS = ("micro_f1", "macro_f1", "samples_f1", "mAP")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Fine-tune an encoder in many ways, and find out what each costs and reaches."""

    stage: Literal["frontier", "losses", "presets"] = "frontier"
    cells: tuple[str, ...] = ()
    """Compute these alone: LAYERSxTOKENSxEPOCHS,setting=value,... (`presets` needs
    some)."""
    start: str = "3x64x2"
    """losses: the cell that they are tried on."""
    corpus: str = "reuters21578"
    """Or goemotions, debtags, another by name; or a file of labelled texts."""
    encoder: str = "minilm"
    """Folder, installed package or hub id."""
    validation_fraction: float = 0.06
    """Of the training documents, where the corpus has no validation split."""
    seeds: int = 1
    """Seeds 0, 1, ... of every cell."""
    work: str = "workdirs/finetuning"
    """Where runs are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (2: an argument is wrong)."""
    return run_command("finetuning", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Train the runs that are missing and write the stage down.

    Raises:
        ConfigError: an option or a cell that does not fit.
        DataError: the corpus cannot be read.
    """
    require_at_least_one(chosen, "seeds")
    if chosen.stage == "presets" and not chosen.cells:
        raise ConfigError("--stage presets needs --cells: which are to be scored")
    for cell in (*chosen.cells, chosen.start):
        cell_config(chosen, cell)
    if not pod.writes:
        return
    say = progress(pod, quiet=chosen.quiet)
    keep_compilations(Path(chosen.work) / "compiled")
    study = Study(chosen, say)
    record = {
        "stage": chosen.stage,
        "corpus": Path(chosen.corpus).stem,
        "documents": {n: len(d) for n, d in study.corpus.splits.items()},
        "cells": study.cells(),
        "command": command,
        "commit": commit(),
        "hardware": hardware(),
    }
    name = f"finetuning-{chosen.stage}-{record['corpus']}"
    write_record(chosen.out, name, record, page(record))


def cell_settings(cell: str) -> dict[str, Any]:
    """Return the dotted settings of a cell.

    Example:
        >>> cell_settings("1x64x2,loss.kind=focal")["loss.kind"]
        'focal'

    Raises:
        ConfigError: it is written otherwise.
    """
    sizes, *settings = cell.split(",")
    numbers = sizes.split("x")
    pairs = [setting.partition("=") for setting in settings if setting]
    if len(numbers) != 3 or not all(n.isdecimal() and int(n) for n in numbers):
        raise ConfigError(
            "a cell must be LAYERSxTOKENSxEPOCHS,setting=value,..., such as "
            f"3x96x4,loss.kind=focal; got {cell!r}"
        )
    for name, equals, _ in pairs:
        if not equals or "." not in name:
            raise ConfigError(
                "a cell's setting must be written as loss.kind=focal; got "
                f"{name + equals!r} in {cell!r}"
            )
    layers, tokens, epochs = map(int, numbers)
    found: dict[str, Any] = {
        "text.trained_layers": layers,
        "text.max_length": tokens,
        "training.epochs": epochs,
    }
    for name, _, value in pairs:
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def cell_config(chosen: Arguments, cell: str, own: Mapping[str, Any] = {}) -> Config:
    """Return the run of a cell, with settings of its own put over it.

    Raises:
        ConfigError: there is no such setting, or it takes no such value.
    """
    base = changed(preset("minilm-finetune"))
    base = {k: v for k, v in base.items() if not k.startswith("data.")}
    base["text.pretrained"] = chosen.encoder
    config = configuration(base, cell_settings(cell), own)
    data = source(Documents(corpus=chosen.corpus, data_dir=chosen.data_dir))
    if not data.validation:
        fraction = chosen.validation_fraction
        data = dataclasses.replace(data, validation_fraction=fraction)
    return dataclasses.replace(config, data=data)


def with_epochs(cell: str, epochs: int) -> str:
    """Return the same cell with other epochs."""
    sizes, comma, settings = cell.partition(",")
    layers, tokens, _ = sizes.split("x")
    return f"{layers}x{tokens}x{epochs}{comma}{settings}"


class Study:
    """One corpus.

    Args:
        chosen: the options.
        say: takes a line about what is going on.
    """

    def __init__(self, chosen: Arguments, say: Callable[[str], None]) -> None:
        self.chosen, self.say = chosen, say
        self.work = Path(chosen.work)
        self.store = Store(self.work, say)
        self.corpus = read_corpus(cell_config(chosen, "1x8x1").data)

    def config(self, cell: str, seed: int) -> Config:
        """The run of a cell."""
        own: dict[str, Any] = {"training.seed": seed}
        if cell_settings(cell)["text.trained_layers"] >= self.layers:
            own["text.trained_layers"] = None
        return cell_config(self.chosen, cell, own)

    @cached_property
    def layers(self) -> int:
        """How many layers the encoder has."""
        return read_shape(find_pretrained(self.chosen.encoder)).layers

    def cells(self) -> list[dict[str, Any]]:
        """Every cell of the stage, best first."""
        chosen = self.chosen
        if chosen.cells:
            names = list(chosen.cells)
        elif chosen.stage == "frontier":
            names = self._frontier()
        else:
            names = self._losses()
        found = [self.summary(name) for name in dict.fromkeys(names)]
        return sorted(found, key=lambda cell: -cell["score"])

    def _frontier(self) -> list[str]:
        left = [f"{n}x{t}x1" for n, t in itertools.product(LAYERS, TOKENS)]
        tried: list[str] = []
        for epochs in EPOCHS:
            names = self._best_first([with_epochs(cell, epochs) for cell in left])
            tried, left = tried + names, names[: -(-len(names) // 2)]
        best = self._best_first(tried)[0]
        return tried + [f"{best},{variation}" for variation in VARIATIONS]

    def _losses(self) -> list[str]:
        start, tried = self.chosen.start, []
        best = []
        for kind, constants in CONSTANTS.items():
            names = [
                ",".join(
                    filter(
                        None,
                        (
                            f"{start},loss.kind={kind}",
                            f"training.body_learning_rate={rate:g}",
                            f"training.learning_rate={HEAD_RATE * rate:g}",
                            constant,
                        ),
                    )
                )
                for rate, constant in itertools.product(RATES, constants)
            ]
            names = self._best_first(names)
            tried += names
            best.append(names[0])
        epochs = 2 * cell_settings(start)["training.epochs"]
        return tried + [with_epochs(cell, epochs) for cell in best]

    def _best_first(self, names: Sequence[str]) -> list[str]:
        return sorted(names, key=lambda name: -self.summary(name)["score"])

    def summary(self, cell: str) -> dict[str, Any]:
        """The numbers of a cell over its seeds."""
        parts = [self.run(cell, seed) for seed in range(self.chosen.seeds)]
        runs = [json.loads(str(part["about"])) for part in parts]
        validation = [json.loads(str(part["validation"])) for part in parts]
        score = [list(one["mean_f1"].values()) for one in validation]
        found: dict[str, Any] = {
            "cell": cell,
            "command": train_command(self.public(cell)),
            "score": float(np.mean(score)),
            "validation": validation,
            "runs": runs,
            "cpu_seconds": float(np.mean([run["cpu_seconds"] for run in runs])),
        }
        if self.chosen.stage == "presets":
            found["test"] = [self.test(cell, n) for n in range(self.chosen.seeds)]
        return found

    def public(self, cell: str) -> Config:
        """The run of a cell, without the folders of this machine."""
        config = self.config(cell, 0)
        files: dict[str, Any] = {
            name: "/".join(Path(getattr(config.data, name)).parts[-2:])
            for name in ("data", "validation", "test", "taxonomy")
        }
        data = dataclasses.replace(config.data, data_dir="", **files)
        return dataclasses.replace(config, data=data)

    def place(self, cell: str, seed: int) -> tuple[Path, dict[str, Any]]:
        """The work directory of a run, and what it is known by."""
        settings = to_dict(self.config(cell, seed))
        settings["data"] = to_dict(self.public(cell).data)
        settings.pop("threshold")
        sizes = [len(d) for d in self.corpus.splits.values()]
        identity = {"finetuning": settings, "sizes": sizes}
        text = json.dumps(identity, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.work / "runs" / key, identity

    def run(self, cell: str, seed: int) -> Part:
        """The validation documents of a run, trained if it is not there yet."""
        path, identity = self.place(cell, seed)

        def train() -> Part:
            # Validation alone: the test split is not even there.
            known = dataclasses.replace(self.corpus, test=())
            cost = path.with_suffix(".cost.json")
            spent = json.loads(cost.read_text()) if cost.is_file() else 0.0
            before = time.process_time()
            try:
                config = self.config(cell, seed)
                results = fit(config, path, corpus=known, progress=False, say=self.say)
            finally:
                spent += time.process_time() - before
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole(cost) as unfinished:
                    unfinished.write_text(json.dumps(spent))
            about = {
                "seed": seed,
                "cpu_seconds": round(spent, 1),
                "wall_seconds": results["training"]["seconds"],
                "parameters": results["parameters"],
                "best_step": results["training"]["best_step"],
                "steps": results["training"]["steps"],
            }
            return {
                "about": np.asarray(json.dumps(about)),
                "validation": np.asarray(json.dumps(on_validation(path, known))),
            }

        return self.store.part(f"{cell}, seed {seed}", identity, train)

    def test(self, cell: str, seed: int) -> dict[str, Any]:
        """Metrics of the test documents, by every rule; they are read once."""
        path, identity = self.place(cell, seed)

        def score() -> Part:
            model = load_model(path)
            validation, test = (
                scored(model, split)
                for split in (self.corpus.validation, self.corpus.test)
            )
            rules = {f"auto, by {m}": d for m, d in decisions(path, validation).items()}
            rules["at 0.5"] = at_half(test.labels)
            found = {}
            for name, rule in rules.items():
                decided = np.asarray(test.decide(rule).decided)
                scores, truth, known = test.probabilities, test.targets, test.known
                metrics = evaluate_scores(
                    scores, truth, predictions=decided, target_mask=known
                )
                found[name] = {metric: metrics[metric] for metric in METRICS}
            return {"test": np.asarray(json.dumps(found))}

        identity = identity | {"of": "test"}
        part = self.store.part(f"{cell}, seed {seed}, test", identity, score)
        return dict(json.loads(str(part["test"])))


def scored(model: Model, documents: Sequence[Document]) -> Predictions:
    """Return a model's probabilities of all labels, with the truth."""
    encoded, scores = model.score_documents(documents)
    examples = encoded.examples
    return Predictions.of_all(scores, examples.multi_hot, examples.target_mask)


def decisions(path: Path, validation: Predictions) -> dict[str, Decision]:
    """Return the best decision by each metric of `RULES`."""
    counts = Workdir.existing(path).label_graph().counts
    return {
        metric: choose_decision(ThresholdConfig(metric=metric), validation, counts)
        for metric in RULES
    }


def on_validation(path: Path, corpus: Corpus) -> dict[str, dict[str, float]]:
    """Return F1 of validation documents, decided by what was fitted on others."""
    found = {}
    validation = scored(load_model(path), corpus.validation)
    for metric, rule in decisions(path, validation).items():
        name = rule.kind + AT_LEAST_ONE * rule.at_least_one
        report = rule.fit["cross_fitted"][name]
        found[metric] = {m: report[m] for m in ("micro_f1", "macro_f1")}
    return found


def pareto(cells: Sequence[dict[str, Any]]) -> list[str]:
    """Return the cells that no other beats in score for the same cost or less.

    Example:
        >>> cost = [("a", 1, 0.6), ("b", 2, 0.5), ("c", 3, 0.7)]
        >>> pareto([{"cell": c, "cpu_seconds": s, "score": x} for c, s, x in cost])
        ['a', 'c']
    """
    found, best = [], -np.inf
    for cell in sorted(cells, key=lambda c: (c["cpu_seconds"], -c["score"])):
        if cell["score"] > best:
            found.append(cell["cell"])
            best = cell["score"]
    return found


def page(record: dict[str, Any]) -> str:
    """The table as Markdown."""
    documents, cells = record["documents"], record["cells"]
    best = pareto(cells)
    lines = [
        f"# Fine-tuning, {record['stage']}: {record['corpus']}",
        "",
        f"`{record['command']}`, {record['hardware']}, commit {record['commit']}.",
        "",
        f"{documents['train']:,} training, {documents['validation']:,} validation and "
        f"{documents['test']:,} test documents. F1 x 100. Validation: decided by what "
        "was fitted on other validation documents, chosen by micro-F1 / by the mean of "
        "micro- and macro-F1 (over labels with positives there). CPU minutes are of "
        "all cores, with the encoding of frozen layers where this run made it.",
        "",
    ]
    header = ["cell", "CPU minutes", "micro", "macro", "micro (mean)", "macro (mean)"]
    tested = list(cells[0]["test"][0]) if "test" in cells[0] else []
    header += [f"test {m}, {rule}" for rule in tested for m in ("micro", "macro")]
    table = []
    for cell in cells:
        row = [
            f"`{cell['cell']}`" + " *" * (cell["cell"] in best),
            f"{cell['cpu_seconds'] / 60:.1f}",
        ]
        parts = [("validation", rule) for rule in RULES]
        parts += [("test", rule) for rule in tested]
        for (part, rule), metric in itertools.product(parts, ("micro_f1", "macro_f1")):
            row.append(_shown([one[rule][metric] for one in cell[part]]))
        table.append(row)
    lines += markdown_table(header, table).splitlines()
    lines += ["", "\\*: no cell scores more (mean of the last two) for less.", ""]
    lines += [f"- {cell['cell']}: `{cell['command']}`" for cell in cells]
    return "\n".join([*lines, ""])


def _shown(values: Sequence[float]) -> str:
    """Mean and standard deviation, x 100."""
    mean = f"{100 * np.mean(values):.1f}"
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return mean + spread


if __name__ == "__main__":
    raise SystemExit(main())
