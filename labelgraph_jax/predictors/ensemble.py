"""Several trained models as one: their logits, weighed on validation and added.

Models that err differently (an encoder that knows the language, a bag that knows every
word of this corpus) are better together than the best of them alone.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.predictors.documents import Encoded
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, so that their logits are finite."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ensemble(Model):
    """Several models of the same labels; what `lg.load` returns for an ensemble.

    The probability of a label is `sigmoid(bias + sum_k weights[k] logit_k)`.

    Attributes:
        members: the models; settings, labels and graph of the first are the ensemble's.
        weights: one per member, not negative.
        bias: added to every logit.
    """

    members: tuple[Model, ...]
    weights: np.ndarray
    bias: float

    @property
    def label_chunk(self) -> int:  # type: ignore[override]
        """0: every member gives all its scores, which are then joined."""
        return 0

    @property
    def network(self) -> Model:
        """Network of the first member, of which graph and figures are shown."""
        return self.members[0].network

    @property
    def kind(self) -> str:
        """Name under which the ensemble is shown."""
        return "Ensemble"

    def encode(self, documents: Sequence[Document]) -> Encoded:
        """Documents as the first member reads them."""
        return self.members[0].encode(documents)

    def predict_examples(
        self,
        documents: Sequence[Document],
        examples: Examples,
        *,
        batch_size: int | None = None,
        every_label: bool = False,
    ) -> Predictions:
        """Return the members' probabilities, joined; arguments as of `Model`."""
        # The first member reads these examples; the others encode for themselves.
        first, *others = self.members
        probabilities = [
            first.predict_examples(
                documents, examples, batch_size=batch_size, every_label=True
            ).probabilities
        ]
        probabilities += [
            other.score_documents(documents, batch_size=batch_size)[1]
            for other in others
        ]
        return self.combine(probabilities)

    def combine(self, probabilities: Sequence[np.ndarray]) -> Predictions:
        """The predictions of the whole from the probabilities of each member."""
        joined = combine(probabilities, self.weights, self.bias)
        return Predictions(None, joined, len(self.labels))


def join(
    workdir: Workdir, members: Sequence[Model], weights: np.ndarray, bias: float
) -> Ensemble:
    """Models as one; each member asks its own memory.

    Args:
        workdir: of the ensemble.
        members: two or more, of the same labels.
        weights: of the members' logits, see `fit_weights`.
        bias: of the sum, see `fit_weights`.
    """
    first = {
        field.name: getattr(members[0], field.name)
        for field in dataclasses.fields(Model)
        if field.name not in ("workdir", "memory", "step")
    }
    return Ensemble(
        workdir=workdir, members=tuple(members), weights=weights, bias=bias, **first
    )


def combine(
    probabilities: Sequence[np.ndarray], weights: np.ndarray, bias: float
) -> np.ndarray:
    """`sigmoid(bias + sum_k weights[k] logit(p_k))`, float32 `[M, N]`."""
    from scipy.special import expit

    summed = np.tensordot(weights, _logits(probabilities), axes=1) + bias
    return expit(summed).astype(np.float32)


def fit_weights(
    probabilities: Sequence[np.ndarray],
    targets: np.ndarray,
    target_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """The weights and the bias with the lowest cross-entropy on these documents.

    With K members these are K + 1 numbers, so a few hundred documents suffice. The
    problem is convex: logistic regression on the members' logits, weights kept >= 0.

    Args:
        probabilities: of each member, `[M, N]`.
        targets: their truth `[M, N]`.
        target_mask: true where a document is annotated for a label; all, if None.

    Returns:
        The weights `[K]`, and the bias.
    """
    # Imported where a model is asked: together they take as long as JAX.
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = _logits(probabilities)
    truth = np.asarray(targets) > 0
    if target_mask is not None:
        logits, truth = logits[:, target_mask], truth[target_mask]
    logits, truth = logits.reshape(len(logits), -1), truth.ravel()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        summed = values[:-1] @ logits + values[-1]
        error = (expit(summed) - truth) / truth.size
        mean = np.mean(np.logaddexp(0.0, summed) - truth * summed)
        return float(mean), np.append(logits @ error, error.sum())

    count = len(logits)
    start = np.append(np.full(count, 1.0 / count), 0.0)
    bounds = [(0.0, None)] * count + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1], float(found.x[-1])


def _logits(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    from scipy.special import logit

    stacked = np.stack([np.asarray(p, np.float64) for p in probabilities])
    return logit(np.clip(stacked, SMALLEST, 1 - SMALLEST))
