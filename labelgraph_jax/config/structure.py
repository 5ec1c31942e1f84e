"""Knowledge about labels beside documents: a taxonomy, and rules over their names."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_numbers,
    without_effect,
)


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """Use of the labels' taxonomy (`--taxonomy`) in training."""

    kind: Literal["none", "consistent", "regularised", "contrast"] = "none"
    """consistent: a label is as probable as the most probable below it, by
    construction, with the loss of such a model (C-HMCNN); regularised: the vector of a
    label stays near its parents'; contrast: it is nearer to its children's than to
    others of its level (HCL-MTC)."""
    weight: float | None = None
    """regularised, contrast: weight of that beside the loss of a document's labels;
    0.001 and 0.1 by default."""

    def __post_init__(self) -> None:
        check_choices(self, "hierarchy")
        require_numbers(self, "hierarchy", positive=("weight",))
        require(
            self.weight is None or self.kind in HIERARCHY_WEIGHTS,
            "hierarchy.weight is read only with hierarchy.kind='regularised' or "
            f"'contrast', got '{self.kind}'",
        )


HIERARCHY_WEIGHTS = {"regularised": 1e-3, "contrast": 0.1}


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
    """Weight of a document's rule losses beside the loss of its labels."""

    def __post_init__(self) -> None:
        check_choices(self, "rules")
        require_numbers(self, "rules", positive=("weight",))
        require(
            bool(self.file) or (self.kind == "auto" and self.weight == 1.0),
            f"{without_effect(self, 'rules')} rules.file",
        )


def check_structure(config: Any) -> None:
    """Refuse a hierarchy or rules that a run cannot learn or obey.

    Args:
        config: the whole run.

    Raises:
        ConfigError: names both settings.
    """
    kind, contrast = config.hierarchy.kind, config.loss.contrast
    plain = config.head.kind == "product" and config.mixture.kind == "none"
    for setting, vectors in (
        (f"hierarchy.kind='{kind}'", kind in HIERARCHY_WEIGHTS),
        (f"loss.contrast={contrast:g}", contrast > 0),
    ):
        require(
            not vectors or (plain and not config.table.tasks),
            f"{setting} is about vectors of documents and labels: head.kind must be "
            "'product', without a mixture and without tasks of a table",
        )
    if kind == "consistent":
        require(
            config.head.kind != "recurrent"
            and config.mixture.kind == "none"
            and not config.table.tasks,
            "hierarchy.kind='consistent' is of a head that scores labels, without a "
            "mixture and without tasks of a table",
        )
        loss = config.loss
        require(
            loss.kind == "binary_cross_entropy"
            and loss.positive_weight == 1
            and not loss.label_smoothing,
            "hierarchy.kind='consistent' has a loss of its own: loss.kind, "
            "loss.positive_weight and loss.label_smoothing must keep their defaults",
        )
    if not config.rules.file:
        return
    require(
        kind != "consistent",
        "rules.file and hierarchy.kind='consistent' exclude each other: write what "
        "implies what as rules",
    )
    require(
        not config.threshold.consistent,
        "rules.file and threshold.consistent exclude each other: write what implies "
        "what as rules",
    )
    require(
        not config.table.tasks,
        "rules.file is of labels of texts; table.tasks names columns of a table",
    )
