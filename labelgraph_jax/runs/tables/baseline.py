"""Baselines on a table: a linear model and gradient boosting for every target."""

import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from scipy import sparse

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.predictors.tables.decision import Rules, calibrated, choose_rules
from labelgraph_jax.predictors.tables.metrics import summarise
from labelgraph_jax.predictors.tables.network import PRIOR_FLOOR, constant_outputs

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# What the boosting takes as categories; larger columns it reads as ordered numbers,
# the most frequent category first.
_MOST_CATEGORIES = 254
# Of lists and words the boosting reads the most frequent ones alone.
_MOST_ITEMS = 66

Inputs: TypeAlias = np.ndarray | sparse.csr_matrix


def table_baselines(
    train: TableExamples,
    test: TableExamples,
    targets: Sequence[Target],
    cardinalities: Sequence[int],
    weights: Sequence[float],
    *,
    bags: Sequence[tuple[int, int]] = (),
    seed: int = 0,
    validation: TableExamples | None = None,
    threshold: ThresholdConfig | None = None,
) -> dict[str, Any]:
    """Train scikit-learn's models on the same rows, one for each target.

    Logistic or ridge regression over one-hot categories and numbers; histogram gradient
    boosting, stopped early on a tenth of the training rows. A target that does not vary
    gets the constant prediction.

    Args:
        train: encoded rows to fit on.
        test: encoded rows to measure on.
        targets: the tasks.
        cardinalities: of the categorical columns.
        weights: of the tasks, for the mean skill.
        bags: of the columns of lists and texts, see `TableSchema.bags`.
        seed: of the boosting's own validation split.
        validation: rows on which these models, too, are calibrated and their
            thresholds chosen; without any they decide at 0.5.
        threshold: how.

    Returns:
        Seconds, and per model what `tables.metrics.summarise` gives for the test rows.
    """
    started = time.perf_counter()
    found = {}
    for name, fit in (("linear", _Linear), ("boosting", _Boosting)):
        model = fit(cardinalities, bags, seed)
        parts = [part for part in (test, validation) if part is not None]
        inputs = model.inputs(train), [model.inputs(part) for part in parts]
        every = [
            _outputs(model, target, column, train, *inputs)
            for target, column in _columns(targets)
        ]
        outputs, *held = (np.concatenate(own, 1) for own in zip(*every, strict=True))
        rules: Rules = {}
        if validation is not None:
            truth = validation.targets, validation.target_mask, validation.weights
            settings = threshold or ThresholdConfig()
            rules = choose_rules(settings, held[0], targets, *truth)
        found[name] = summarise(
            calibrated(outputs, targets, rules),
            test,
            targets,
            weights,
            rules=rules,
        )
    return {"seconds": round(time.perf_counter() - started, 1), "models": found}


def _bag_shares(
    examples: TableExamples, start: int, bags: Sequence[tuple[int, int]]
) -> list[sparse.csr_matrix]:
    """Share that an id has of a row, for columns of several ids, sparse."""
    found = []
    for size, length in bags:
        ids = examples.categories[:, start : start + length]
        start += length
        rows, places = np.nonzero(ids)
        share = 1.0 / np.bincount(rows, minlength=len(ids))[rows]
        shape = (len(ids), size)
        found.append(sparse.csr_matrix((share, (rows, ids[rows, places])), shape))
    return found


def _columns(targets: Sequence[Target]) -> list[tuple[Target, int]]:
    starts = np.cumsum([0, *(target.width for target in targets)])
    return [(t, int(start)) for t, start in zip(targets, starts, strict=False)]


def _outputs(
    model: "_Linear | _Boosting",
    target: Target,
    start: int,
    train: TableExamples,
    train_inputs: Inputs,
    inputs_of: Sequence[Inputs],
) -> list[np.ndarray]:
    """Logits, or standardised values, of one task for the rows of every part."""
    columns = slice(start, start + target.width)
    known = np.ones(len(train), bool)
    if train.target_mask is not None:
        known = train.target_mask[:, start]
    inputs, wanted = train_inputs[known], train.targets[known, columns]
    each = None if train.weights is None else train.weights[known]
    found = [np.tile(constant_outputs(target), (own.shape[0], 1)) for own in inputs_of]
    if target.kind == "squared":
        if target.is_constant:
            return found
        fitted = model.regression().fit(inputs, wanted[:, 0], each)
        return [fitted.predict(own)[:, None] for own in inputs_of]
    if target.kind == "multi_class":
        # Classes that these rows lack keep the floor's probability.
        fitted = model.classifier().fit(inputs, wanted.argmax(axis=1), each)
        for outputs, own in zip(found, inputs_of, strict=True):
            probabilities = np.full(outputs.shape, PRIOR_FLOOR / target.width)
            probabilities[:, fitted.classes_] = fitted.predict_proba(own)
            outputs[:] = np.log(np.maximum(probabilities, 1e-12))
        return found
    for number in range(target.width):
        if 0 < wanted[:, number].sum() < len(wanted):
            fitted = model.classifier().fit(inputs, wanted[:, number], each)
            for outputs, own in zip(found, inputs_of, strict=True):
                share = np.clip(fitted.predict_proba(own)[:, 1], 1e-12, 1 - 1e-12)
                outputs[:, number] = np.log(share) - np.log1p(-share)
    return found


class Fit(Protocol):
    """A model of scikit-learn that takes a weight for each row."""

    def fit(
        self, inputs: Inputs, targets: np.ndarray, weights: np.ndarray | None = None, /
    ) -> "BaseEstimator":
        """Fit, and return the model that predicts."""


class _Linear:
    """Logistic and ridge regression over one-hot categories."""

    def __init__(
        self, cardinalities: Sequence[int], bags: Sequence[tuple[int, int]], seed: int
    ) -> None:
        self._ends = np.cumsum([0, *cardinalities])
        self._bags = bags

    def inputs(self, examples: TableExamples) -> sparse.csr_matrix:
        count, width = len(examples), len(self._ends) - 1
        columns = (examples.categories[:, :width] + self._ends[:-1]).ravel()
        rows = np.repeat(np.arange(count), width)
        shape = (count, int(self._ends[-1]))
        hot = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
        shares = _bag_shares(examples, width, self._bags)
        numbers = sparse.csr_matrix(examples.numbers)
        return sparse.hstack([hot, *shares, numbers], format="csr")

    def classifier(self) -> Fit:
        from sklearn.linear_model import LogisticRegression

        return _Quiet(LogisticRegression(max_iter=200))

    def regression(self) -> Fit:
        from sklearn.linear_model import Ridge

        return Ridge()


class _Boosting:
    """Histogram gradient boosting over category ids and numbers."""

    def __init__(
        self, cardinalities: Sequence[int], bags: Sequence[tuple[int, int]], seed: int
    ) -> None:
        self._width, self._bags = len(cardinalities), bags
        self._options = {
            "categorical_features": [
                i for i, size in enumerate(cardinalities) if size <= _MOST_CATEGORIES
            ]
            or None,
            "early_stopping": True,
            "random_state": seed,
        }

    def inputs(self, examples: TableExamples) -> np.ndarray:
        parts = [examples.categories[:, : self._width], examples.numbers]
        for shares in _bag_shares(examples, self._width, self._bags):
            parts.append(shares[:, :_MOST_ITEMS].toarray())
        return np.concatenate(parts, axis=1)

    def classifier(self) -> Fit:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(**self._options)

    def regression(self) -> Fit:
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**self._options)


class _Quiet:
    """A model whose warning that it stopped before it converged stays unsaid."""

    def __init__(self, model: Fit) -> None:
        self._model = model

    def fit(
        self, inputs: Inputs, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> "BaseEstimator":
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._model.fit(inputs, targets, weights)
