"""A zoo of finished runs: each kind is trained once, however many processes test.

Tests read these directories and leave them as they are; one that writes takes a copy.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from filelock import FileLock

from labelgraph_jax.cli.app import run as command
from labelgraph_jax.config import (
    Config,
    DataConfig,
    HeadConfig,
    MemoryConfig,
    MixtureConfig,
    ThresholdConfig,
    to_dict,
)
from labelgraph_jax.runs.ensemble import make_ensemble
from labelgraph_jax.runs.fit import fit
from tests.inspection.report.nasty import write_nasty
from tests.tiny import LABELS, tiny_config, write_corpus, write_tiny_bert
from tests.tiny_sets import write_sets
from tests.tiny_table import TASKS, made_rows, write_rows

TAXONOMY = "Root\tcrops\tship\ncrops\tgrain\ngrain\tcorn\twheat\n"
MMOE = MixtureConfig(kind="mmoe", experts=3, hidden=(6,))
FIXED_SAY = {
    "weight": 0.5,
    "share": 0.5,
    "temperature": 0.1,
    "label_temperature": 0.1,
}
"""A memory whose say is given and not chosen."""


def splits_in(folder: Path) -> DataConfig:
    """The settings of three files that were written before."""
    names = ("data", "validation", "test")
    return DataConfig(**{name: str(folder / f"{name}.jsonl") for name in names})


class Zoo:
    """Finished runs by name, in a folder that all processes of a test run share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def __call__(self, name: str) -> Path:
        """The work directory of a finished run; to be read only."""
        return RUNS[name](self)

    def copy(self, name: str, folder: Path) -> Path:
        """A copy of a run, in a folder that does not exist yet, to be changed."""
        return Path(shutil.copytree(self(name), folder))

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, filled by whoever asks for it first."""
        folder = self.folder / name
        finished = self.folder / f"{name}.finished"
        with FileLock(str(self.folder / f"{name}.lock")):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                finished.touch()
        return folder

    def trained(self, name: str, config: Config, *, baseline: bool = False) -> Path:
        """The work directory of a run with these settings."""
        settings = json.dumps([to_dict(config.resolved()), baseline], sort_keys=True)
        key = hashlib.sha256(settings.encode()).hexdigest()[:8]

        def train(folder: Path) -> None:
            fit(config, folder / "run", baseline=baseline, progress=False)

        return self.made(f"{name}-{key}", train) / "run"

    @property
    def data(self) -> DataConfig:
        """48, 16 and 24 documents with five labels."""
        return splits_in(self.made("data", write_corpus))

    @property
    def bert(self) -> Path:
        """A pretrained encoder of two layers."""
        folder = self.made("encoder", lambda folder: write_tiny_bert(folder / "bert"))
        return folder / "bert"

    @property
    def sets(self) -> DataConfig:
        """Two label sets; nobody annotated trade in validation."""
        write = partial(write_sets, validation="trade")
        return dataclasses.replace(splits_in(self.made("sets", write)), task="all")

    @property
    def both_sets(self) -> DataConfig:
        """Two label sets, annotated in every split."""
        both = splits_in(self.made("both_sets", write_sets))
        return dataclasses.replace(both, task="all")

    @property
    def nasty(self) -> DataConfig:
        """Documents and a label that would like to be markup."""
        return splits_in(self.made("nasty", write_nasty))

    @property
    def table(self) -> Path:
        """240 rows of five tasks."""

        def write(folder: Path) -> None:
            write_rows(folder / "rows.csv", made_rows(240, 0))

        return self.made("rows", write) / "rows.csv"


def bag(zoo: Zoo) -> Path:
    """A bag of words with a label graph, trained until it knows the corpus."""
    config = tiny_config(zoo.data, training={"epochs": 6, "batch_size": 8})
    return zoo.trained("bag", config)


def plain(zoo: Zoo) -> Path:
    """A second run on the same documents, without a graph."""
    config = tiny_config(zoo.data, graph={"layers": 0}, training={"seed": 1})
    return zoo.trained("plain", config)


def ensemble(zoo: Zoo) -> Path:
    """The bag and the plain run as one, whose members' own directories are gone."""

    def join(folder: Path) -> None:
        copies = [zoo.copy(name, folder / name) for name in ("bag", "plain")]
        made = make_ensemble(copies, folder / "run")
        (folder / "returned.json").write_text(json.dumps(made), encoding="utf-8")
        for copy in copies:
            shutil.rmtree(copy)

    return zoo.made("ensemble", join) / "run"


def memory(zoo: Zoo) -> Path:
    """A run whose memory has half the say."""
    config = tiny_config(zoo.data, training={"epochs": 4, "batch_size": 8})
    remember = MemoryConfig(
        kind="pretrained", pretrained=str(zoo.bert), neighbours=8, **FIXED_SAY
    )
    return zoo.trained("memory", dataclasses.replace(config, memory=remember))


def taxonomy(zoo: Zoo) -> Path:
    """A run with a taxonomy file that is gone by now."""

    def train(folder: Path) -> None:
        path = folder / "taxonomy.tsv"
        path.write_text(TAXONOMY, encoding="utf-8")
        config = tiny_config(
            dataclasses.replace(zoo.data, taxonomy=str(path)),
            graph={"initialisation": "taxonomy"},
        )
        rule = ThresholdConfig(consistent=True)
        config = dataclasses.replace(config, threshold=rule)
        fit(config, folder / "run", progress=False)
        path.unlink()

    return zoo.made("taxonomy", train) / "run"


def sets(zoo: Zoo) -> Path:
    """A run over two label sets."""
    config = tiny_config(zoo.sets, training={"epochs": 4, "batch_size": 8})
    return zoo.trained("sets", config)


def mixture(zoo: Zoo) -> Path:
    """A mixture of experts over two label sets."""
    config = tiny_config(zoo.both_sets, training={"epochs": 4, "batch_size": 8})
    return zoo.trained("mixture", dataclasses.replace(config, mixture=MMOE))


def chunks(zoo: Zoo, label_chunk: int = 2) -> Path:
    """A run over a sparse graph whose labels are scored two at a time."""
    config = tiny_config(zoo.data, graph={"method": "sparse"})
    head = HeadConfig(label_chunk=label_chunk, kept_labels=len(LABELS))
    rule = dataclasses.replace(config.threshold, kind="half")
    config = dataclasses.replace(config, head=head, threshold=rule)
    return zoo.trained("chunks" if label_chunk else "whole", config)


def report(zoo: Zoo) -> Path:
    """A run with a learned graph over nasty documents, and a baseline beside it."""
    config = tiny_config(zoo.nasty, training={"epochs": 3, "batch_size": 8})
    return zoo.trained("report", config, baseline=True)


def table(zoo: Zoo) -> Path:
    """A run over a table, from the command line; what it printed lies beside it."""

    def train(folder: Path) -> None:
        settings = (
            "--table.dim 4 --table.min-count 1 --mixture.experts 2 --mixture.hidden 8 "
            "--training.epochs 4 --training.learning-rate 0.04 --mixture.towers"
        )
        tasks = [f"--task={task}" for task in TASKS[1:]]
        given = ["train", "--data", str(zoo.table), "--workdir", str(folder / "run")]
        given += ["--no-report", "--task", TASKS[0], *tasks, *settings.split()]
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as error,
        ):
            assert command(given) == 0, error.getvalue()
        for name, stream in (("out", out), ("error", error)):
            (folder / f"{name}.txt").write_text(stream.getvalue(), encoding="utf-8")

    return zoo.made("table", train) / "run"


RUNS: dict[str, Callable[[Zoo], Path]] = {
    "bag": bag,
    "chunks": chunks,
    "ensemble": ensemble,
    "memory": memory,
    "mixture": mixture,
    "plain": plain,
    "report": report,
    "sets": sets,
    "table": table,
    "taxonomy": taxonomy,
    "whole": partial(chunks, label_chunk=0),
}
