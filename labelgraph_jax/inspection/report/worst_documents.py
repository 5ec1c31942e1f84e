"""The documents that a model does worst on, with their texts."""

from collections.abc import Mapping, Sequence

import numpy as np

from labelgraph_jax.data.documents import Document
from labelgraph_jax.inspection.report.contents import BadDocument, Given, Worst
from labelgraph_jax.predictors.predictions import KeptPredictions

MOST = 40
"""Documents that are shown."""
CHARACTERS = 1_500
"""Characters of a text that are shown."""
SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, so that losses are finite."""


def losses(kept: KeptPredictions) -> np.ndarray:
    """Cross-entropy of every document over the labels that were kept, nats `[M]`.

    A true label that was not kept counts as if it had the smallest probability kept.
    """
    p = np.clip(kept.probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST)
    cells = np.where(kept.hits, -np.log(p), -np.log1p(-p))
    total = np.where(kept.known, cells, 0.0).sum(axis=1)
    outside = np.diff(kept.truth.indptr) - (kept.hits & kept.known).sum(axis=1)
    least = -np.log(p.min(axis=1)) if p.shape[1] else 0.0
    return np.asarray(total + outside * least)


def worst(
    kept: KeptPredictions,
    names: Sequence[str],
    titles: Mapping[str, str],
    documents: Sequence[Document] | str,
) -> Worst:
    """The documents with the highest loss.

    Args:
        kept: what was predicted.
        names: of the labels.
        titles: of the labels, by name.
        documents: the same ones, or why they cannot be read.
    """
    loss = losses(kept)
    order = np.argsort(-loss, kind="stable")[:MOST]
    found = []
    for row in map(int, order):
        text, cut = "", False
        if not isinstance(documents, str):
            text = documents[row].text
            text, cut = text[:CHARACTERS], len(text) > CHARACTERS
        found.append(
            BadDocument(
                kept.documents[row],
                float(loss[row]),
                text,
                cut,
                _labels(kept, row, names, titles),
            )
        )
    note = (
        f"The {len(found)} of {len(loss):,} documents with the highest cross-entropy "
        "over their labels."
    )
    if isinstance(documents, str):
        note += f" Their texts are not shown: {documents}"
    elif documents and documents[0].features is not None:
        note += " They are features and have no text."
    return Worst(tuple(found), note)


def _labels(
    kept: KeptPredictions, row: int, names: Sequence[str], titles: Mapping[str, str]
) -> tuple[Given, ...]:
    """True and predicted labels, the most probable first."""
    starts = kept.truth.indptr
    true = set(kept.truth.indices[starts[row] : starts[row + 1]].tolist())
    given = []
    for place, label in enumerate(kept.ids[row].tolist()):
        if not kept.known[row, place]:
            continue
        decided = bool(kept.decided[row, place])
        if not decided and label not in true:
            continue
        outcome = ("right" if label in true else "wrong") if decided else "missed"
        name = titles.get(names[label], names[label])
        given.append(Given(name, float(kept.probabilities[row, place]), outcome))
        true.discard(label)
    # What is true and was not even kept.
    given += [
        Given(titles.get(names[i], names[i]), None, "missed") for i in sorted(true)
    ]
    return tuple(given)
