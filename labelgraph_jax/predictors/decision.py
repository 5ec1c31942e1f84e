"""How probabilities become labels: chosen on validation, saved beside the model.

Everything that decides goes through `Decision.decide`, so what is measured is what is
predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.functional.decisions.fitting import (
    RULES,
)
from labelgraph_jax.functional.decisions.thresholds import (
    apply_thresholds,
    decide_top_k,
)
from labelgraph_jax.functional.graph.taxonomy import imply_ancestors
from labelgraph_jax.predictors.many_labels import MANY
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

HALF = 0.5
KINDS = ("half", *RULES, "top_k")
EVERY = "threshold_of_every_label"
"""What thresholds.json has in place of one number for each of very many labels."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A rule that turns the probabilities of a document into its labels.

    Attributes:
        kind: the rule: half, global, sloped, label (all of them thresholds) or top_k.
        thresholds: per label, float64 `[N]`; predicted where probability >= threshold.
        k: labels per document of top_k.
        at_least_one: a document without any label gets its most probable one.
        consistent: a label implies its ancestors.
        ancestors: bool `[N, N]`, see `functional.ancestor_matrix`; needed to be
            consistent.
        asked: what the settings asked for, `auto` or the rule itself.
        fit: how it was fitted, JSON values.
    """

    kind: str
    thresholds: np.ndarray
    k: int = 0
    at_least_one: bool = False
    consistent: bool = False
    ancestors: np.ndarray | None = field(default=None, repr=False)
    asked: str = ""
    fit: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the rule must be one of {list(KINDS)}, got {self.kind}")
        if self.kind == "top_k" and self.k < 1:
            raise ValueError(f"top_k needs a k of at least 1, got {self.k}")
        if not np.isfinite(self.thresholds).all():
            raise ValueError("there must be one number per label")
        if self.consistent and self.ancestors is None:
            raise ValueError("labels of which none lies above another imply no other")

    def decide(
        self, probabilities: np.ndarray, ids: np.ndarray | None = None
    ) -> np.ndarray:
        """Decide which labels each document gets, bool `[M, K]`.

        Args:
            probabilities: `[M, K]`.
            ids: labels of the columns `[M, K]`; None where column j is label j. Where a
                document's least probable column stays below the thresholds, the labels
                without a column are not decided for either.
        """
        probabilities = np.asarray(probabilities)
        if self.kind == "top_k":
            decided = decide_top_k(probabilities, self.k)
        else:
            decided = apply_thresholds(
                probabilities,
                self.thresholds if ids is None else self.thresholds[ids],
                at_least_one=self.at_least_one,
            )
        if self.consistent:
            assert self.ancestors is not None
            decided = imply_ancestors(decided, self.ancestors)
        return decided

    def summary(self) -> dict[str, Any]:
        """What was asked for and what decides, as JSON values."""
        return {
            "asked": self.asked or self.kind,
            "kind": self.kind,
            "k": self.k,
            "at_least_one": self.at_least_one,
            "consistent": self.consistent,
        }


def at_half(labels: int) -> Decision:
    """Every label is decided at 0.5."""
    return Decision(kind="half", thresholds=np.full(labels, HALF))


def save_decision(place: Workdir, decision: Decision, labels: Sequence[str]) -> None:
    """Writes thresholds.json: one number per label, or one for all of very many."""
    place.save_thresholds(decision_values(decision, labels))


def decision_values(decision: Decision, labels: Sequence[str]) -> dict[str, Any]:
    """A decision of some labels as JSON values."""
    pairs = zip(labels, decision.thresholds, strict=True)
    first = float(decision.thresholds[0])
    thresholds: dict[str, Any]
    if len(labels) > MANY and (decision.thresholds == first).all():
        thresholds = {EVERY: first}
    else:
        thresholds = {"thresholds": {name: float(value) for name, value in pairs}}
    return {**decision.summary(), **decision.fit, **thresholds}


def read_decision(
    place: Workdir, labels: Sequence[str], ancestors: np.ndarray | None = None
) -> Decision:
    """Reads thresholds.json, that of version 0.1 too.

    Raises:
        WorkdirError: it is absent, or holds no decision for these labels.
    """
    return decision_from(place.thresholds(), labels, place.thresholds_path, ancestors)


def decision_from(
    stored: Any,
    labels: Sequence[str],
    path: Path,
    ancestors: np.ndarray | None = None,
) -> Decision:
    """Reads what `decision_values` made.

    Raises:
        WorkdirError: it holds no decision for these labels; `path` is named.
    """
    known = ("asked", "kind", "k", "at_least_one", "consistent", "thresholds", EVERY)
    try:
        if EVERY in stored:
            thresholds = np.full(len(labels), float(stored[EVERY]))
        else:
            values = stored["thresholds"]
            thresholds = np.asarray([float(values[name]) for name in labels])
        # The next number above 1 is no document's probability: nothing is predicted.
        wrong = np.flatnonzero(~((thresholds >= 0) & (thresholds <= 1 + 1e-6)))
        if wrong.size:
            label = repr(labels[wrong[0]])
            raise ValueError(
                f"the threshold of {label} must be from 0 to 1, got "
                f"{thresholds[wrong[0]]:g}"
            )
        before = stored.get("threshold", "half")
        return Decision(
            kind=str(stored.get("kind", "label" if before == "auto" else before)),
            thresholds=thresholds,
            k=int(stored.get("k", 0)),
            at_least_one=bool(stored.get("at_least_one", False)),
            consistent=bool(stored.get("consistent", False)),
            ancestors=ancestors,
            asked=str(stored.get("asked", before)),
            fit={name: value for name, value in stored.items() if name not in known},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WorkdirError(
            f"{path}: must hold one number per label and a rule: {error}"
        ) from error
