"""Votes of labelling functions for one label: probabilities, and what each is worth.

A function says of a document that it has the label, that it has it not, or nothing.
Everything is counted in NumPy and float64.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from labelgraph_jax.functional.checks import check_axes, check_integers, check_shares

Host = np.ndarray
FEWEST = 3
"""Functions that expectation-maximisation needs: fewer say nothing of each other."""


class VoteModel(NamedTuple):
    """Probabilities of a label, and reliability of the functions that voted on it.

    Attributes:
        probabilities: that a document has the label.
        voted: False where all functions abstained: nothing is known but the prior.
        prior: share of all documents with the label.
        accuracies: of each function, the probability that a vote of it is right; NaN of
            one that never voted.
        rates: of each function, the probability of a vote against, none, and for: of
            documents without the label (row 0) and with it (row 1).
    """

    probabilities: Float[Host, " M"]
    voted: Bool[Host, " M"]
    prior: float
    accuracies: Float[Host, " F"]
    rates: Float[Host, "F 2 3"]


def vote_model(
    votes: Int[Host, "M F"],
    prior: float | None = None,
    *,
    method: str = "majority",
    strength: float = 0.25,
    steps: int = 200,
) -> VoteModel:
    """Return the probability of a label from votes for and against it.

    Majority, drawn to the prior g as if that were `strength` votes:

        p = (n_for + s g) / (n_for + n_against + s)

    Expectation-maximisation (em): votes are independent given the truth,

        p = g prod_f r_f1(v_f) / (g prod_f r_f1(v_f) + (1 - g) prod_f r_f0(v_f))

    with the rates r of each function and g fitted to all votes, from the majority on.
    An abstention counts: a function that finds most documents with a label says
    something by its silence.

    Example:
        >>> import numpy as np
        >>> import labelgraph_jax as lg
        >>> votes = np.array([[1, 1], [1, -1], [0, 0]])
        >>> found = lg.functional.vote_model(votes, 0.5)
        >>> found.probabilities.round(2).tolist(), found.voted.tolist()
        ([0.94, 0.5, 0.5], [True, True, False])

    Args:
        votes: 1 for, -1 against, 0 where a function abstains.
        prior: share of documents with the label; by default fitted by em, and else the
            mean over documents of the share of votes for it, no vote being one against.
        method: majority, or em, which needs three functions and is given up for the
            majority where there are fewer, or where it turns a function round.
        strength: of the prior among the votes of a majority, s; at a quarter of a vote
            a single one is trusted to four fifths.
        steps: of em, at most.

    Returns:
        Probabilities, and the rates and accuracies that they imply.

    Raises:
        ValueError: a vote that is not -1, 0 or 1, a prior outside 0..1, or no such
            method.

    Reference: Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates
        Using the EM Algorithm, 1979, here with abstention as a third answer.
    """
    check_axes(votes=(votes, "M F"))
    check_integers(votes=votes)
    cast = np.asarray(votes)
    if cast.size and not np.isin(cast, (-1, 0, 1)).all():
        raise ValueError(
            f"votes must be -1, 0 or 1, got {int(cast.min())} to {int(cast.max())}"
        )
    if prior is not None:
        check_shares(prior=np.asarray(prior))
    if method not in ("majority", "em") or not strength > 0:
        raise ValueError(
            "method must be majority or em, and strength above 0, got "
            f"{method!r} and {strength}"
        )
    given, denied = (cast > 0).sum(axis=1), (cast < 0).sum(axis=1)
    voted = given + denied > 0
    share = given / (given + denied).clip(1)
    start = float(share.mean()) if share.size else 0.0
    start = start if prior is None else float(prior)
    p = (given + strength * start) / (given + denied + strength)
    if method == "em" and cast.shape[1] >= FEWEST and cast.shape[0]:
        fitted = _fitted(cast, np.where(voted, p, start), prior, steps)
        if fitted is not None:
            p, start = fitted
    rates = _rates(cast, np.where(voted, p, start))
    return VoteModel(p, voted, start, _accuracies(cast, p), rates)


def _fitted(
    cast: Int[Host, "M F"], p: Float[Host, " M"], prior: float | None, steps: int
) -> tuple[Float[Host, " M"], float] | None:
    """Probabilities and prior where em ends; None where it turned a function round."""
    share = float(p.mean()) if prior is None else prior
    columns = np.arange(cast.shape[1])
    for _ in range(steps):
        if prior is None:
            share = float(np.clip(p.mean(), 1e-6, 1 - 1e-6))
        rates = _rates(cast, p)
        ratio = np.log(rates[:, 1] / rates[:, 0])  # [F, 3]
        odds = np.log(max(share, 1e-12) / max(1 - share, 1e-12))
        logits = odds + ratio[columns, cast + 1].sum(axis=1)
        new = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        moved = np.abs(new - p).max()
        p = new
        if moved < 1e-8:
            break
    # A vote for must make the label likelier than a vote against, if both were cast.
    both = (cast > 0).any(axis=0) & (cast < 0).any(axis=0)
    turned = both & (ratio[:, 2] < ratio[:, 0])
    alone = (cast > 0).any(axis=0) & ~both & (ratio[:, 2] < 0)
    return None if (turned | alone).any() else (p, share)


def _rates(cast: Int[Host, "M F"], p: Float[Host, " M"]) -> Float[Host, "F 2 3"]:
    """Rates of every answer, a hundredth of a document added to each."""
    counts = np.empty((cast.shape[1], 2, 3))
    for place, answer in enumerate((-1, 0, 1)):
        said = (cast == answer).astype(np.float64)
        counts[:, 0, place], counts[:, 1, place] = (1 - p) @ said, p @ said
    counts += 0.01
    return counts / counts.sum(axis=2, keepdims=True)


def _accuracies(cast: Int[Host, "M F"], p: Float[Host, " M"]) -> Float[Host, " F"]:
    right = p @ (cast > 0) + (1 - p) @ (cast < 0)
    number = (cast != 0).sum(axis=0)
    return np.where(number > 0, right / number.clip(1), np.nan)
