"""Two sets of documents: whether they are of one distribution, and what moved."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers.texts import read_texts
from labelgraph_jax.data.tokenizers.units import words_of
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.problem import Say

FEWEST = 20
"""Different texts that each side needs."""
MOST = 5_000
"""Documents of a side that the classifier reads, drawn at random."""
FOLDS = 5
DRAWS = 2_000
SHOWN = 20
LEVEL = 0.05
"""Level of an interval, and of all reported words or labels together."""


@dataclass(frozen=True)
class Share:
    """The share of documents with a word or a label, on both sides.

    Attributes:
        name: of the word or label.
        first, second: shares of the documents.
        low, high: 95 % interval of their difference, second less first.
    """

    name: str
    first: float
    second: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Differences between two sets of documents.

    Attributes:
        documents: on each side.
        shared_texts: different texts that stand on both.
        accuracy: of a classifier of words that tells the sides apart, on documents it
            was not fitted on; the mean over the two sides, 0.5 by chance.
        accuracy_interval: 95 %, over documents.
        distance: proxy A-distance, 2 (2 accuracy - 1): 0 for one distribution, 2 where
            the sides can always be told apart.
        distance_interval: of it.
        differs: whether the interval of the accuracy lies above 0.5.
        words: whose share moved most, beyond what chance gives any of all words.
        words_moved, words_compared: how many.
        labels, labels_moved, labels_compared: the same of labels that both sides have;
            empty where a side has no labels.
        only_first, only_second: labels that the other side lacks.
    """

    documents: tuple[int, int]
    shared_texts: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    distance: float
    distance_interval: tuple[float, float]
    differs: bool
    words: tuple[Share, ...]
    words_moved: int
    words_compared: int
    labels: tuple[Share, ...]
    labels_moved: int
    labels_compared: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def read_side(config: DataConfig, say: Say) -> list[Document]:
    """Read all documents of a corpus or file, those of a file without labels as well.

    Args:
        config: names it.
        say: is told why labels are not read.

    Raises:
        DataError: it cannot be read, or holds features in place of texts.
    """
    try:
        splits = read_corpus(config, split=False).splits
        documents = [d for split in splits.values() for d in split]
    except DataError as error:
        if not config.data:
            raise
        documents = read_texts(config.data, options=config)
        say(f"labels are not compared: {error}")
    if any(d.features is not None for d in documents):
        name = config.data or config.corpus
        raise DataError(f"{name}: must hold texts to be compared, got rows of features")
    return documents


def compare(
    first: Sequence[Document],
    second: Sequence[Document],
    *,
    names: tuple[str, str] = ("the first", "the second"),
    seed: int = 0,
) -> Comparison:
    """Compare two sets of documents: a held-out classifier, words and labels.

    No label takes part in the classifier, and a text that stands on both sides, or
    twice on one, is never both fitted and judged.

    Args:
        first: documents of one side.
        second: documents of the other.
        names: of the sides, for messages.
        seed: of folds, draws and intervals.

    Raises:
        DataError: a side has fewer than 20 different texts, or no word occurs twice.

    Reference: Ben-David et al., Analysis of Representations for Domain Adaptation,
        NeurIPS 2006; the test by a classifier of Lopez-Paz and Oquab, ICLR 2017.
    """
    # Refuse sides that are too small.
    rng = np.random.default_rng(seed)
    for side, name in zip((first, second), names, strict=True):
        different = len({d.text for d in side})
        if different < FEWEST:
            raise DataError(
                f"{name}: a comparison needs at least {FEWEST} different texts on each "
                f"side, got {different}"
            )
    # How well a classifier tells unseen documents apart, with an interval.
    drawn = [_draw(side, rng) for side in (first, second)]
    texts = [d.text for side in drawn for d in side]
    is_second = np.repeat([False, True], [len(side) for side in drawn])
    right, counts, vocabulary = _told_apart(texts, is_second, rng)
    sizes = np.array([(~is_second).sum(), is_second.sum()])
    recall = np.array([right[~is_second].mean(), right[is_second].mean()])
    draws = (rng.binomial(sizes, recall, (DRAWS, 2)) / sizes).mean(axis=1)
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    # Words and labels whose shares differ beyond chance.
    words, words_moved = _moved(vocabulary, counts, sizes)
    labels = _label_counts(first, second)
    both = [name for name in labels[0] if name in labels[1]]
    carried = np.array([[side[name] for name in both] for side in labels], int)
    label_shares, labels_moved = _moved(
        both, carried.reshape(2, -1), np.array([len(first), len(second)])
    )
    return Comparison(
        (len(first), len(second)),
        len({d.text for d in first} & {d.text for d in second}),
        float(recall.mean()),
        (float(low), float(high)),
        *_distances(float(recall.mean()), (float(low), float(high))),
        bool(low > 0.5),
        words,
        words_moved,
        len(vocabulary),
        label_shares,
        labels_moved,
        len(both),
        *(
            tuple(sorted(set(one) - set(other))) if one and other else ()
            for one, other in (labels, labels[::-1])
        ),
    )


def _distances(
    accuracy: float, interval: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    value, low, high = (max(0.0, 2 * (2 * a - 1)) for a in (accuracy, *interval))
    return value, (low, high)


def _draw(side: Sequence[Document], rng: np.random.Generator) -> list[Document]:
    if len(side) <= MOST:
        return list(side)
    return [side[i] for i in np.sort(rng.choice(len(side), MOST, replace=False))]


def _told_apart(
    texts: list[str], is_second: Bool[np.ndarray, " M"], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, " M"], Int[np.ndarray, "2 V"], list[str]]:
    """Tell which documents a classifier fitted on others puts on their side.

    Returns:
        For each whether it was right; documents of each side with each word; words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        analyzer=lambda text: words_of(text.lower()), min_df=2, sublinear_tf=True
    )
    try:
        rows = vectorizer.fit_transform(texts).tocsr()
    except ValueError:
        raise DataError(
            "texts can be compared where at least one word stands in two of them"
        ) from None
    # Equal texts are in one fold.
    groups = np.unique(texts, return_inverse=True)[1]
    folds = (rng.permutation(groups.max() + 1) % FOLDS)[groups]
    right = np.zeros(len(texts), bool)
    for fold in range(FOLDS):
        judged = folds == fold
        model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1_000)
        model.fit(rows[~judged], is_second[~judged])
        right[judged] = model.predict(rows[judged]) == is_second[judged]
    present = rows.astype(bool).astype(int)
    counts = [np.ravel(present[side].sum(axis=0)) for side in (~is_second, is_second)]
    return right, np.stack(counts), list(vectorizer.get_feature_names_out())


def _label_counts(
    first: Sequence[Document], second: Sequence[Document]
) -> tuple[Counter[str], Counter[str]]:
    one, other = (
        Counter(name for d in side for name in set(d.labels))
        for side in (first, second)
    )
    return one, other


def _moved(
    names: Sequence[str], counts: Int[np.ndarray, "2 V"], sizes: Int[np.ndarray, " 2"]
) -> tuple[tuple[Share, ...], int]:
    """Return the names whose share moved most, and how many moved beyond chance.

    By the difference of smoothed log-odds over its standard error, against the
    threshold that all names together pass by chance in one comparison of twenty.
    """
    if not len(names):
        return (), 0
    carried, left = counts + 0.5, sizes[:, None] - counts + 0.5
    odds = np.log(carried / left)
    error = np.sqrt((1 / carried + 1 / left).sum(axis=0))
    scores = np.abs(odds[1] - odds[0]) / error
    moved = scores > -ndtri(LEVEL / 2 / len(names))
    order = np.argsort(-scores, kind="stable")
    shares: Float[np.ndarray, "2 V"] = counts / sizes[:, None]
    spread = -ndtri(LEVEL / 2) * np.sqrt(
        (carried * left / (sizes[:, None] + 1) ** 3).sum(axis=0)
    )
    found = tuple(
        Share(
            names[i],
            float(shares[0, i]),
            float(shares[1, i]),
            float(shares[1, i] - shares[0, i] - spread[i]),
            float(shares[1, i] - shares[0, i] + spread[i]),
        )
        for i in order[:SHOWN]
        if moved[i]
    )
    return found, int(moved.sum())
