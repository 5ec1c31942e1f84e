"""Verbs about rules over labels: rules check, mine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from labelgraph_jax.cli.commands.data import source_config
from labelgraph_jax.cli.options import Data, Json, Quiet, Source
from labelgraph_jax.cli.output import show, tell, write
from labelgraph_jax.config import ConfigError, DataConfig
from labelgraph_jax.config.wording import counted, of_them
from labelgraph_jax.data.terminal import visible

if TYPE_CHECKING:
    from labelgraph_jax.runs.rules import RuleCheck


@dataclass(frozen=True, kw_only=True)
class RulesCheck:
    """Check rules: contradictions, labels that are never true, documents against them.

    A contradiction, or a label that no training document carries, is an error.

    Examples:
      labelgraph rules check rules.txt --data mine.jsonl
      labelgraph rules check runs/mine
    """

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN|FILE")]]
    """A run that was trained with --rules, or a file of rules, one a line."""
    data_config: Data = field(default_factory=DataConfig)
    json: Json = False

    def execute(self) -> int:
        """Print what speaks against the rules."""
        from labelgraph_jax.runs.rules import check_rules

        return show(self, check_rules(self.source, self.data_config), _print_check)


@dataclass(frozen=True, kw_only=True)
class RulesMine:
    """Suggest rules that the labels of training documents obey, each with a weight.

    The weight is the lower end of a 95 % interval: no mined rule is hard. Who knows
    that one always holds takes its weight away. Rules that validation documents
    contradict are left out.

    Examples:
      labelgraph rules mine mine.jsonl --out rules.txt
      labelgraph rules mine runs/mine --least-support 50
    """

    source: Source
    """A run, a file of documents, or the name of a corpus."""
    out: str = ""
    """File for the rules; they are printed without it."""
    least_support: int = 20
    """Fewest documents that carry the left side of an implication."""
    least_bound: float = 0.9
    """Least lower bound of the share in which an implication holds."""
    least_expected: float = 10.0
    """Fewest documents expected by chance to carry both labels of an exclusion."""
    data_config: Data = field(default_factory=DataConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Mine, and print or write the rules."""
        from labelgraph_jax.data.files import write_text
        from labelgraph_jax.data.labels.label_rules import rule_lines
        from labelgraph_jax.runs.rules import mined_rules

        # Refuse bounds that are out of range.
        if self.least_support < 1 or not self.least_expected > 0:
            raise ConfigError(
                "--least-support must be at least 1 and --least-expected above 0, got "
                f"{self.least_support} and {self.least_expected:g}"
            )
        if not 0 < self.least_bound < 1:
            raise ConfigError(
                f"--least-bound must lie between 0 and 1, got {self.least_bound:g}"
            )
        # Mine, and say how much was found.
        corpus, mined = mined_rules(
            self.source,
            lambda: source_config(self.source, self.data_config),
            least_support=self.least_support,
            least_bound=self.least_bound,
            least_expected=self.least_expected,
        )
        lines = rule_lines(mined)
        found = [
            {"rule": m.rule.text, "weight": m.rule.weight}
            | {"support": m.support, "lift": m.lift, "held": m.held, "tried": m.tried}
            for m in mined
        ]
        never = sum(m.rule.kind == "never" for m in mined)
        sentence = (
            f"{counted(len(mined) - never, 'implication')} and "
            f"{counted(never, 'exclusion')} from "
            f"{counted(len(corpus.train), 'document')}"
        )
        if not mined:
            sentence += (
                f"; with so few documents try --least-support {self.least_support // 4}"
                if self.least_support >= 4
                else "; no label goes with another"
            )
        # Print the rules, or write them to a file under that sentence.
        if not self.out:
            text = "\n".join([*lines, f"# {sentence}"])
            return show(self, found, lambda _: write(text))
        write_text(Path(self.out), "\n".join([f"# {sentence}", *lines]) + "\n")
        return tell(self, found, f"{sentence} written to {self.out}")


def _print_check(found: "RuleCheck") -> None:
    soft = found["rules"] - found["hard"]
    write(
        f"{counted(found['hard'], 'hard rule')} and {counted(soft, 'soft one')} over "
        f"{counted(found['labels'], 'label')}: no contradiction"
    )
    if found["unreachable"]:
        names = ", ".join(visible(name, keep="") for name in found["unreachable"])
        write(f"never true where all hard rules are obeyed: {names}")
    against = of_them(len(found["broken"]), found["rules"], "rule", "is", "are")
    write(f"{against} broken by some of {found['documents']:,} training documents")
    for rule in found["broken"]:
        ids = ", ".join(visible(one, keep="") for one in rule["ids"])
        more = ", ..." if rule["documents"] > len(rule["ids"]) else ""
        text = visible(rule["rule"], keep="")
        write(f"  {counted(rule['documents'], 'document')}  {text}  ({ids}{more})")
