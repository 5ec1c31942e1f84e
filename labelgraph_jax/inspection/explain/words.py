"""Contribution of each word to the logit of each label, of one model or of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.traces import Trace, sum_over_words
from labelgraph_jax.functional.attribution import Attribution
from labelgraph_jax.inspection.explain.attribute import (
    METHODS,
    LabelTarget,
    Method,
    TokenInputs,
    compiled_attribution,
    label_targets,
    read_inputs,
)
from labelgraph_jax.inspection.explain.label_explanation import Check

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

MOST_STEPS = 512
"""Points on the path beyond which no more are tried."""


@dataclass(frozen=True)
class WordSums:
    """Contributions of a document's words to one label's logit.

    Attributes:
        logit, baseline_logit: what they explain the difference of.
        words: one number per word of the trace, float64.
        frame: what tokens add that came from no word.
        check, other: whether it adds up, by the method asked for and by the other one.
    """

    logit: float
    baseline_logit: float
    words: np.ndarray
    frame: float
    check: Check
    other: Check


def explain_words(
    model: "Model",
    document: Document,
    columns: np.ndarray,
    *,
    method: Method,
    steps: int,
) -> tuple[Trace, list[WordSums], str, str]:
    """Attribute the logits of some labels to the words of a document.

    Of an ensemble, whose logit is a weighed sum of its members', the weighed sum of
    what they add to each.

    Args:
        model: that is explained.
        document: whose words are asked about.
        columns: of the labels; all known to the classifier.
        method: how it is attributed.
        steps: points on the path to begin with; they are doubled, up to `MOST_STEPS`,
            until the attributions add up.

    Returns:
        The document as words, what they add for each label, what was attributed, and
        what it was compared with.
    """
    members = getattr(model, "members", None)
    if members is None:
        inputs = read_inputs(model, document)
        found = [
            _of_label(model, inputs, target, method, steps)
            for target in label_targets(model, columns)
        ]
        return inputs.trace, found, inputs.read, inputs.without
    parts = [
        explain_words(member, document, columns, method=method, steps=steps)
        for member in members
    ]
    weights, bias = np.asarray(model.weights), float(model.bias)  # type: ignore[attr-defined]
    joined, places = joined_words([part[0] for part in parts])
    sums = [
        _weighed(
            [part[1][row] for part in parts], weights, bias, places, len(joined.words)
        )
        for row in range(len(columns))
    ]
    both = [" and ".join(dict.fromkeys(part[n] for part in parts)) for n in (2, 3)]  # type: ignore[misc]
    return joined, sums, both[0], both[1]


def _of_label(
    model: "Model", inputs: TokenInputs, target: LabelTarget, method: Method, steps: int
) -> WordSums:
    attribute = compiled_attribution(model)

    def run(method: Method, steps: int) -> tuple[Attribution, Check]:
        found = attribute(
            inputs.state,
            inputs.vectors,
            inputs.baseline,
            target,
            method=method,
            steps=steps,
        )
        rows = np.asarray(found.rows, np.float64)
        difference = float(found.value) - float(found.baseline_value)
        found = found._replace(rows=rows)  # type: ignore[arg-type]
        return found, Check(method, steps, float(rows.sum()), difference)

    # The method asked for, with more steps until its sums agree, and the other one.
    path, single = METHODS
    if method == single:
        best, check = run(single, 1)
        other = run(path, steps)[1]
    else:
        best, check = run(path, steps)
        while not check.holds and steps < MOST_STEPS:
            steps = min(2 * steps, MOST_STEPS)
            best, check = run(path, steps)
        other = run(single, 1)[1]
    # Sums over the tokens of every word.
    traced = inputs.trace
    rows = inputs.per_window(best.rows)
    words, frame = sum_over_words(rows, traced.sources, len(traced.names))
    # Windows that hold nothing but padding add nothing.
    frame += check.total - float(rows.sum())
    return WordSums(
        float(best.value), float(best.baseline_value), words, frame, check, other
    )


def joined_words(traces: Sequence[Trace]) -> tuple[Trace, list[np.ndarray]]:
    """One list of words for readers that cut a text differently.

    Words that overlap become one.

    Returns:
        The joined words, and for each reader which of them each of its words is.
    """
    spans = sorted(span for traced in traces for span in traced.words)
    joined: list[list[int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    starts = np.asarray([start for start, _ in joined])
    places = [
        np.searchsorted(starts, [span[0] for span in traced.words], side="right") - 1
        for traced in traces
    ]
    text = traces[0].text
    words = tuple((start, end) for start, end in joined)
    names = tuple(text[start:end] for start, end in words)
    return Trace(text, words, names, ()), places


def _weighed(
    parts: Sequence[WordSums],
    weights: np.ndarray,
    bias: float,
    places: Sequence[np.ndarray],
    count: int,
) -> WordSums:
    words = np.zeros(count)
    for part, weight, place in zip(parts, weights, places, strict=True):
        np.add.at(words, place.astype(int), weight * part.words)

    def sum_of(name: str) -> float:
        values = [getattr(part, name) for part in parts]
        return float(weights @ np.asarray(values))

    def check_of(name: str) -> Check:
        checks = [getattr(part, name) for part in parts]
        return Check(
            checks[0].method,
            max(check.steps for check in checks),
            float(weights @ np.asarray([check.total for check in checks])),
            float(weights @ np.asarray([check.difference for check in checks])),
        )

    return WordSums(
        sum_of("logit") + bias,
        sum_of("baseline_logit") + bias,
        words,
        sum_of("frame"),
        check_of("check"),
        check_of("other"),
    )
