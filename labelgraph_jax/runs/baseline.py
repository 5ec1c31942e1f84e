"""The rival every model stands beside: TF-IDF and one linear SVM per label."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from labelgraph_jax.data.features.matrix import FeatureMatrix
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.tokenizers.units import all_parts, words_and_pairs, words_of
from labelgraph_jax.functional.decisions.thresholds import (
    fit_global_threshold,
    fit_label_thresholds,
)
from labelgraph_jax.functional.metrics.counts import (
    label_counts,
    summarise_label_counts,
)

Vectorizer: TypeAlias = TfidfVectorizer | FeatureMatrix
"""A TfidfVectorizer, or of features a FeatureMatrix."""
WORDS, PARTS, FEATURES = "words, pairs", "words, pairs, parts of words", "features"
"""The vectors that a document may have; the first two are of texts."""
CONSTANT_SCORE = 10.0
"""The score of a label that every training document carries, its negative that of one
that none does: beyond any margin that an SVM gives to a document of unit length."""

Scorer = Callable[
    [
        sparse.csr_matrix,
        np.ndarray,
        Sequence[sparse.csr_matrix],
        float,
        np.ndarray | None,
    ],
    list[np.ndarray],
]
"""`scorer(train, targets, others, c, mask)`: fits on the annotated cells of train (all,
where the mask is None), scores the others, [M, N] each."""


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """The model of one C and how its scores become decisions: score >= threshold."""

    c: float
    reads: str  # WORDS, PARTS or FEATURES
    thresholds: np.ndarray  # [N] float32
    test_scores: np.ndarray  # [M, N] float32 signed distances from the hyperplane
    validation_scores: np.ndarray  # [V, N], always of the model fitted on train alone


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """The baseline at its best under either rule: two rows of a table.

    `at_zero` decides as an SVM does, every threshold 0; `tuned` has its thresholds
    fitted on validation, as the model has. Each has the C and the vectors that suit it.
    """

    at_zero: BaselineRow
    tuned: BaselineRow
    # What is read and C -> validation micro-F1 of the two
    tried: Mapping[tuple[str, float], tuple[float, float]]
    features: int
    seconds: float


def tfidf_svm_baseline(
    train_texts: Sequence[str] | Sequence[Features],
    train_targets: np.ndarray,
    test_texts: Sequence[str] | Sequence[Features],
    *,
    validation_texts: Sequence[str] | Sequence[Features] = (),
    validation_targets: np.ndarray | None = None,
    train_target_mask: np.ndarray | None = None,
    validation_target_mask: np.ndarray | None = None,
    c_choices: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0),
    min_count: int = 2,
    max_features: int = 500_000,
    threshold_shrinkage: float = 10.0,
    refit_with_validation: bool = False,
    seed: int = 0,
) -> BaselineResult:
    """Fit TF-IDF + one-vs-rest linear SVMs and score the test documents.

    Words and word pairs, or these and parts of words, cut as the default model cuts
    them: 1 + log(count), inverse document frequency, unit length of either kind and of
    both together; per label an L2-regularised linear SVM with squared hinge loss. What
    is read and one C for all labels are chosen on the validation documents by micro-F1:
    for the row `at_zero` by that of the decisions at 0, for `tuned` by that at the best
    single threshold (of equally good ones the first). Without validation documents
    words and pairs and the first C are taken.

    Args:
        train_texts: the training documents; of features their rows, whose values are
            taken as they are, at unit length.
        train_targets: [M, N], positive where > 0.
        test_texts: the documents to score.
        validation_texts: the documents that choose C and the thresholds.
        validation_targets: their truth [V, N].
        train_target_mask: True where the document is annotated for the label; each SVM
            is fitted on the documents annotated for its label.
        validation_target_mask: of the validation documents likewise.
        c_choices: regularisation strengths to try, small is strong.
        min_count: words and pairs in fewer training documents are left out (one
            document is enough if nothing would be left).
        max_features: of the rest of either kind, only the most frequent.
        threshold_shrinkage: that of `fit_label_thresholds`.
        refit_with_validation: score the test documents with SVMs of the chosen C
            fitted on train and validation together; by default on train alone, as
            the model is. Thresholds always come from SVMs of train alone.
        seed: of the solver's order.

    Returns:
        Two rows, the same one twice (thresholds 0) without validation documents.

    Raises:
        ValueError: there is no training text, texts and targets differ in number, no
            C is given or one is not above 0, or no text holds a word.
    """

    def scorer(
        train: sparse.csr_matrix,
        targets: np.ndarray,
        others: Sequence[sparse.csr_matrix],
        c: float,
        mask: np.ndarray | None,
    ) -> list[np.ndarray]:
        return svm_scores(train, targets, others, c, seed, mask)

    return fit_on_tfidf(
        scorer,
        train_texts,
        train_targets,
        test_texts,
        validation_texts=validation_texts,
        validation_targets=validation_targets,
        train_target_mask=train_target_mask,
        validation_target_mask=validation_target_mask,
        c_choices=c_choices,
        min_count=min_count,
        max_features=max_features,
        threshold_shrinkage=threshold_shrinkage,
        refit_with_validation=refit_with_validation,
    )


def fit_on_tfidf(
    scorer: Scorer,
    train_texts: Sequence[str | Features],
    train_targets: np.ndarray,
    test_texts: Sequence[str | Features],
    *,
    c_choices: Sequence[float],
    validation_texts: Sequence[str | Features] = (),
    validation_targets: np.ndarray | None = None,
    train_target_mask: np.ndarray | None = None,
    validation_target_mask: np.ndarray | None = None,
    min_count: int = 2,
    max_features: int = 500_000,
    threshold_shrinkage: float = 10.0,
    refit_with_validation: bool = False,
) -> BaselineResult:
    """Choose C, the vectors and the thresholds of any classifier of TF-IDF vectors.

    Args:
        scorer: fits the classifier and scores documents.
        train_texts: as `tfidf_svm_baseline`, and all that follow.
        train_targets: their labels `[M, N]`.
        test_texts: the documents to score.
        c_choices: regularisation strengths to try.
        validation_texts: the documents that choose C and the thresholds.
        validation_targets: their truth `[V, N]`.
        train_target_mask: True where a training document is annotated for the label.
        validation_target_mask: True where a validation document is.
        min_count: words and pairs in fewer training documents are left out.
        max_features: of the rest of either kind, only the most frequent.
        threshold_shrinkage: that of `fit_label_thresholds`.
        refit_with_validation: fit what scores on train and validation together.

    Raises:
        ValueError: as `tfidf_svm_baseline`.
    """
    # Targets, those of validation as far as there are any.
    started = time.perf_counter()
    train_targets = np.asarray(train_targets) > 0
    labels = train_targets.shape[1]
    truth = np.zeros((0, labels)) if validation_targets is None else validation_targets
    truth = np.asarray(truth) > 0
    known = validation_target_mask
    _check(train_texts, train_targets, validation_texts, truth, c_choices)

    # Every C on every kind of vectors, scored on validation.
    tried: dict[tuple[str, float], tuple[float, float]] = {}
    rows: list[BaselineRow] = []
    counts: dict[str, int] = {}
    at_zero = np.zeros(labels, np.float32)
    every: tuple[Sequence[str | Features], ...] = (
        train_texts,
        validation_texts,
        test_texts,
    )
    for reads, count, parts in _vectors(every, min_count, max_features):
        train, validation, test = parts
        counts[reads] = count
        for c in map(float, c_choices if len(truth) else c_choices[:1]):
            scores = scorer(
                train, train_targets, (validation, test), c, train_target_mask
            )
            rows.append(BaselineRow(c, reads, at_zero, scores[1], scores[0]))
            if len(truth):
                single = fit_global_threshold(scores[0], truth, target_mask=known)
                tried[reads, c] = (
                    _micro_f1(scores[0], truth, 0.0, known),
                    _micro_f1(scores[0], truth, single, known),
                )
        if not len(truth):
            break  # nothing to choose by
    # The best at threshold 0, and the best with thresholds of its own.
    zero = tuned = rows[0]
    if len(truth):
        zero = max(rows, key=lambda row: tried[row.reads, row.c][0])
        tuned = max(rows, key=lambda row: tried[row.reads, row.c][1])
        thresholds = fit_label_thresholds(
            tuned.validation_scores,
            truth,
            shrinkage=threshold_shrinkage,
            target_mask=known,
        )
        tuned = replace(tuned, thresholds=thresholds)
    # What was chosen, fitted once more with validation documents.
    if refit_with_validation and len(truth):
        both = np.concatenate([train_targets, truth])
        mask = _stacked(train_targets, train_target_mask, truth, known)
        every = ([*train_texts, *validation_texts], test_texts)
        for reads, _, parts in _vectors(every, min_count, max_features):
            zero, tuned = (
                replace(
                    row, test_scores=scorer(parts[0], both, parts[1:], row.c, mask)[0]
                )
                if row.reads == reads
                else row
                for row in (zero, tuned)
            )
    seconds = time.perf_counter() - started
    return BaselineResult(zero, tuned, tried, counts[tuned.reads], seconds)


def _stacked(
    one: np.ndarray,
    one_mask: np.ndarray | None,
    other: np.ndarray,
    other_mask: np.ndarray | None,
) -> np.ndarray | None:
    """The mask of two sets of targets, one after the other."""
    if one_mask is None and other_mask is None:
        return None
    masks = ((one, one_mask), (other, other_mask))
    return np.concatenate(
        [np.ones(y.shape, bool) if mask is None else mask for y, mask in masks]
    )


def _micro_f1(
    scores: np.ndarray, truth: np.ndarray, threshold: float, mask: np.ndarray | None
) -> float:
    counts = label_counts(scores >= np.float32(threshold), truth, target_mask=mask)
    return summarise_label_counts(counts)["micro_f1"]


def svm_scores(
    train: sparse.csr_matrix,
    targets: np.ndarray,
    others: Sequence[sparse.csr_matrix],
    c: float,
    seed: int,
    mask: np.ndarray | None,
) -> list[np.ndarray]:
    """Fit one SVM per label on train and score the other documents, label by label.

    A label with nothing to part gets a constant score.
    """
    labels = targets.shape[1]
    scores = [np.empty((other.shape[0], labels), np.float32) for other in others]
    for label in range(labels):
        texts, truth = train, targets[:, label]
        if mask is not None:
            texts, truth = train[mask[:, label]], truth[mask[:, label]]
        if truth.sum() in (0, len(truth)):
            for columns in scores:
                columns[:, label] = CONSTANT_SCORE if truth.any() else -CONSTANT_SCORE
            continue
        svm = LinearSVC(C=c, random_state=seed).fit(texts, truth)
        for columns, other in zip(scores, others, strict=True):
            columns[:, label] = other @ svm.coef_[0] + svm.intercept_[0]
    return scores


def _vectors(
    texts: Sequence[Sequence[Any]], min_count: int, max_features: int
) -> Iterator[tuple[str, int, list[sparse.csr_matrix]]]:
    """Yield each kind of features, how many there are, and each split as vectors.

    Args:
        texts: of each split, the first being what features are taken from.
        min_count: as `tfidf_svm_baseline`.
        max_features: as `tfidf_svm_baseline`.
    """
    if isinstance(texts[0][0], Features):
        rows = FeatureMatrix(texts[0], min_count=min_count, max_features=max_features)
        yield FEATURES, len(rows.vocabulary_), [_transform(rows, t) for t in texts]
        return
    count, words = _tfidf(_words_and_pairs, texts, min_count, max_features)
    yield WORDS, count, words
    try:
        more, parts = _tfidf(_parts, texts, min_count, max_features)
    except ValueError:
        return  # Chinese of one or two characters has no parts
    both = [
        sparse.hstack(pair, format="csr") * np.float32(np.sqrt(0.5))
        for pair in zip(words, parts, strict=True)
    ]
    yield PARTS, count + more, both


def _words_and_pairs(text: str) -> list[str]:
    return list(words_and_pairs(words_of(text)))


def _parts(text: str) -> list[str]:
    return list(all_parts(words_of(text)))


def _tfidf(
    analyzer: Callable[[str], list[str]],
    texts: Sequence[Sequence[str]],
    min_count: int,
    max_features: int,
) -> tuple[int, list[sparse.csr_matrix]]:
    for least in (min_count, 1):
        vectorizer = TfidfVectorizer(
            analyzer=analyzer,
            sublinear_tf=True,
            min_df=least,
            max_features=max_features,
            dtype=np.float32,
        )
        try:
            train = vectorizer.fit_transform(texts[0])
        except ValueError as error:
            # scikit-learn says "no terms remain" or "empty vocabulary".
            if least == 1:
                raise ValueError(f"no training text holds a word: {error}") from error
            continue
        others = [_transform(vectorizer, split) for split in texts[1:]]
        return len(vectorizer.vocabulary_), [train, *others]
    raise AssertionError("unreachable: the last attempt returns or raises")


def _transform(vectorizer: Vectorizer, texts: Sequence[Any]) -> sparse.csr_matrix:
    if not texts:
        return sparse.csr_matrix((0, len(vectorizer.vocabulary_)), dtype=np.float32)
    return vectorizer.transform(texts)


def _check(
    train_texts: Sequence[str | Features],
    train_targets: np.ndarray,
    validation_texts: Sequence[str | Features],
    validation_targets: np.ndarray,
    c_choices: Sequence[float],
) -> None:
    if not train_texts:
        raise ValueError("the baseline needs at least one training text")
    for split, texts, targets in (
        ("train", train_texts, train_targets),
        ("validation", validation_texts, validation_targets),
    ):
        shape = (len(texts), train_targets.shape[1])
        if targets.shape != shape:
            raise ValueError(
                f"{split} targets must have the shape [texts, labels] {shape}, got "
                f"{targets.shape}"
            )
    if not c_choices or not all(c > 0 for c in c_choices):
        raise ValueError(f"c_choices must be numbers above 0, got {list(c_choices)}")
