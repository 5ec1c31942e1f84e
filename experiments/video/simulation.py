"""Pages with positions and clicks, simulated on top of the log."""

import dataclasses
from typing import Any, Literal

import numpy as np

from experiments.store import Part
from experiments.video import clicks
from experiments.video.clicks import ClickKind, Pages, Scale
from experiments.video.log import RANKING_TASKS
from experiments.video.mixtures import Study, train_part, tuned_rate
from experiments.video.models import rankers
from experiments.video.training import predictor

TASKS = RANKING_TASKS[:2]
"""A click and a long view: both feel the position, not alike."""
TEACHER_SEED, PAGES_SEED = 2000, 7
LEAST_PROPENSITY = 0.1
"""Clicks weigh 10 at most: without a bound their variance drowns them."""
Clicks = Literal["biased", "unbiased", "weighted"]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many pages of each part."""

    train: int = 10_000
    validation: int = 2_000
    test: int = 4_000


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Pages of three parts with their truth `[M, 2]`, in logits."""

    pages: dict[str, Pages]
    truth: dict[str, np.ndarray]


def simulate(study: Study, sizes: Sizes) -> Simulation:
    """Draws the pages, and asks a ranker trained on the real log for the truth."""
    log = study.log
    pages = {
        name: clicks.draw_pages(log, getattr(log, name), count, PAGES_SEED)
        for name, count in dataclasses.asdict(sizes).items()
    }
    teacher = rankers(TASKS, study.inputs())["small"]
    fingerprint = log.fingerprint()
    rate, _ = tuned_rate(study, teacher, "teacher", fingerprint)

    def read(params: Any) -> Part:
        return {
            name: predictor(teacher, inputs_of_pages(part))(params)[0]
            for name, part in pages.items()
        }

    identity = {"teacher": repr(teacher), "plan": study.plan, "rate": rate}
    logits = study.store.part(
        "teacher",
        {**identity, "data": fingerprint, "sizes": sizes, "seed": TEACHER_SEED},
        lambda: train_part(study, teacher, [TEACHER_SEED], rate, read),
    )
    scale = Scale.of(logits["train"])
    return Simulation(pages, {name: scale.truth(logits[name]) for name in pages})


def clicked(
    simulation: Simulation, part: str, kind: ClickKind, way: Clicks, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `[M]` and targets `[M, 2]` of one run: the same for all its ways."""
    pages, truth = simulation.pages[part], simulation.truth[part]
    generator = np.random.default_rng((seed, len(pages), 11))
    positions = clicks.earlier_positions(truth, pages.popularity, generator)
    place = np.ones_like(positions) if way == "unbiased" else positions
    chances = clicks.click_probabilities(kind, truth, place, pages.groups)
    targets = (generator.random(chances.shape) < chances).astype(np.float32)
    if way == "weighted":
        examined = np.exp(clicks.position_effect(positions, pages.groups))
        targets /= np.maximum(examined, LEAST_PROPENSITY)
    return positions, targets.astype(np.float32)


def inputs_of_pages(pages: Pages) -> dict[str, np.ndarray]:
    """Return the columns of pages by name, as the model takes them."""
    return {"categories": pages.categories, "numbers": pages.numbers}


def earlier_order(study: Study, simulation: Simulation) -> dict[str, float]:
    """How the earlier ranker, and popularity alone, order the training pages."""
    pages, truth = simulation.pages["train"], simulation.truth["train"][:, 0]
    positions, targets = clicked(
        simulation, "train", "additive", "biased", study.seeds[0]
    )
    return {
        "spearman": float(
            clicks.page_metrics(-positions.astype(float), truth)["spearman"].mean()
        ),
        "popularity_spearman": float(
            clicks.page_metrics(pages.popularity, truth)["spearman"].mean()
        ),
        "click_rate": float(targets[:, 0].mean()),
        "long_view_rate": float(targets[:, 1].mean()),
    }
