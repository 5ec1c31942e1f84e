"""What is known of the labels beside documents: what lies above what, and rules."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_numbers,
)


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """Rules over label names: a -> b, a & b -> c, !(a & b), one-of(a, b).

    A rule with a weight in front (`0.94: wheat -> grain`) is soft.
    """

    file: str = ""
    """One rule a line; `labelgraph rules mine` suggests some."""
    kind: Literal["auto", "report", "decode", "loss"] = "auto"
    """report: count what breaks them; decode: predict the most probable labels that
    obey the hard ones; loss: make breaking them improbable in training; auto: decode
    the hard ones, a loss for the soft ones."""
    weight: float = 1.0
    """What the loss of all rules of a document counts beside that of its labels."""

    def __post_init__(self) -> None:
        check_choices(self, "rules")
        require_numbers(self, "rules", positive=("weight",))
        require(
            bool(self.file) or (self.kind == "auto" and self.weight == 1.0),
            "rules.kind and rules.weight are read only with rules.file",
        )


def check_structure(config: Any) -> None:
    """Refuse rules that a run cannot obey.

    Args:
        config: the whole run.

    Raises:
        ConfigError: names both settings.
    """
    if not config.rules.file:
        return
    require(
        not config.threshold.consistent,
        "rules.file and threshold.consistent exclude each other: write what implies "
        "what as rules",
    )
    require(
        not config.table.tasks,
        "rules.file is of labels of texts; table.tasks names columns of a table",
    )
