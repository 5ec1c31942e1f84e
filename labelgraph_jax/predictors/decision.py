"""Decision rules for probabilities: chosen on validation, saved with the model.

Everything that decides goes through `Decision.decide`, so what is measured is what is
predicted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.labels.label_rules import LabelRules, parse_rule, require_known
from labelgraph_jax.functional.decisions.fitting import (
    RULES,
)
from labelgraph_jax.functional.decisions.thresholds import (
    apply_thresholds,
    decide_top_k,
)
from labelgraph_jax.functional.graph.taxonomy import imply_ancestors
from labelgraph_jax.functional.structure.rules import (
    Clauses,
    RuleDecisions,
    broken_rules,
    decode_rules,
)
from labelgraph_jax.functional.structure.shield import shield_decisions, shield_reasons
from labelgraph_jax.predictors.many_labels import MANY
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

HALF = 0.5
KINDS = ("half", *RULES, "top_k")
EVERY = "threshold_of_every_label"
"""Key in thresholds.json that replaces a number per label for very many labels."""


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
        rules: over the labels.
        obeys: the labels of every document obey the hard ones.
        shielded: labels are raised and lowered for that one after another, see
            `functional.shield_rules`; else the most probable that obey are taken.
        asked: what the settings asked for, `auto` or the rule itself.
        fit: how it was fitted, JSON values.
    """

    kind: str
    thresholds: np.ndarray
    k: int = 0
    at_least_one: bool = False
    consistent: bool = False
    ancestors: np.ndarray | None = field(default=None, repr=False)
    rules: LabelRules | None = field(default=None, repr=False)
    obeys: bool = False
    shielded: bool = False
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
        if self.consistent and self.obeys:
            raise ValueError(
                "rules and a consistent decision exclude each other: write what "
                "implies what as rules"
            )

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
        if self.obeys:
            return self.obeying(probabilities, ids).decided
        return self.without_rules(probabilities, ids)

    def obeying(
        self, probabilities: np.ndarray, ids: np.ndarray | None = None
    ) -> RuleDecisions:
        """The same as `decide` with rules, and which clause of them changed what.

        The labels of a document are changed as little as their log-odds, less those of
        their thresholds, allow.

        Raises:
            ValueError: the best labels alone have a column.
        """
        if ids is not None:
            raise ValueError("rules need the probability of every label")
        if self.kind == "top_k":
            cut = -np.sort(-probabilities, axis=1)[:, self.k - 1 : self.k]
        else:
            cut = self.thresholds
        own = self.without_rules(probabilities)
        mend = shield_decisions if self.shielded else decode_rules
        return obeying_labels(probabilities, cut, self.hard_rules.clauses, own, mend)

    def changes(self, probabilities: np.ndarray) -> list[list[tuple[int, str, str]]]:
        """Per document the labels that rules changed, how, and which rule.

        Labels are added or removed; in front of a shield raised or lowered, those among
        them that the network's own layer did, see `functional.shield_reasons`.
        """
        found: list[list[tuple[int, str, str]]] = [[] for _ in probabilities]
        if not self.obeys:
            return found
        hard = self.hard_rules
        decided, *changes = self.obeying(probabilities)
        words = ("lowered", "raised") if self.shielded else ("removed", "added")
        if self.shielded:
            reasons = shield_reasons(probabilities, hard.clauses, decided)
            changes = [
                np.concatenate(two) for two in zip(changes, reasons, strict=True)
            ]
        known = set()
        for row, label, clause in zip(*(x.tolist() for x in changes), strict=True):
            if (row, label) not in known:
                known.add((row, label))
                rule = hard.rules[hard.owners[clause]].text
                found[row].append((label, words[int(decided[row, label])], rule))
        return found

    @cached_property
    def hard_rules(self) -> LabelRules:
        """Those that are obeyed."""
        assert self.rules is not None
        return self.rules.chosen(hard=True)

    def without_rules(
        self, probabilities: np.ndarray, ids: np.ndarray | None = None
    ) -> np.ndarray:
        """The same as `decide` where there are no rules."""
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

    def summary(self) -> dict[str, object]:
        """Return the requested and the chosen decision rule as JSON values."""
        return {
            "asked": self.asked or self.kind,
            "kind": self.kind,
            "k": self.k,
            "at_least_one": self.at_least_one,
            "consistent": self.consistent,
        }


def obeying_labels(
    probabilities: np.ndarray,
    cut: np.ndarray,
    clauses: Clauses,
    decided: np.ndarray,
    mend: Callable[..., RuleDecisions],
) -> RuleDecisions:
    """The labels that obey rules, as near to those decided as log-odds allow.

    Args:
        probabilities: `[M, N]`.
        cut: probability from which a label is likely, per label or document.
        clauses: the rules.
        decided: without rules, bool `[M, N]`.
        mend: `functional.decode_rules`, or `shield_decisions`.
    """
    # Of documents that break nothing no log-odds are needed.
    some = np.unique(broken_rules(decided, clauses)[0])
    own = np.broadcast_to(log_odds(cut), decided.shape)[some]
    scores = log_odds(probabilities[some]) - own
    found = mend(scores, clauses, decided[some])
    decided = decided.copy()
    decided[some] = found.decided
    return found._replace(decided=decided, rows=some[found.rows])


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)), in float64 and finite."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1 - 1e-12)
    return np.log(p) - np.log1p(-p)


def at_half(labels: int) -> Decision:
    """Every label is decided at 0.5."""
    return Decision(kind="half", thresholds=np.full(labels, HALF))


def save_decision(place: Workdir, decision: Decision, labels: Sequence[str]) -> None:
    """Write thresholds.json: one number per label, or one for all of very many."""
    place.save_thresholds(decision_values(decision, labels))


def decision_values(decision: Decision, labels: Sequence[str]) -> dict[str, object]:
    """A decision of some labels as JSON values."""
    pairs = zip(labels, decision.thresholds, strict=True)
    first = float(decision.thresholds[0])
    thresholds: dict[str, object]
    if len(labels) > MANY and (decision.thresholds == first).all():
        thresholds = {EVERY: first}
    else:
        thresholds = {"thresholds": {name: float(value) for name, value in pairs}}
    rules = decision.rules
    lines: dict[str, object] = {}
    if rules is not None:
        lines = {"rules": [r.line for r in rules.rules], "obeys": decision.obeys}
        lines |= {"shielded": True} if decision.shielded else {}
    return {**decision.summary(), **decision.fit, **lines, **thresholds}


def read_decision(
    place: Workdir, labels: Sequence[str], ancestors: np.ndarray | None = None
) -> Decision:
    """Read thresholds.json, that of version 0.1 too.

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
    """Read what `decision_values` made.

    Raises:
        WorkdirError: it holds no decision for these labels; `path` is named.
    """
    own = ("asked", "kind", "k", "at_least_one", "consistent", "thresholds", EVERY)
    known = (*own, "rules", "obeys", "shielded")
    try:
        # Rules, and thresholds in the order of the labels.
        rules = [parse_rule(line, "rules") for line in stored.get("rules", ())]
        for rule in rules:
            require_known(rule, labels)
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
        # The decision; earlier versions wrote fewer of its values.
        before = stored.get("threshold", "half")
        return Decision(
            kind=str(stored.get("kind", "label" if before == "auto" else before)),
            thresholds=thresholds,
            k=int(stored.get("k", 0)),
            at_least_one=bool(stored.get("at_least_one", False)),
            consistent=bool(stored.get("consistent", False)),
            ancestors=ancestors,
            rules=LabelRules(tuple(rules), tuple(labels)) if rules else None,
            obeys=bool(rules and stored.get("obeys", False)),
            shielded=bool(stored.get("shielded", False)),
            asked=str(stored.get("asked", before)),
            fit={name: value for name, value in stored.items() if name not in known},
        )
    except (AttributeError, KeyError, TypeError, ValueError, DataError) as error:
        raise WorkdirError(
            f"{path}: must hold one number per label and a rule: {error}"
        ) from error
