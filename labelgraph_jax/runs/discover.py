"""Labels that a model lacks: words that lead texts which it has no label for."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, csr_matrix

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels.new_labels import NewLabel
from labelgraph_jax.data.tokenizers.units import words_and_pairs, words_of
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.lsa import lsa_of_rows

DIMENSIONS = 100
LEADING = 6
"""Terms that a document is taken to be about."""
FEWEST = 5
"""Documents that the word of a proposal leads."""
EXAMPLES = 5
TERMS = 6
"""Words and pairs that describe a proposal."""
SURE = 0.5
"""A document whose most probable label is above needs no other."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A label that is proposed.

    Attributes:
        name: the word that its documents say.
        description: it, and others that set them apart.
        documents: how many there are, those with a probable label among them.
        examples: id and text of five that have none, in the middle of these.
        nearest: the label of the model that is most probable for them, on average.
        nearest_probability: how probable.
        rows: of its documents, among all.
    """

    name: str
    description: str
    documents: int
    examples: tuple[tuple[str, str], ...]
    nearest: str
    nearest_probability: float
    rows: tuple[int, ...] = dataclasses.field(repr=False)

    def to_label(self) -> NewLabel:
        """Return it as `labels add` takes it."""
        return NewLabel(self.name, self.description)


def discover(
    model: Model, documents: Sequence[Document], count: int, *, seed: int = 0
) -> tuple[list[Proposal], int]:
    """Propose labels for the documents that a model has none for.

    Args:
        model: that has labels.
        documents: texts, whose own labels are not read.
        count: of labels, at most.
        seed: of the LSA vectors.

    Returns:
        Proposals, those of the most documents first, and how many documents are looked
        at.

    Raises:
        DataError: too few documents are left.
    """
    probabilities = model.predict_proba([document.text for document in documents])
    return propose_labels(documents, probabilities, model.labels, count, seed=seed)


def propose_labels(
    documents: Sequence[Document],
    probabilities: Float[np.ndarray, "M N"],
    labels: Sequence[str],
    count: int,
    *,
    seed: int = 0,
) -> tuple[list[Proposal], int]:
    """Propose labels for the documents of which no label is probable.

    Every such document has a few leading terms, those of the largest TF-IDF weight. A
    word is worth the cosines, summed, of the documents that it leads to their centre,
    in LSA vectors. The word that is worth most is proposed, for all documents that say
    it; these count no more for the words that come after.

    Raises:
        DataError: too few documents are left.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    left = np.flatnonzero(probabilities.max(axis=1, initial=0.0) < SURE)
    if len(left) < max(2 * FEWEST, count):
        raise DataError(
            f"at least {max(2 * FEWEST, count)} documents must be without a probable "
            f"label for {count} to be proposed; {len(left)} of {len(documents):,} are"
        )
    tfidf = TfidfVectorizer(analyzer=_terms, min_df=2, sublinear_tf=True)
    try:
        rows = tfidf.fit_transform(document.text for document in documents)
    except ValueError:
        raise DataError(
            "at least one word must stand in two of the documents"
        ) from None
    vectors = lsa_of_rows(rows[left], dimensions=DIMENSIONS, seed=seed)
    names = tfidf.get_feature_names_out()
    present = rows.astype(bool).tocsc()
    every = np.asarray(present.sum(axis=0)).ravel()

    # [V, D]: the centre of the documents that a term leads; no direction where none.
    leads = _leading(rows[left])
    centres = leads.T @ vectors
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    own = np.asarray(leads.sum(axis=0)).ravel()
    taken = {name.lower() for name in labels}
    candidates = own >= FEWEST
    candidates &= [" " not in name and name not in taken for name in names]

    # [V, L]: the worth of every document that is left to every word.
    at, terms = leads.nonzero()
    cosines = np.einsum("nd,nd->n", vectors[at], centres[terms])
    shape = (len(names), len(left))
    worth = csr_array((np.maximum(cosines, 0) * candidates[terms], (terms, at)), shape)
    counts = np.ones(len(left))
    found: list[Proposal] = []
    while len(found) < count:
        gains = worth @ counts
        term = int(gains.argmax())
        if gains[term] <= 0:
            break
        saying = present[:, [term]].nonzero()[0]
        among = np.flatnonzero(np.isin(left, saying))
        counts[among] = 0
        far = -vectors[among] @ centres[term]
        middle = left[among[np.argsort(far, kind="stable")[:EXAMPLES]]]
        telling = _telling(
            np.asarray(present[saying].sum(axis=0)).ravel(),
            every,
            len(saying),
            len(documents),
        )
        words = [str(names[term]), *(str(names[other]) for other in telling)]
        means = probabilities[left[among]].mean(axis=0)
        best = int(means.argmax())
        found.append(
            Proposal(
                words[0],
                f"Texts that say {', '.join(_different(words))}",
                len(saying),
                tuple((documents[i].id, documents[i].text) for i in middle),
                labels[best],
                float(means[best]),
                tuple(saying.tolist()),
            )
        )
    order = np.argsort([-proposal.documents for proposal in found], kind="stable")
    return [found[i] for i in order], len(left)


def _leading(rows: csr_matrix) -> csr_array:
    """Mark the terms of the largest weights in each row, `LEADING` at most."""
    at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((-rows.data, at))
    rank = np.arange(len(at)) - rows.indptr[at[order]]
    kept = order[rank < LEADING]
    marks = np.ones(len(kept), np.float32)
    return csr_array((marks, (at[kept], rows.indices[kept])), rows.shape)


def _terms(text: str) -> Iterable[str]:
    """Words of three letters or more, and pairs of them."""
    return words_and_pairs(
        [word for word in words_of(text) if len(word) > 2 and word.isalpha()]
    )


def _telling(
    own: Int[np.ndarray, " V"], every: Int[np.ndarray, " V"], inside: int, count: int
) -> Int[np.ndarray, " V"]:
    """The terms in the order of how they set the documents of a group apart."""
    p = own / inside
    q = (every - own + 0.5) / (count - inside + 1)
    scores: Float[np.ndarray, " V"] = p * np.log(np.maximum(p, 1e-9) / q)
    return np.argsort(-scores, kind="stable")[: 3 * TERMS]


def _different(words: Sequence[str]) -> list[str]:
    """The first few that are no part of one another."""
    kept: list[str] = []
    for word in words:
        if not any(set(word.split()) & set(other.split()) for other in kept):
            kept.append(word)
    return kept[:TERMS]
