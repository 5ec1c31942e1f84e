"""Structure that a network knows among its labels: its file, and its choice.

structure.json    {"hierarchy": {"kind": "consistent", ...}, "shield": ["a -> b", ...]}
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypedDict, cast

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import expit

from labelgraph_jax.config import Config, ConfigError, ThresholdConfig
from labelgraph_jax.config.structure import HierarchyKind
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import read_json, write_json
from labelgraph_jax.data.labels.label_rules import LabelRules, parse_rule, require_known
from labelgraph_jax.functional.graph.taxonomy import ancestor_matrix
from labelgraph_jax.functional.structure.hierarchy import descendant_max
from labelgraph_jax.functional.structure.rules import Clauses
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.cross_fitting import (
    Head,
    clearest,
    gains_over,
    resampled,
)
from labelgraph_jax.predictors.few_labels import LEAST_DOCUMENTS
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.hierarchy_heads import hierarchy_scores

FILE = "structure.json"
KINDS = ("none", "consistent", "regularised", "contrast", "graph")
"""Ways that `auto` chooses from; each is tried on linear heads."""
FOLDS, MOST = 3, 2_000
"""Parts of the training documents, and how many of these are read, drawn at random."""
WEIGHTS = {"regularised": 1e-2, "contrast": 0.1}
"""Of linear heads, whose loss is a mean over cells."""


class HierarchyChoice(TypedDict, total=False):
    """The kind of `hierarchy.kind` that was chosen, why, and what others gain."""

    kind: str
    said: str
    gains: dict[str, dict[str, object]]


def save_structure(
    place: Workdir, hierarchy: HierarchyChoice | None, rules: LabelRules | None
) -> None:
    """Write down the hierarchy that was chosen, and the rules of the last layer."""
    found: dict[str, Any] = {}
    if hierarchy is not None:
        found["hierarchy"] = dict(hierarchy)
    if rules is not None:
        found["shield"] = [rule.line for rule in rules.rules]
    if found:
        write_json(place.path / FILE, found)


def chosen_hierarchy(place: Workdir) -> HierarchyChoice | None:
    """Return the hierarchy that a run has chosen; None where it has not.

    Raises:
        WorkdirError: the file is damaged.
    """
    found: HierarchyChoice | None = _read(place).get("hierarchy")
    if found is not None and not (
        isinstance(found, dict) and found.get("kind") in KINDS and "said" in found
    ):
        raise WorkdirError(
            f"{place.path / FILE}: hierarchy must say its kind, of {', '.join(KINDS)}, "
            "and why"
        )
    return found


def shield_of(place: Workdir, names: Sequence[str]) -> Clauses | None:
    """Return the rules of a network's last layer; None where it has none.

    Raises:
        WorkdirError: the file is damaged, or names another label.
    """
    lines = _read(place).get("shield")
    if lines is None:
        return None
    try:
        rules = tuple(parse_rule(line, "shield") for line in lines)
        for rule in rules:
            require_known(rule, names)
    except (TypeError, DataError) as error:
        raise WorkdirError(f"{place.path / FILE}: {error}") from None
    return LabelRules(rules, tuple(names)).clauses


def _read(place: Workdir) -> dict[str, Any]:
    path = place.path / FILE
    if not path.is_file():
        return {}
    found = read_json(path, error=WorkdirError)
    if not isinstance(found, dict):
        raise WorkdirError(f"{path}: must hold what the network knows of its labels")
    return found


def with_hierarchy(config: Config, chosen: HierarchyChoice | None) -> Config:
    """The settings with the hierarchy that was chosen in place of `auto`."""
    if chosen is None or config.hierarchy.kind != "auto":
        return config
    kind = cast(HierarchyKind, chosen["kind"])
    own = dataclasses.replace(config.hierarchy, kind=kind)
    return dataclasses.replace(config, hierarchy=own).resolved()


def kinds_of(config: Config) -> tuple[str, ...]:
    """Kinds that a run can choose from: `graph` where its settings name no other."""
    try:
        with_hierarchy(config, {"kind": "graph"})
    except ConfigError:
        return tuple(kind for kind in KINDS if kind != "graph")
    return KINDS


def choose_hierarchy(
    vectors: Float[np.ndarray, "M D"],
    targets: Shaped[np.ndarray, "M N"],
    parents: Int[np.ndarray, "E 2"],
    *,
    kinds: Sequence[str] = KINDS,
    thresholds: ThresholdConfig | None = None,
    seed: int = 0,
) -> HierarchyChoice:
    """Choose what training makes of a taxonomy, by linear heads on document vectors.

    Every document is decided by heads that were fitted on others, with thresholds of
    its kind's own. A kind is taken where the mean of micro- and macro-F1 is above that
    of `none` in three of four resamples of the documents and micro-F1 is no lower; of
    several the one that gains most.

    Args:
        vectors: of the training documents.
        targets: their labels.
        parents: (child, parent) of the labels.
        kinds: that are tried, `none` among them.
        thresholds: how labels are decided.
        seed: of what is drawn.

    Returns:
        `kind`, `said` in words, and `gains`: of each kind micro_f1, macro_f1 and
        mean_f1 over `none`, with a 95 % interval over documents, and `sure`, the share
        of resamples in which mean_f1 is above it.

    Raises:
        DataError: there are fewer than 20 documents.
    """
    # Draw documents, and divide them into folds.
    rng = np.random.default_rng((seed, 11))
    rows = np.sort(rng.permutation(len(vectors))[:MOST])
    if len(rows) < LEAST_DOCUMENTS:
        raise DataError(
            f"hierarchy.kind='auto' needs at least {LEAST_DOCUMENTS} training "
            f"documents, on which kinds are compared; got {len(rows)}"
        )
    x, y = vectors[rows], (np.asarray(targets[rows]) > 0).astype(np.float32)
    # Vectors of length 1 learn slowly.
    x = 4 * x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    fold = rng.permutation(len(rows)) % FOLDS
    ancestors = np.asarray(ancestor_matrix(parents, y.shape[1]))
    # Every kind, cross-fitted, with a decision of its own.
    heads: dict[str, Head] = {}
    for kind in kinds:
        weight = WEIGHTS.get(kind, 0.0)
        logits = hierarchy_scores(x, y, fold, kind=kind, parents=parents, weight=weight)
        own = thresholds or ThresholdConfig()
        if kind == "consistent":
            logits = np.asarray(descendant_max(logits, parents))
            own = dataclasses.replace(own, consistent=True)
        scores = expit(logits)
        decision = choose_decision(
            own, Predictions.of_all(scores, y), y.sum(0), ancestors=ancestors
        )
        heads[kind] = Head(np.zeros((0, y.shape[1])), scores, decision)
    # The kind that is surely better, or none.
    gains, sure = gains_over(resampled(heads, y), "none")
    kind = clearest(gains, sure, "none")
    said = "'none', for no kind is better beyond noise on training documents held back"
    if kind != "none":
        gain, low, high = (100 * x for x in gains[kind]["mean_f1"])
        said = (
            f"'{kind}', mean F1 {gain:+.1f} points [{low:+.1f}, {high:+.1f}] over "
            "'none' on training documents held back"
        )
    return {
        "kind": kind,
        "said": said,
        "gains": {
            k: {m: list(interval) for m, interval in own.items()} | {"sure": sure[k]}
            for k, own in gains.items()
        },
    }
