"""Files of labels by several annotators: how far they agree, with intervals."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.readers.texts import read_files
from labelgraph_jax.functional.metrics.agreement import (
    PairAgreement,
    fleiss_kappa,
    krippendorff_alpha,
    masi_distance,
    pair_agreement,
)
from labelgraph_jax.functional.metrics.bootstrap import document_draws, resampled_f1

DRAWS = 1_000
FEWEST = 2
"""Documents that two annotators must share."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number and its 95 % interval over documents; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class LabelAgreement:
    """Agreement of annotators on one label.

    Attributes:
        name: of the label.
        given: share of the annotations that give it.
        kappa: Cohen's, mean over the pairs of annotators.
        pabak: the same of PABAK.
        fleiss: Fleiss' kappa of all annotators.
    """

    name: str
    given: float
    kappa: Measured
    pabak: float | None
    fleiss: Measured


@dataclasses.dataclass(frozen=True)
class AnnotatorPair:
    """Agreement of two annotators.

    Attributes:
        names: of their files.
        documents: that both annotated.
        kappa: Cohen's, mean over labels for which it is defined.
        micro_f1, macro_f1: of one against the other; which is which makes no odds.
    """

    names: tuple[str, str]
    documents: int
    kappa: Measured
    micro_f1: Measured
    macro_f1: Measured


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Agreement of several annotators.

    Attributes:
        names: of their files.
        documents: that at least two annotated.
        alpha: Krippendorff's, of whole label sets with MASI distance.
        fleiss: Fleiss' kappa, mean over labels for which it is defined.
        pairs: of annotators.
        labels: the most frequent first.
    """

    names: tuple[str, ...]
    documents: int
    alpha: Measured
    fleiss: Measured
    pairs: tuple[AnnotatorPair, ...]
    labels: tuple[LabelAgreement, ...]


def read_annotator(path: str | Path, options: ReadingConfig) -> list[Document]:
    """Read what one annotator said.

    Raises:
        DataError: as `read_documents`.
    """
    # Of a document with null for labels this annotator has said nothing.
    return [d for d in read_files([Path(path)], options)[0] if d.labelled]


def agree(
    annotators: Sequence[Sequence[Document]], *, names: Sequence[str], seed: int = 0
) -> Agreement:
    """Measure the agreement of annotators, whose documents are matched by their ids.

    A document that an annotator lacks is missing, and so are labels under
    "unannotated"; a set of labels of which some are missing is missing as a whole.

    Args:
        annotators: documents of each, two or more.
        names: of the annotators, for messages.
        seed: of the intervals.

    Raises:
        DataError: one id with two texts, or fewer than two documents in common.
    """
    # [A, M, N]: which labels each annotator gave, and which it judged.
    ids = _common_ids(annotators, names)
    found = [{d.id: d for d in documents} for documents in annotators]
    every = [d for documents in annotators for d in documents]
    space = LabelSpace.from_documents(every)
    shape = (len(annotators), len(ids), len(space))
    given, known = np.zeros(shape, bool), np.zeros(shape, bool)
    for a, documents in enumerate(found):
        rows = [row for row, name in enumerate(ids) if name in documents]
        here = [documents[ids[row]] for row in rows]
        given[a, rows] = space.targets(here)[0] > 0
        mask = space.target_mask(here)
        known[a, rows] = True if mask is None else mask
    given &= known
    # Agreement of every pair, with resamples of the documents.
    draws = document_draws(len(ids), DRAWS, seed=seed)
    chosen = list(itertools.combinations(range(len(names)), 2))
    plain = [pair_agreement(given[i], given[j], known[i] & known[j]) for i, j in chosen]
    drawn = [
        pair_agreement(given[i], given[j], known[i] & known[j], draws=draws)
        for i, j in chosen
    ]
    pairs = tuple(
        _pair((names[i], names[j]), given[[i, j]], known[[i, j]], one, other, draws)
        for (i, j), one, other in zip(chosen, plain, drawn, strict=True)
    )
    # Agreement on every label: means over pairs, and all annotators at once.
    kappa = _mean(np.stack([pair.kappa for pair in plain]))
    kappa_drawn = _mean(np.stack([pair.kappa for pair in drawn]))
    pabak = _mean(np.stack([pair.pabak for pair in plain]))
    votes = np.stack([given.sum(axis=0), (known & ~given).sum(axis=0)], axis=-1)
    fleiss = np.array([fleiss_kappa(votes[:, n]) for n in range(len(space))])
    fleiss_drawn = np.stack(
        [fleiss_kappa(votes[:, n], draws=draws) for n in range(len(space))], axis=1
    )
    share = given.sum(axis=(0, 1)) / known.sum(axis=(0, 1)).clip(1)
    labels = [
        LabelAgreement(
            name,
            float(share[n]),
            _measured(kappa[n], kappa_drawn[:, n]),
            _number(pabak[n]),
            _measured(fleiss[n], fleiss_drawn[:, n]),
        )
        for n, name in enumerate(space.names)
    ]
    return Agreement(
        tuple(names),
        int((known.any(axis=2).sum(axis=0) > 1).sum()),
        _alpha(given, np.all(known, axis=2), draws),
        _measured(_mean(fleiss), _mean(fleiss_drawn.T)),
        pairs,
        tuple(sorted(labels, key=lambda label: -label.given)),
    )


def _common_ids(
    annotators: Sequence[Sequence[Document]], names: Sequence[str]
) -> list[str]:
    """The ids that at least two annotators have."""
    first: dict[str, tuple[Document, str]] = {}
    common: dict[str, None] = {}
    for documents, name in zip(annotators, names, strict=True):
        for document in documents:
            other, where = first.setdefault(document.id, (document, name))
            if other is document:
                continue
            if other.content != document.content:
                raise DataError(
                    f"{document.source or name}: the document {document.id!r} must "
                    f"have the text that it has in {other.source or where}: documents "
                    "are matched by their ids"
                )
            common[document.id] = None
    if len(common) < FEWEST:
        raise DataError(
            f"{', '.join(names)}: must have at least {FEWEST} documents in common to "
            f"be compared, matched by their ids; got {len(common)}"
        )
    return list(common)


def _pair(
    names: tuple[str, str],
    given: Bool[np.ndarray, "2 M N"],
    known: Bool[np.ndarray, "2 M N"],
    plain: PairAgreement,
    drawn: PairAgreement,
    draws: np.ndarray,
) -> AnnotatorPair:
    one, other = given & known.all(axis=0)
    once = np.ones((1, len(draws[0])), np.int64)
    f1, f1_drawn = (resampled_f1(one, other, times) for times in (once, draws))
    return AnnotatorPair(
        names,
        int(np.all(known, axis=0).any(axis=1).sum()),
        _measured(_mean(plain.kappa), _mean(drawn.kappa.T)),
        *(_measured(f1[name][0], f1_drawn[name]) for name in ("micro_f1", "macro_f1")),
    )


def _alpha(
    given: Bool[np.ndarray, "A M N"],
    whole: Bool[np.ndarray, "A M"],
    draws: np.ndarray,
) -> Measured:
    sets, rows = np.unique(
        given.reshape(-1, given.shape[-1]), axis=0, return_inverse=True
    )
    values = np.where(whole, rows.reshape(whole.shape), -1)
    distances = masi_distance(sets, sets)
    return _measured(
        krippendorff_alpha(values, distances),
        krippendorff_alpha(values, distances, draws=draws),
    )


def _mean(values: Float[np.ndarray, "A ..."]) -> Float[np.ndarray, "..."]:
    """The mean over what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _measured(value: float | np.ndarray, drawn: Float[np.ndarray, " R"]) -> Measured:
    left = drawn[~np.isnan(drawn)]
    if math.isnan(value) or not left.size:
        return Measured(_number(float(value)), None, None)
    low, high = np.quantile(left, [0.025, 0.975])
    return Measured(float(value), float(low), float(high))
