"""Verbs about a language model elsewhere: taxonomy ..., pseudo ...

They write prompts and read answers; none of them calls a model or opens a connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import Json, Quiet, Reading
from labelgraph_jax.cli.output import say, show, tell
from labelgraph_jax.config import ConfigError, ReadingConfig
from labelgraph_jax.config.wording import counted

Texts = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TEXTS")]]
Labels = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="LABELS")]]
Answers = tyro.conf.Positional[
    Annotated[tuple[str, ...], tyro.conf.arg(metavar="ANSWERS [ANSWERS ...]")]
]
Model = Annotated[
    str, tyro.conf.arg(help="Named in every request; none where it is empty.")
]
Most = Annotated[int, tyro.conf.arg(help="Labels that are asked for, at most.")]
Batch = Annotated[int, tyro.conf.arg(help="Texts of a prompt.")]
Out = Annotated[str, tyro.conf.arg(help="Folder of the prompts; it is made.")]


@dataclass(frozen=True, kw_only=True)
class TaxonomyPropose:
    """Write prompts that ask a language model elsewhere what labels texts carry.

    Example:
      labelgraph taxonomy propose raw.jsonl --out prompts
    """

    texts: Texts
    out: Out
    most: Most = 30
    batch: Batch = 200
    model: Model = ""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the prompts."""
        from labelgraph_jax.data.labels.prompts import propose
        from labelgraph_jax.data.readers.texts import read_texts

        _check_counts(self.most, self.batch)
        documents = read_texts(self.texts, options=self.reading)
        return _write(self, propose(documents, most=self.most, batch=self.batch))


@dataclass(frozen=True, kw_only=True)
class TaxonomyUpdate:
    """Write prompts that ask to fit labels to further texts.

    Example:
      labelgraph taxonomy update labels.jsonl more.jsonl --out prompts-2
    """

    labels: Labels
    """Labels so far, as `labels add` takes them."""
    texts: Texts
    out: Out
    most: Most = 30
    batch: Batch = 200
    model: Model = ""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the prompts."""
        from labelgraph_jax.data.labels.new_labels import read_new_labels
        from labelgraph_jax.data.labels.prompts import update
        from labelgraph_jax.data.readers.texts import read_texts

        _check_counts(self.most, self.batch)
        labels = read_new_labels(self.labels)
        documents = read_texts(self.texts, options=self.reading)
        return _write(self, update(labels, documents, most=self.most, batch=self.batch))


@dataclass(frozen=True, kw_only=True)
class TaxonomyReview:
    """Write the prompt that asks to tidy labels up.

    Example:
      labelgraph taxonomy review labels.jsonl --out prompts-3
    """

    labels: Labels
    """Labels so far, as `labels add` takes them."""
    out: Out
    most: Most = 30
    model: Model = ""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the prompt."""
        from labelgraph_jax.data.labels.new_labels import read_new_labels
        from labelgraph_jax.data.labels.prompts import review

        _check_counts(self.most)
        return _write(self, review(read_new_labels(self.labels), most=self.most))


@dataclass(frozen=True, kw_only=True)
class TaxonomyRead:
    """Read the labels that a language model answered, strictly.

    Every answer that is not as it must be is named; then nothing is written, unless
    --good-alone asks for the others.

    Example:
      labelgraph taxonomy read answers.jsonl --out labels.jsonl
    """

    answers: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ANSWERS")]]
    """JSONL of custom_id and answer, or what batch services write."""
    out: str
    """JSONL of names and descriptions, as `weak` and `labels add` take it."""
    before: str = ""
    """Labels before: what was added, dropped or renamed is told."""
    good_alone: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write what is right, whatever is wrong."""
    json: Json = False

    def execute(self) -> int:
        """Read the answers, write the labels, and print what became of them."""
        from labelgraph_jax.cli.sources import print_taxonomy
        from labelgraph_jax.data.labels.new_labels import read_new_labels
        from labelgraph_jax.runs.pseudo import read_taxonomy, write_labels

        _check_labels_out(self.out)
        before = read_new_labels(self.before) if self.before else []
        labels, report, problems = read_taxonomy(self.answers, before)
        if not _tell_problems(problems, good_alone=self.good_alone and bool(labels)):
            return 2
        write_labels(labels, self.out)
        return show(self, report, print_taxonomy, out=self.out)


@dataclass(frozen=True, kw_only=True)
class PseudoWrite:
    """Write a prompt for each text that asks a language model elsewhere for its labels.

    Example:
      labelgraph pseudo write raw.jsonl labels.jsonl --out asked
    """

    texts: Texts
    labels: Labels
    """JSONL of names and descriptions, as `labels add` takes it."""
    out: Out
    model: Model = ""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the prompts."""
        from labelgraph_jax.data.labels.new_labels import read_new_labels
        from labelgraph_jax.data.labels.prompts import ask_labels
        from labelgraph_jax.data.readers.texts import read_texts

        labels = read_new_labels(self.labels)
        documents = read_texts(self.texts, options=self.reading)
        return _write(self, ask_labels(labels, documents))


@dataclass(frozen=True, kw_only=True)
class PseudoRead:
    """Read the labels of texts that a language model answered, strictly.

    Of several runs, a file of answers each, the share that gives a label is its
    probability. What is written is read by `labelgraph train`.

    Example:
      labelgraph pseudo read raw.jsonl labels.jsonl run-1.jsonl --out pseudo.jsonl
    """

    texts: Texts
    """The file that the prompts were written for."""
    labels: Labels
    """The labels that they named."""
    answers: Answers
    """JSONL of custom_id and answer, or what batch services write; one file a run."""
    out: str
    """Output file: .jsonl, .jsonl.gz or .jsonl.xz."""
    good_alone: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write what is right, whatever is wrong."""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False

    def execute(self) -> int:
        """Read the answers, write the documents, and print what they hold."""
        from labelgraph_jax.cli.sources import print_pseudo
        from labelgraph_jax.data.labels.new_labels import read_new_labels
        from labelgraph_jax.data.readers.texts import read_texts
        from labelgraph_jax.data.readers.writers import write_jsonl
        from labelgraph_jax.runs.pseudo import read_pseudo_labels
        from labelgraph_jax.runs.weak import check_out

        check_out(self.out, self.texts, self.labels, *self.answers)
        if not self.answers:
            raise ConfigError("pseudo read needs a file of answers, got none")
        labels = read_new_labels(self.labels)
        documents = read_texts(self.texts, options=self.reading)
        written, report, problems = read_pseudo_labels(self.answers, documents, labels)
        if not _tell_problems(problems, good_alone=self.good_alone and bool(written)):
            return 2
        write_jsonl(written, self.out)
        return show(self, report, print_pseudo, out=self.out)


def _write(
    verb: TaxonomyPropose | TaxonomyUpdate | TaxonomyReview | PseudoWrite,
    prompts: Sequence[object],
) -> int:
    from labelgraph_jax.data.labels.prompts import write_prompts

    written = write_prompts(prompts, verb.out, model=verb.model)  # type: ignore[arg-type]
    return tell(
        verb,
        {"prompts": len(prompts), "files": [str(path) for path in written]},
        f"{counted(len(prompts), 'prompt')} written to {verb.out}; answers are read "
        "from JSONL of custom_id and answer",
    )


def _tell_problems(problems: Sequence[ValueError], *, good_alone: bool) -> bool:
    """Name every problem; whether what is right may be written."""
    for problem in problems:
        say(f"labelgraph: {problem}")
    if problems and not good_alone:
        wrong = counted(len(problems), "problem")
        say(f"labelgraph: error: {wrong}, nothing is written; --good-alone leaves them")
    return good_alone or not problems


def _check_counts(*counts: int) -> None:
    if min(counts) < 1:
        raise ConfigError(f"--most and --batch must be at least 1, got {min(counts)}")


def _check_labels_out(path: str) -> None:
    if Path(path).suffix != ".jsonl":
        raise ConfigError(f"--out must end in .jsonl, got {path!r}")
