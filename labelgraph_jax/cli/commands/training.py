"""Verbs that make a model: train, ensemble, memory, distil."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated

import tyro

from labelgraph_jax.cli.errors import in_one_line
from labelgraph_jax.cli.interrupts import AFTER, AT_ONCE, interrupts
from labelgraph_jax.cli.options import Data, FinishedRun, Flag, Json, Quiet, Reading
from labelgraph_jax.cli.output import remarks, say, show, silent, tell, write
from labelgraph_jax.config import (
    AdaptConfig,
    Config,
    DataConfig,
    GraphConfig,
    HeadConfig,
    HierarchyConfig,
    LossConfig,
    MemoryConfig,
    MixtureConfig,
    ReadingConfig,
    RulesConfig,
    SemiConfig,
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
      labelgraph train --data mine.jsonl --unlabelled raw.jsonl
      labelgraph train --data old.jsonl --target new.jsonl --workdir runs/adapted
      labelgraph train --data clicks.parquet --task click=binary --task rating=squared
    """

    workdir: str = DEFAULT_WORKDIR
    """Directory for checkpoints, metrics and results; created if absent."""
    preset: str = ""
    """Start from a named configuration; `labelgraph config list` prints them."""
    config: str = ""
    """Start from a file of settings, JSON or .toml, such as another run's config.json.
    """
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
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    rules: RulesConfig = field(default_factory=RulesConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    semi: SemiConfig = field(default_factory=SemiConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)

    def settings(self) -> Config:
        """The configuration of the run."""
        return Config(
            **{part.name: getattr(self, part.name) for part in fields(Config)}
        )

    def execute(self) -> int:
        """Train, print the results, and write the report."""
        from labelgraph_jax.cli.results import print_results
        from labelgraph_jax.runs.fit import fit
        from labelgraph_jax.training.hosts import is_first

        # Until the run itself has both signals, and between its two parts.
        interrupts.where = AT_ONCE
        results = fit(
            self.settings(),
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
    """Write the report of a run that has just finished, where there is none yet.

    That this fails is a warning: the training has not.
    """
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
    """Directory for the ensemble; absent or empty."""
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


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Make a static encoder: a lookup that imitates a pretrained encoder on your texts.

    The texts need no labels. `train --text.vectors static --text.pretrained FOLDER`
    reads documents with it, `memory --memory.pretrained FOLDER` compares them by it:
    no transformer, no GPU. Where the labelled texts are all there are, `train
    --preset fast-contextual` does both at once.

    Examples:
      labelgraph distil minilm --texts raw.jsonl --out static/mine
      labelgraph distil minilm --texts raw.txt --out static/mine --dim 384
    """

    encoder: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENCODER")]]
    """The pretrained encoder: local folder, installed package (minilm), or hub id."""
    texts: str
    """Texts like those to be read later, in any format that `predict` reads; - is
    standard input."""
    out: str
    """Folder for table, tokenizer and settings; absent or empty."""
    reading: Reading = field(default_factory=ReadingConfig)
    max_length: int = 128
    """Tokens that the pretrained encoder reads of a text."""
    dim: int = 256
    """Numbers in a vector at most; fewer than the encoder's are the principal ones."""
    validation_share: float = 0.1
    """Share of the texts that are held out to choose how far the table may go from its
    start, 2,000 at most."""
    seed: int = 0
    """Seed of the choice of held-out texts."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Make the encoder, and say how well it imitates."""
        from pathlib import Path

        from labelgraph_jax.data.readers.texts import read_texts
        from labelgraph_jax.runs.distil import Distillation, distil_to, require_free

        how = Distillation(
            max_length=self.max_length,
            dim=self.dim,
            validation_share=self.validation_share,
            seed=self.seed,
        )
        folder, told = Path(self.out), remarks(self.quiet or self.json)
        require_free(folder)
        documents = read_texts(self.texts, options=self.reading, say=told)
        made = distil_to(
            self.encoder, [d.text for d in documents], folder, how, say=told
        )
        size = sum(path.stat().st_size for path in folder.iterdir())
        cosine = made.about["cosine"]
        sentence = (
            f"{self.out}: {made.about['vocabulary_size']:,} tokens of "
            f"{made.about['dim']} numbers, {size / 2**20:.1f} MiB; cosine to "
            f"{self.encoder} on {made.about['held_out_texts']:,} texts held out: "
            f"{cosine['start']:.3f} at the start, {cosine['fitted']:.3f} fitted"
        )
        return tell(self, made.about, sentence)
