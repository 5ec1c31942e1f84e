"""Labels that a model lacks: groups of texts that it has no label for, with names."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.labels.new_labels import NewLabel
from labelgraph_jax.data.tokenizers.units import words_and_pairs, words_of
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.lsa import lsa_of_rows

DIMENSIONS = 100
FEWEST = 5
"""Documents of a proposal."""
EXAMPLES = 5
TERMS = 6
"""Words and pairs that describe a proposal."""
SURE = 0.5
"""A document whose most probable label is above needs no other."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A label that is proposed.

    Attributes:
        name: the word or pair that sets its documents apart from all others.
        description: further ones.
        documents: how many there are.
        examples: id and text of the five in the middle of them.
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
        seed: of the groups.

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

    Their LSA vectors are grouped by k-means; a group is named by the word or pair w
    with the largest p ln(p / q), of which a share p of the group and a share q of all
    other documents have it.

    Raises:
        DataError: too few documents are left.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Documents of which no label is probable.
    left = np.flatnonzero(probabilities.max(axis=1, initial=0.0) < SURE)
    if len(left) < max(2 * FEWEST, count):
        raise DataError(
            f"at least {max(2 * FEWEST, count)} documents must be without a probable "
            f"label for {count} to be proposed; {len(left)} of {len(documents):,} are"
        )
    # Group them by the words in them, reduced to a few dimensions.
    tfidf = TfidfVectorizer(analyzer=_terms, min_df=2, sublinear_tf=True)
    try:
        rows = tfidf.fit_transform(document.text for document in documents)
    except ValueError:
        raise DataError(
            "at least one word must stand in two of the documents"
        ) from None
    vectors = lsa_of_rows(rows[left], dimensions=DIMENSIONS, seed=seed)
    groups = KMeans(count, n_init=3, random_state=seed).fit(vectors)
    # Groups from the largest: words that tell them apart, and documents in the middle.
    names = tfidf.get_feature_names_out()
    present = rows.astype(bool)
    every = np.asarray(present.sum(axis=0)).ravel()
    taken = {name.lower() for name in labels}
    found = []
    order = np.argsort(-np.bincount(groups.labels_, minlength=count), kind="stable")
    for group in order:
        inside = groups.labels_ == group
        if inside.sum() < FEWEST:
            continue
        own = left[inside]
        terms = _telling(
            np.asarray(present[own].sum(axis=0)).ravel(),
            every,
            len(own),
            len(documents),
        )
        words = [str(names[term]) for term in terms]
        name = next((word for word in words if word not in taken), "")
        if not name:
            continue
        taken.add(name)
        far = np.linalg.norm(vectors[inside] - groups.cluster_centers_[group], axis=1)
        middle = own[np.argsort(far, kind="stable")[:EXAMPLES]]
        means = probabilities[own].mean(axis=0)
        best = int(means.argmax())
        found.append(
            Proposal(
                name,
                f"Texts that say {', '.join(_different(words))}",
                len(own),
                tuple((documents[i].id, documents[i].text) for i in middle),
                labels[best],
                float(means[best]),
                tuple(own.tolist()),
            )
        )
    return found, len(left)


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
