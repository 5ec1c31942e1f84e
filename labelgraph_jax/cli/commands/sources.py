"""Verbs about labels from elsewhere: agree, weak."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from labelgraph_jax.cli.options import Flag, Json, Quiet, Reading
from labelgraph_jax.cli.output import show, tell
from labelgraph_jax.config import ConfigError, ReadingConfig
from labelgraph_jax.config.wording import counted


@dataclass(frozen=True, kw_only=True)
class Agree:
    """Tell how far annotators agree: people, rules or language models.

    Each file holds what one of them said; documents are matched by their ids, and one
    that an annotator lacks is missing.

    Examples:
      labelgraph agree anna.jsonl ben.jsonl
      labelgraph agree anna.jsonl ben.jsonl model.jsonl --json
    """

    files: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE FILE [FILE ...]")]
    ]
    """Files of labelled documents, one of each annotator."""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False

    def execute(self) -> int:
        """Print kappas, alpha and F1, with intervals."""
        from labelgraph_jax.cli.sources import print_agreement
        from labelgraph_jax.runs.agree import agree, read_annotator

        if len(self.files) < 2:
            raise ConfigError(
                "agree needs the files of at least two annotators, got "
                f"{', '.join(self.files)}"
            )
        annotators = [read_annotator(path, self.reading) for path in self.files]
        return show(self, agree(annotators, names=self.files), print_agreement)


@dataclass(frozen=True, kw_only=True)
class Weak:
    """Label raw texts by rules, by the names of labels, or by a model.

    What is written is read by `labelgraph train`: labels, their probabilities, and what
    nothing is known of.

    Examples:
      labelgraph weak rules.jsonl raw.jsonl --out weak.jsonl --labelled mine.jsonl
      labelgraph weak names.tsv raw.jsonl --out weak.jsonl
      labelgraph weak runs/mine raw.jsonl --out relabelled.jsonl
      labelgraph weak runs/both mine.jsonl --mix 0.5 --out soft.jsonl
    """

    rules: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RULES")]]
    """JSONL of rules; names of labels, as `labels add` takes them; a .py file, with
    --allow-python; or the work directory of a model, which labels anew."""
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """Texts, labelled or not; their labels are read with --mix alone."""
    out: str
    """Output file: .jsonl, .jsonl.gz or .jsonl.xz."""
    labelled: str = ""
    """Labelled documents that rules are judged on; nothing is fitted to them."""
    votes: Literal["majority", "em"] = "majority"
    """Way to turn votes into probabilities: em fits each function's reliability."""
    mix: float | None = None
    """RULES a model: weight of its probabilities against the labels that the texts
    have, 0 to 1; a smaller model learns from the mixture what an ensemble knows."""
    allow_python: Flag = False
    """Execute RULES where it is a .py file."""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Label the texts, write them, and print what each function does."""
        from labelgraph_jax.cli.sources import print_weak
        from labelgraph_jax.data.labels.labelling_functions import read_rules
        from labelgraph_jax.data.readers.texts import read_files, read_texts
        from labelgraph_jax.data.readers.writers import write_jsonl
        from labelgraph_jax.runs.weak import check_out, label_by_votes

        check_out(self.out, self.rules, self.file, self.labelled)
        if self.mix is not None and not Path(self.rules).is_dir():
            raise ConfigError(
                f"--mix mixes labels with a model's: RULES must be a run, got "
                f"{self.rules}"
            )
        if Path(self.rules).is_dir():
            return self._execute_by_model()
        cast = read_rules(self.rules, allow_python=self.allow_python)
        documents = read_texts(self.file, options=self.reading)
        labelled = []
        if self.labelled:
            found = read_files([Path(self.labelled)], self.reading)[0]
            labelled = [document for document in found if document.labelled]
        written, report = label_by_votes(
            cast, documents, method=self.votes, labelled=labelled
        )
        write_jsonl(written, self.out)
        return show(self, report, print_weak, out=self.out)

    def _execute_by_model(self) -> int:
        from labelgraph_jax.data.readers.texts import read_files, read_texts
        from labelgraph_jax.data.readers.writers import write_jsonl
        from labelgraph_jax.predictors.model import Model
        from labelgraph_jax.runs.restore import load
        from labelgraph_jax.runs.weak import label_by_model, mix_labels

        if self.labelled or self.votes != "majority":
            raise ConfigError(
                "--labelled and --votes are of rules; `labelgraph evaluate` measures "
                f"{self.rules}"
            )
        model = load(self.rules)
        if not isinstance(model, Model):
            raise ConfigError(f"{self.rules}: must be a run that labels texts")
        if self.mix is not None:
            labelled = read_files([Path(self.file)], self.reading)[0]
            written = mix_labels(model, labelled, self.mix)
        else:
            texts = read_texts(self.file, options=self.reading)
            written = label_by_model(model, texts)
        write_jsonl(written, self.out)
        return tell(
            self,
            {"documents": len(written), "out": self.out},
            f"{counted(len(written), 'document')} labelled by {self.rules}, written to "
            f"{self.out}",
        )
