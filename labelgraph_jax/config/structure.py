"""Knowledge about labels beside documents: a taxonomy, and rules over their names."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_numbers,
    without_effect,
)

HierarchyKind = Literal[
    "none", "consistent", "regularised", "graph", "contrast", "auto"
]


@dataclass(frozen=True, kw_only=True)
class HierarchyConfig:
    """Use of the labels' taxonomy (`--taxonomy`) in training."""

    kind: HierarchyKind = "none"
    """consistent: a label is as probable as the most probable below it, by
    construction, with the loss of such a model (C-HMCNN); regularised: the vector of a
    label stays near its parents'; graph: labels receive from parents and children
    (HiAGM); contrast: the vector of a label is nearer to its children's than to others
    of its level (HCL-MTC); auto: what is better on training documents held back, or
    none."""
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
HIERARCHY_GRAPH: dict[str, Any] = {
    "attention": "convolution",
    "role": "fixed",
    "initialisation": "taxonomy",
    "method": "sparse",
}
"""Settings of the label graph that `graph` means."""
HIERARCHY_LEFT = (*HIERARCHY_GRAPH, "kind", "rank", "learned", "attention_dropout")
"""Settings of the label graph that `graph` leaves no choice of."""


RULES_LEARNED = ("auto", "shield", "loss")
"""Kinds of `rules.kind` that have a loss of soft rules."""


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """Rules over label names: a -> b, a & b -> c, !(a & b), one-of(a, b).

    A rule with a weight in front (`0.94: wheat -> grain`) is soft.
    """

    file: str = ""
    """One rule a line; `labelgraph rules mine` suggests some."""
    kind: Literal["auto", "report", "decode", "shield", "loss"] = "auto"
    """report: count what breaks them; decode: predict the most probable labels that
    obey the hard ones; shield: a last layer of the network raises and lowers labels so
    that the hard ones hold, in training too; loss: make breaking them improbable in
    training; auto: decode the hard ones, a loss for the soft ones."""
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
    # What works on the vectors of documents and labels.
    for setting, vectors in (
        (f"hierarchy.kind='{kind}'", kind in (*HIERARCHY_WEIGHTS, "auto")),
        (f"loss.contrast={contrast:g}", contrast > 0),
    ):
        require(
            not vectors or (plain and not config.table.tasks),
            f"{setting} is about vectors of documents and labels: head.kind must be "
            "'product', without a mixture and without tasks of a table",
        )
    # What moves probabilities, and so has a loss of its own.
    for setting, raises in (
        (f"hierarchy.kind='{kind}'", kind in ("consistent", "auto")),
        ("rules.kind='shield'", config.rules.kind == "shield"),
    ):
        if not raises:
            continue
        require(
            config.head.kind != "recurrent"
            and config.mixture.kind == "none"
            and not config.table.tasks,
            f"{setting} is of a head that scores labels, without a mixture and without "
            "tasks of a table",
        )
        loss = config.loss
        require(
            loss.kind == "binary_cross_entropy"
            and loss.positive_weight == 1
            and not loss.label_smoothing,
            f"{setting} has a loss of its own: loss.kind, loss.positive_weight and "
            "loss.label_smoothing must keep their defaults",
        )
    # A hierarchy as the label graph settles most of the graph's settings.
    if kind == "graph":
        named = [
            f"graph.{name}={getattr(config.graph, name)!r}"
            for name in HIERARCHY_LEFT
            if getattr(config.graph, name)
            not in (
                HIERARCHY_GRAPH.get(name),
                type(config.graph).__dataclass_fields__[name].default,
            )
        ]
        require(
            not named and config.graph.layers > 0,
            "hierarchy.kind='graph' makes the label graph: graph.layers must be at "
            f"least 1, and graph.{', graph.'.join(HIERARCHY_LEFT)} must keep their "
            f"defaults; got {', '.join(named) or 'no layers'}",
        )
        require(
            config.head.kind != "recurrent"
            and config.mixture.kind == "none"
            and not config.table.tasks,
            "hierarchy.kind='graph' is of a head that scores labels, without a mixture "
            "and without tasks of a table",
        )
    # Rules of a file, and what would say the same a second time.
    if not config.rules.file:
        return
    require(
        kind not in ("consistent", "auto"),
        f"rules.file and hierarchy.kind='{kind}' exclude each other: write what "
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
