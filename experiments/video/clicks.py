"""Clicks that depend on where a video stood, by a click model whose truth is known.

The log records no position. Pages of ten videos are therefore drawn from it, each for
the user, hour and page of the app of one of its rows. How attractive a video is to that
user is what a ranker trained on the real log says (its logits, the truth); an earlier
ranker, which knows part of the truth and favours popular videos, orders the page; users
click as the click model says.
"""

import dataclasses
from typing import Literal

import numpy as np

from experiments.video.log import RankingLog, Rows

ClickKind = Literal["additive", "examination"]
PAGE = 10
STEEPNESS = (1.5, 1.0, 0.5)
"""How fast attention falls with the position, for every group of `log.TABS`."""
TASK_STEEPNESS = (1.0, 0.6)
"""The share of it that a click and a long view feel."""
KNOWN, POPULAR, NOISE = 0.7, 0.7, 0.7
"""Weights in the earlier ranker's score: truth, popularity, chance."""
SPREAD, LEVEL = 1.0, -1.0
"""The truth's standard deviation and mean, in logits."""


@dataclasses.dataclass(frozen=True)
class Pages:
    """Candidates, `PAGE` neighbouring rows to a page.

    Attributes:
        categories, numbers: what a ranker reads.
        groups: page of the app `[M]`.
        popularity: log(1 + impressions of the video in the training part) `[M]`.
    """

    categories: np.ndarray
    numbers: np.ndarray
    groups: np.ndarray
    popularity: np.ndarray

    def __len__(self) -> int:
        return len(self.groups) // PAGE


def draw_pages(log: RankingLog, part: Rows, count: int, seed: int) -> Pages:
    """Pages for rows of `part`, filled with videos that were shown in the same part.

    The first video of a page is the one of its row; the others are drawn as often as
    they were shown. No video stands twice on a page.
    """
    generator = np.random.default_rng((seed, count))
    queries = generator.choice(
        len(part.videos), count, replace=len(part.videos) < count
    )
    rows = np.stack([_candidates(part.videos, query, generator) for query in queries])
    query, candidate = np.repeat(queries, PAGE), rows.ravel()

    def joined(array: np.ndarray, of_candidate: np.ndarray) -> np.ndarray:
        return np.where(of_candidate, array[candidate], array[query])

    shown = np.bincount(log.train.videos, minlength=int(part.videos.max()) + 1)
    return Pages(
        categories=joined(part.categories, log.candidate_categories),
        numbers=joined(part.numbers, log.candidate_numbers),
        groups=part.tabs[query],
        popularity=np.log1p(shown[part.videos[candidate]]),
    )


def _candidates(
    videos: np.ndarray, query: int, generator: np.random.Generator
) -> np.ndarray:
    """Rows of `PAGE` distinct videos, the query's own first."""
    rows = np.array([query])
    while len(rows) < PAGE:
        more = np.r_[rows, generator.integers(0, len(videos), 2 * PAGE)]
        _, first = np.unique(videos[more], return_index=True)
        rows = more[np.sort(first)][:PAGE]
    return rows


@dataclasses.dataclass(frozen=True)
class Scale:
    """The line that brings a teacher's logits to the stated spread and level."""

    mean: np.ndarray
    deviation: np.ndarray

    @staticmethod
    def of(logits: np.ndarray) -> "Scale":
        """From logits `[M, K]`: deviation within pages, mean over all."""
        pages = logits.reshape(-1, PAGE, logits.shape[-1])
        within = pages - pages.mean(axis=1, keepdims=True)
        return Scale(logits.mean(axis=0), within.std(axis=(0, 1)))

    def truth(self, logits: np.ndarray) -> np.ndarray:
        """The attractiveness in logits `[M, K]`."""
        return LEVEL + SPREAD * (logits - self.mean) / self.deviation


def earlier_positions(
    truth: np.ndarray, popularity: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Places 1 .. PAGE of all rows `[M]`, as the earlier ranker ordered each page.

    score = KNOWN z(truth of a click) + POPULAR z(popularity) + NOISE N(0, 1)
    """

    def standardised(values: np.ndarray) -> np.ndarray:
        pages = values.reshape(-1, PAGE)
        within = pages - pages.mean(axis=1, keepdims=True)
        return within / within.std()

    score = KNOWN * standardised(truth[:, 0]) + POPULAR * standardised(popularity)
    score += NOISE * generator.normal(size=score.shape)
    places = np.argsort(np.argsort(-score, axis=1), axis=1) + 1
    return places.ravel().astype(np.int32)


def position_effect(positions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """-steepness log(position) for every row and task `[M, K]`; 0 at the top."""
    steep = np.asarray(STEEPNESS)[groups] * np.log(positions)
    return -steep[:, None] * np.asarray(TASK_STEEPNESS)


def click_probabilities(
    kind: ClickKind, truth: np.ndarray, positions: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """What a user does, `[M, K]`.

        additive      sigmoid(truth + effect)
        examination   exp(effect) sigmoid(truth)

    with the effect of `position_effect`. Examination is the position-based model: a
    place is looked at with probability position^-steepness, and what is looked at is
    clicked for its own sake.
    """
    effect = position_effect(positions, groups)
    if kind == "additive":
        return 1 / (1 + np.exp(-truth - effect))
    return np.exp(effect) / (1 + np.exp(-truth))


def page_metrics(scores: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """How well scores order each page by the truth, one value per page `[P]`.

    `spearman`: rank correlation; `pairs`: share of the pairs in the right order (AUC
    over pairs, ties count half); `ndcg`: nDCG at 5, gain = probability of a click at
    the top.
    """
    scores, truth = scores.reshape(-1, PAGE), truth.reshape(-1, PAGE)
    upper = np.triu_indices(PAGE, 1)
    of_scores = np.sign(scores[:, upper[0]] - scores[:, upper[1]])
    of_truth = np.sign(truth[:, upper[0]] - truth[:, upper[1]])
    ours, theirs = (np.argsort(np.argsort(-x, axis=1), axis=1) for x in (scores, truth))
    squares = np.square(ours - theirs).sum(axis=1)
    gains = 1 / (1 + np.exp(-truth))
    discounts = 1 / np.log2(np.arange(2, 7))

    def gained(order: np.ndarray) -> np.ndarray:
        top = np.argsort(order, axis=1)[:, :5]
        summed: np.ndarray = np.take_along_axis(gains, top, axis=1) @ discounts
        return summed

    return {
        "spearman": 1 - 6 * squares / (PAGE * (PAGE**2 - 1)),
        "pairs": ((of_scores * of_truth) + 1).mean(axis=1) / 2,
        "ndcg": gained(ours) / gained(theirs),
    }
