"""Verbs about labels from elsewhere: agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import Json, Quiet, Reading
from labelgraph_jax.cli.output import show
from labelgraph_jax.config import ConfigError, ReadingConfig


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
    quiet: Quiet = False

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
