"""Verbs that make a model: train, ensemble, memory."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated

import tyro

from labelgraph_jax.cli.errors import in_one_line
from labelgraph_jax.cli.interrupts import AFTER, AT_ONCE, interrupts
from labelgraph_jax.cli.options import Data, FinishedRun, Flag, Json, Quiet
from labelgraph_jax.cli.output import remarks, say, show, silent, write
from labelgraph_jax.config import (
    Config,
    DataConfig,
    GraphConfig,
    HeadConfig,
    LossConfig,
    MemoryConfig,
    MixtureConfig,
    TableConfig,
    TextConfig,
    ThresholdConfig,
    TrainingConfig,
)
from labelgraph_jax.config.run import RunConfig

DEFAULT_WORKDIR = "workdirs/default"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train on labelled texts or on a table, evaluate on the test split, save it.

    Without options: the embedded corpus `stdlib_docs`, under three minutes on two
    CPU cores. The same command in the same work directory resumes; with more epochs it
    goes on after a run has finished.

    Examples:
      labelgraph train
      labelgraph train train.jsonl --workdir runs/mine --baseline --epochs 30
      labelgraph train --corpus reuters21578 --preset minilm-finetune --workdir runs/r
      labelgraph train --graph.layers 0 --workdir runs/no-graph
      labelgraph train new.jsonl --from runs/mine --workdir runs/more
      labelgraph train --data clicks.parquet --task click=binary --task rating=squared
    """

    workdir: str = DEFAULT_WORKDIR
    """Where checkpoints, metrics and results go; created if absent."""
    preset: str = ""
    """Start from a named configuration; `labelgraph config --list` prints them."""
    config: str = ""
    """Start from a JSON configuration, such as another run's config.json."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Work directory of a run whose parameters this one begins with, as far as they
    fit: labels by name, its tokenizer, of a table its columns and tasks."""
    baseline: Flag = False
    """Also train TF-IDF + one-vs-rest linear SVM on the same split; on a table a linear
    model and gradient boosting per target."""
    json: Json = False
    quiet: Quiet = False
    report: bool = True
    """Write report.html at the end, as `labelgraph report` does."""
    data: Data = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    table: TableConfig = field(default_factory=TableConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)

    def execute(self) -> int:
        """Train, print the results, and write the report."""
        from labelgraph_jax.cli.results import print_results
        from labelgraph_jax.runs.fit import fit
        from labelgraph_jax.training.hosts import is_first

        # Until the run itself has both signals, and between its two parts.
        interrupts.where = AT_ONCE
        sections = {part.name: getattr(self, part.name) for part in fields(Config)}
        results = fit(
            Config(**sections),
            self.workdir,
            baseline=self.baseline,
            progress=not (self.quiet or self.json),
            say=remarks(self.quiet),
            run=self.run,
            start=self.start or None,
        )
        interrupts.where = AFTER
        if not is_first():
            return 0
        show(self, results, print_results, workdir=self.workdir)
        if self.report:
            told = say if self.json else write
            _report_at_the_end(self.workdir, silent if self.quiet else told)
        return 0


def _report_at_the_end(workdir: str, tell: Callable[[str], None]) -> None:
    """Write the report of a run that has just finished, where there is none yet; that
    this fails is a warning: the training has not."""
    import jax

    from labelgraph_jax.inspection.report import has_report, write_report
    from labelgraph_jax.training.signals import (
        StoppedError,
        StopRequestedError,
        stop_on_signals,
    )

    if jax.process_count() > 1:
        # The checkpoint is read by all processes together or by one alone.
        tell(f"For a report: labelgraph report {workdir}")
        return
    with stop_on_signals() as stop:
        try:
            with stop.during():
                if not has_report(workdir):
                    write_report(workdir)
            tell(f"Report: {workdir}/report.html")
        except StopRequestedError:
            raise StoppedError(
                stop.by,
                f"{AFTER} with its results, before its report was written: "
                f"`labelgraph report {shlex.quote(workdir)}` writes it",
            ) from None
        except Exception as error:
            why = in_one_line(error, ())[1]
            say(f"labelgraph: warning: no report was written: {why}")


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Join finished runs into one model: their logits, weighed on validation.

    The runs must have the same labels, documents and split. What comes out is a work
    directory like any other.

    Example:
      labelgraph ensemble runs/both runs/finetuned runs/bag
    """

    workdir: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="WORKDIR")]]
    """Where the ensemble goes; absent or empty."""
    runs: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN RUN [RUN ...]")]
    ]
    """Work directories of finished runs, two or more."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Join the runs, and print the results of the ensemble."""
        from labelgraph_jax.cli.results import print_results
        from labelgraph_jax.runs.ensemble import make_ensemble

        results = make_ensemble(self.runs, self.workdir, say=remarks(self.quiet))
        return show(self, results, print_results, workdir=self.workdir)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Put a memory beside a finished run's classifier: no training is done.

    Its weights are chosen and the thresholds fitted again on validation documents, and
    the test split is measured again. `train --memory.kind pretrained` does it at once.

    Examples:
      labelgraph memory runs/mine
      labelgraph memory runs/mine --memory.kind documents
      labelgraph memory runs/mine --memory.kind none
    """

    workdir: FinishedRun
    memory: MemoryConfig = field(
        default_factory=lambda: MemoryConfig(kind="pretrained")
    )
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Make the memory, and print the results with it."""
        from labelgraph_jax.cli.results import print_results
        from labelgraph_jax.runs.added_labels import make_memory

        results = make_memory(self.workdir, self.memory, say=remarks(self.quiet))
        return show(self, results, print_results, workdir=self.workdir)
