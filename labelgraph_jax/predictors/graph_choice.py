"""Cross-fitted estimate, on labelled documents, of what a label graph adds.

Every form of label vectors is fitted to document vectors as a linear head, with its own
strength, and decides documents that it was not fitted on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Shaped

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.functional.graph.adjacency import (
    conditional_adjacency,
    similarity_adjacency,
    taxonomy_adjacency,
)
from labelgraph_jax.functional.metrics.bootstrap import Interval
from labelgraph_jax.predictors.cross_fitting import (
    FOLDS,
    Folds,
    Head,
    clearest,
    gain_over,
    gains_over,
    resampled,
)
from labelgraph_jax.training.related_labels import (
    Form,
    LabelPrior,
    fit_related_heads,
    label_prior,
)

NONE = "none"
STRENGTHS = (10.0, 30.0, 100.0)
LEAST_DOCUMENTS = 20
NEIGHBOURS = 5
"""Labels whose names are most alike that a label receives from."""
ADJACENCIES = ("co-occurrence", "taxonomy", "names")
ALL = "all of them"
MESSAGE = " + message"


class Way(NamedTuple):
    """A form of label vectors, and whose messages it has.

    Attributes:
        form: of the label vectors.
        adjacency: of its messages; empty without.
    """

    form: Form
    adjacency: str = ""

    @property
    def name(self) -> str:
        """As it is called in tables; a free vector per label is `none`."""
        if self.form == "free":
            return NONE
        return f"{self.form}, {self.adjacency}" if self.adjacency else self.form

    @property
    def without_message(self) -> str:
        """Name of the way that differs in its messages alone."""
        form: Form = self.form.removesuffix(MESSAGE)  # type: ignore[assignment]
        return Way(form).name


class GraphChoice(NamedTuple):
    """Chosen form of label vectors, with the gain of each.

    Attributes:
        kind: the name of the chosen way, `none` where no gain is clear of noise.
        ways: by name.
        heads: of every way.
        strengths: of every way, see `fit_related_heads`.
        gains: over `none`; see `cross_fitting.gains_over`.
        sure: share of the resamples in which a way's mean_f1 is above that of `none`.
        message_gains: of every way with messages over the same one without.
    """

    kind: str
    ways: Mapping[str, Way]
    heads: Mapping[str, Head]
    strengths: Mapping[str, float]
    gains: Mapping[str, Mapping[str, Interval]]
    sure: Mapping[str, float]
    message_gains: Mapping[str, Mapping[str, Interval]]

    @property
    def way(self) -> Way:
        """The chosen way."""
        return self.ways[self.kind]

    @property
    def said(self) -> str:
        """The choice in one line."""
        if self.kind == NONE:
            return "none: no form is clearly better than a free vector per label"
        told = f"{self.kind}: macro-F1 {points(self.gains[self.kind]['macro_f1'])}"
        if self.kind not in self.message_gains:
            return f"{told} over a free vector per label, and no graph adds to it"
        message = points(self.message_gains[self.kind]["macro_f1"])
        return (
            f"{told} over a free vector per label, of which its messages {message}"
            if self.way.without_message != NONE
            else f"{told} over no graph"
        )


def points(gain: Interval) -> str:
    """A gain in points, with its interval."""
    value, low, high = (100 * x for x in gain)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def graph_ways(*, names: bool, taxonomy: bool) -> list[Way]:
    """Return the ways that can be tried, that without a graph first.

    Args:
        names: whether the names of the labels have vectors.
        taxonomy: whether there is one.
    """
    known = {"co-occurrence": True, "taxonomy": taxonomy, "names": names}
    adjacencies = [a for a in ADJACENCIES if known[a]]
    if len(adjacencies) > 1:
        adjacencies.append(ALL)
    forms = [f for f in get_args(Form) if "features" not in f or names]
    return [
        Way(form, adjacency)
        for form in forms
        for adjacency in (adjacencies if MESSAGE in form else [""])
    ]


def messages_of(
    targets: Float[np.ndarray, "M N"],
    names: Float[np.ndarray, "N D"],
    parents: np.ndarray | None,
) -> dict[str, Float[np.ndarray, "N N"]]:
    """Return the weights by which labels receive, rows that add up to 1.

    Args:
        targets: of documents whose labels may be known.
        names: vectors of the names.
        parents: pairs of a taxonomy, see `taxonomy_adjacency`; None without.
    """
    together = targets.T @ targets
    found = {
        "co-occurrence": conditional_adjacency(together),
        "names": similarity_adjacency(names, neighbours=min(NEIGHBOURS, len(names))),
    }
    if parents is not None:
        found["taxonomy"] = taxonomy_adjacency(parents, len(names))

    def shares(adjacency: np.ndarray) -> np.ndarray:
        weights = np.maximum(np.asarray(adjacency), 0)
        return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)

    return {
        name: shares(np.asarray(found[name])) for name in ADJACENCIES if name in found
    }


def choose_graph(
    vectors: Float[np.ndarray, "L D"],
    targets: Shaped[np.ndarray, "L N"],
    names: Float[np.ndarray, "N D"],
    *,
    parents: np.ndarray | None = None,
    ways: Sequence[Way] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = FOLDS,
    seed: int = 0,
    thresholds: ThresholdConfig | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> GraphChoice:
    """Choose form and adjacency of the label vectors, or none.

    Labels that stand together are counted in the documents of each fit alone.

    Args:
        vectors: of the labelled documents, of length 1 or so.
        targets: their labels, 0 or 1.
        names: vectors of the labels' names, in the same space; zeros where unknown.
        parents: pairs of a taxonomy, see `taxonomy_adjacency`.
        ways: to try; by default all that names and taxonomy allow.
        strengths: to try, of each way.
        folds: of the documents.
        seed: of the folds.
        thresholds: how labels are decided.
        say: takes a line about what is going on.

    Raises:
        ValueError: fewer than 20 labelled documents, or none with a label.
    """
    vectors = np.asarray(vectors, np.float32)
    targets = (np.asarray(targets) > 0).astype(np.float32)
    # Refuse documents that are too few to choose by.
    if len(targets) < LEAST_DOCUMENTS:
        raise ValueError(
            f"to find out what a label graph is worth there must be at least "
            f"{LEAST_DOCUMENTS} labelled documents, got {len(targets)}"
        )
    if not targets.any():
        raise ValueError("a labelled document must carry a label, got none in any")
    # Messages of every fold, from its own training documents.
    if ways is None:
        ways = graph_ways(names=bool(names.any()), taxonomy=parents is not None)
    parts = Folds(targets, seed, thresholds, folds)
    messages = [messages_of(targets[kept], names, parents) for kept in parts.keep]
    # A prior is the same in all folds where it owes nothing to their targets.
    same: dict[Way, LabelPrior] = {}

    def prior(way: Way, fit: int) -> LabelPrior:
        known = messages[fit]
        chosen = [m for a, m in known.items() if way.adjacency in (a, ALL)]
        made = label_prior(way.form, chosen, names, heads=len(known))
        if way.adjacency not in ("co-occurrence", ALL):
            same[way] = made
        return made

    # Every way at its best strength, cross-fitted.
    heads: dict[str, Head] = {}
    best: dict[str, float] = {}
    for way in ways:
        fits: dict[float, list[np.ndarray]] = {}
        priors = [same.get(way) or prior(way, fit) for fit in range(len(parts.rows))]
        # A way with messages is as free as the same one without.
        held = best.get(way.without_message)
        tried = [held] if way.adjacency and held else strengths
        for strength in tried:
            fits[strength] = [
                np.asarray(
                    fit_related_heads(
                        vectors,
                        targets,
                        row.astype(np.float32),
                        np.float32(strength),
                        own,
                    )
                )
                for row, own in zip(parts.rows, priors, strict=True)
            ]
        strength = max(fits, key=lambda s: parts.best_f1(vectors, fits[s]))
        heads[way.name] = parts.measured(vectors, fits[strength])
        best[way.name] = strength
        say(f"label vectors: {way.name}")
    # Gains over no graph, and of a message over the same way without it.
    values = resampled(heads, targets)
    gains, sure = gains_over(values, NONE)
    by_name = {way.name: way for way in ways}
    added = {
        name: gain_over(values[name], values[way.without_message])[0]
        for name, way in by_name.items()
        if way.adjacency and way.without_message in values
    }
    return GraphChoice(
        clearest(gains, sure, NONE), by_name, heads, best, gains, sure, added
    )
