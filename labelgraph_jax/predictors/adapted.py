"""Files of a work directory on its adaptation to other documents.

adaptation.json    how the run adapts, as it was chosen before training
prior_shift.json   what is added to the logit of each label, by name
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float

from labelgraph_jax.data.files import read_json, write_json
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.domains import DOMAIN

CHOSEN, SHIFT = "adaptation.json", "prior_shift.json"


class AdaptChoice(TypedDict, total=False):
    """The way in which a run adapts to target documents, and what it did.

    Attributes:
        asked, kind, reason, selection: what was asked for, what was chosen, and why.
        domain_accuracy_of_words, effective_documents, gains: what the choice measured.
        target_documents, predicted_shares, domain_accuracy, warning: of the result.
    """

    asked: str
    kind: str
    reason: str
    selection: str
    domain_accuracy_of_words: float
    effective_documents: float
    gains: dict[str, list[float]]
    target_documents: int
    predicted_shares: dict[str, list[float]]
    domain_accuracy: dict[str, float]
    warning: str


def save_chosen(place: Workdir, about: AdaptChoice) -> None:
    """Write down how a run adapts."""
    write_json(place.path / CHOSEN, dict(about))


def read_chosen(place: Workdir) -> AdaptChoice | None:
    """Return how a run adapts; None where that has not been chosen.

    Raises:
        WorkdirError: the file is damaged.
    """
    path = place.path / CHOSEN
    if not path.is_file():
        return None
    about: AdaptChoice = read_json(path, error=WorkdirError)
    if not isinstance(about, dict) or not {"kind", "reason", "asked"} <= set(about):
        raise WorkdirError(f"{path}: must say how the run adapts, its kind and reason")
    return about


def save_shift(
    place: Workdir, labels: Sequence[str], odds: Float[np.ndarray, " N"]
) -> None:
    """Write down what is added to the logits of a run."""
    shift = {name: float(value) for name, value in zip(labels, odds, strict=True)}
    write_json(place.path / SHIFT, shift)


def drop_shift(place: Workdir) -> None:
    """Forget it: what is chosen anew reads the network as training left it."""
    (place.path / SHIFT).unlink(missing_ok=True)


def predicting(place: Workdir, params: Params, labels: Sequence[str]) -> Params:
    """The parameters that predict, without what only training reads.

    Biases are corrected for other label frequencies.

    Raises:
        WorkdirError: the correction is damaged.
    """
    params = {name: value for name, value in params.items() if name != DOMAIN}
    path = place.path / SHIFT
    if not path.is_file():
        return params
    try:
        shift = read_json(path, error=WorkdirError)
        odds = np.asarray([float(shift[name]) for name in labels], np.float32)
        if not np.isfinite(odds).all():
            raise ValueError("a number is not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise WorkdirError(
            f"{path}: must hold one finite number per label: {error}"
        ) from None
    return {**params, "label_bias": np.asarray(params["label_bias"]) + odds}
