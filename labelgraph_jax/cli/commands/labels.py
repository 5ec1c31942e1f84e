"""Verbs about labels that training never saw: labels add, list, remove; discover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from labelgraph_jax.cli.options import File, FinishedRun, Flag, Json, Quiet, Reading
from labelgraph_jax.cli.output import show, tell, write
from labelgraph_jax.config import ConfigError, ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.terminal import visible

if TYPE_CHECKING:
    from labelgraph_jax.runs.added_labels import LabelRow


@dataclass(frozen=True, kw_only=True)
class LabelsAdd:
    """Add labels that training never saw; they are known by their text.

    Examples:
      labelgraph labels add runs/mine new.jsonl
      labelgraph labels add runs/mine --label whaling --description "Hunting of whales"
    """

    workdir: FinishedRun
    file: File = ""
    """JSONL {"name", "description", "parents"}, or TSV name<TAB>description."""
    label: str = ""
    """The name of one label, in place of a file."""
    description: str = ""
    """Description of the label's meaning."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Add the labels, and say how many there are now."""
        from labelgraph_jax.data.labels.new_labels import (
            NewLabel,
            check_name,
            read_new_labels,
        )
        from labelgraph_jax.runs.added_labels import add_labels

        if bool(self.file) == bool(self.label):
            raise ConfigError(
                "name a FILE of labels, or one with --label: one of the two"
            )
        if self.file and self.description:
            raise ConfigError("--description is of --label; a FILE has its own")
        if self.file:
            new = read_new_labels(self.file)
        else:
            name = check_name(self.label, "--label")
            new = [NewLabel(name, self.description.strip())]
        added = add_labels(self.workdir, new)
        return tell(
            self,
            {"added": [label.name for label in new], "added_in_all": len(added)},
            f"{counted(len(new), 'label')} added, {len(added):,} in all",
        )


@dataclass(frozen=True, kw_only=True)
class LabelsList:
    """Name the labels of a model, and which of them were added.

    Example:
      labelgraph labels list runs/mine --added
    """

    workdir: FinishedRun
    added: Flag = False
    """Only those that were added."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Print the labels."""
        from labelgraph_jax.runs.added_labels import list_labels

        rows = list_labels(self.workdir)
        rows = [row for row in rows if row["added"] or not self.added]
        return show(self, rows, _print_labels, ascii=False)


@dataclass(frozen=True, kw_only=True)
class LabelsRemove:
    """Take labels away that were added.

    Example:
      labelgraph labels remove runs/mine whaling
    """

    workdir: FinishedRun
    names: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")]
    ]
    """Labels that `labels add` brought."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Remove the labels, and say how many are left."""
        from labelgraph_jax.runs.added_labels import remove_labels

        left, removed = remove_labels(self.workdir, self.names), set(self.names)
        return tell(
            self,
            {"removed": sorted(removed), "added_left": len(left)},
            f"{counted(len(removed), 'label')} removed, "
            f"{counted(len(left), 'added one')} left",
        )


@dataclass(frozen=True, kw_only=True)
class Discover:
    """Propose labels for the texts that a model has none for.

    What is written is for a person: lines that are wrong go, names get better; then
    `labelgraph labels add RUN FILE` takes it.

    Example:
      labelgraph discover runs/mine raw.jsonl --labels 30 --out proposed.jsonl
    """

    workdir: FinishedRun
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE")]]
    """Texts, labelled or not; their labels are not read."""
    out: str
    """JSONL of names and descriptions, as `labels add` takes it."""
    labels: int = 30
    """Proposals, at most."""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the proposals, and print each with what stands near it."""
        from labelgraph_jax.cli.sources import print_proposals
        from labelgraph_jax.data.readers.texts import read_texts
        from labelgraph_jax.predictors.model import Model
        from labelgraph_jax.runs.discover import discover
        from labelgraph_jax.runs.pseudo import write_labels
        from labelgraph_jax.runs.restore import load

        if self.labels < 1:
            raise ConfigError(f"--labels must be at least 1, got {self.labels}")
        if not self.out.endswith(".jsonl"):
            raise ConfigError(f"--out must end in .jsonl, got {self.out!r}")
        model = load(self.workdir)
        if not isinstance(model, Model) or model.reads_features:
            raise ConfigError(f"{self.workdir}: must be a run that labels texts")
        documents = read_texts(self.file, options=self.reading)
        found, looked = discover(model, documents, self.labels)
        write_labels([proposal.to_label() for proposal in found], self.out)
        return show(
            self,
            found,
            print_proposals,
            out=self.out,
            documents=(len(documents), looked),
        )


def _print_labels(rows: Sequence["LabelRow"]) -> None:
    for row in rows:
        mark = "added" if row["added"] else "trained"
        fields = row["name"], row["description"]
        name, description = (visible(field, keep="") for field in fields)
        write(f"{name}\t{mark}\t{description}")
