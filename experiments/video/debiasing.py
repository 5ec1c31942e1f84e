"""Four ways to learn from clicks that depend on position, against a known truth."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from experiments.tables.statistics import student_interval
from experiments.video import clicks
from experiments.video.clicks import PAGE, ClickKind, Pages, Scale
from experiments.video.log import RANKING_TASKS, TABS
from experiments.video.mixtures import (
    TOGETHER,
    TUNING_SEEDS,
    Study,
    train_part,
    tuned_rate,
)
from experiments.video.models import DIM, SHARED, TOWERS, Inputs, rankers
from experiments.video.store import Part
from experiments.video.training import Plan, predictor, train_runs
from labelgraph_jax.functional.bootstrap import (
    document_draws,
    paired_interval,
    run_draws,
)
from labelgraph_jax.modules.ranker import PositionUse, Ranker

TASKS = RANKING_TASKS[:2]
"""A click and a long view: both feel the position, not alike."""
TEACHER_SEED, PAGES_SEED = 2000, 7
EXPERTS, EXPERT = 4, 32
BATCH = 256
"""Smaller than for the log itself: a place's logit can move by one rate a step only."""
LEAST_PROPENSITY = 0.1
"""Clicks weigh 10 at most: without a bound their variance drowns them."""
Clicks = Literal["biased", "unbiased", "weighted"]


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to learn from the clicks.

    Attributes:
        name: of the way.
        position: what the ranker does with positions.
        clicks: `biased` as users click; `unbiased` as they would if every video stood
            at the top; `weighted` biased clicks over the true examination probability,
            or over `LEAST_PROPENSITY` where that is larger.
        served: title -> the position that all candidates get when serving, 0 none.
    """

    name: str
    position: PositionUse
    clicks: Clicks
    served: dict[str, int]


NOTHING = Way("nothing", "ignored", "biased", {"nothing": 0})
FEATURE = Way(
    "feature",
    *("feature", "biased"),
    {
        "position as a feature, served at the top": 1,
        "position as a feature, served without": 0,
    },
)
TOWER = Way("tower", "shallow_tower", "biased", {"shallow tower": 0})
WEIGHTED = Way(
    "weighted",
    *("ignored", "weighted"),
    {"inverse propensity, true propensities": 0},
)
UNBIASED = Way("unbiased", "ignored", "unbiased", {"no bias in the log": 0})
WORLDS: dict[ClickKind, tuple[Way, ...]] = {
    "additive": (NOTHING, FEATURE, TOWER, UNBIASED),
    "examination": (NOTHING, FEATURE, TOWER, WEIGHTED, UNBIASED),
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many pages of each part."""

    train: int = 12_000
    validation: int = 2_000
    test: int = 4_000


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Pages of three parts with their truth `[M, 2]`, in logits."""

    pages: dict[str, Pages]
    truth: dict[str, np.ndarray]


def position_study(study: Study, sizes: Sizes) -> dict[str, Any]:
    """Trains what is missing of the table and returns all its numbers."""
    simulation = simulate(study, sizes)
    rows, differences, biases = [], [], {}
    for kind, ways in WORLDS.items():
        scores: dict[str, dict[str, np.ndarray]] = {}
        for way in ways:
            found, bias = _way(study, simulation, sizes, kind, way)
            scores |= found
            if bias is not None:
                biases[kind] = bias
        for title, metrics in scores.items():
            rows += [_row(kind, title, name, v) for name, v in metrics.items()]
        differences += [
            _difference(kind, "shallow tower", title, name, scores)
            for title in scores
            if title != "shallow tower"
            for name in scores[title]
        ]
    return {
        "rows": rows,
        "differences": differences,
        "bias": {kind: bias.tolist() for kind, bias in biases.items()},
        "true_bias": _true_bias(),
        "earlier_ranker": _earlier(study, simulation),
        "sizes": dataclasses.asdict(sizes),
        "page": PAGE,
        "groups": {
            tab: float((simulation.pages["train"].groups == group).mean())
            for group, tab in enumerate(TABS)
        },
        "seeds": list(study.seeds),
    }


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
            name: predictor(teacher, _inputs(part))(params)[0]
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


def student(position: PositionUse, inputs: Inputs) -> Ranker:
    """The ranker that learns from simulated clicks."""
    tower = position == "shallow_tower"
    return Ranker(
        tasks=TASKS,
        cardinalities=inputs.cardinalities,
        dim=DIM,
        kind="mmoe",
        hidden=(EXPERT,),
        experts=EXPERTS,
        shared=(SHARED,),
        towers=(TOWERS,),
        gate_dropout=0.1,
        position=position,
        positions=PAGE,
        groups=len(TABS),
        biased=tuple(task.name for task in TASKS) if tower else (),
        position_dropout=0.1,
    )


def student_plan(study: Study) -> Plan:
    """How students are trained."""
    return dataclasses.replace(study.plan, batch=BATCH)


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


def _inputs(pages: Pages) -> dict[str, np.ndarray]:
    return {"categories": pages.categories, "numbers": pages.numbers}


def _way(
    study: Study, simulation: Simulation, sizes: Sizes, kind: ClickKind, way: Way
) -> tuple[dict[str, dict[str, np.ndarray]], np.ndarray | None]:
    """`title -> task/metric -> [P, S]`, and the learned bias `[S, G, P + 1, K]`."""
    # The additive world chooses the rate of a way for both.
    tuned_in: ClickKind = kind if way.clicks == "weighted" else "additive"
    rate = _tuned(study, simulation, sizes, tuned_in, way)
    scores: dict[str, list[np.ndarray]] = {title: [] for title in way.served}
    biases = []
    for first in range(0, len(study.seeds), TOGETHER):
        seeds = list(study.seeds[first : first + TOGETHER])
        part = study.store.part(
            f"{kind}, {way.name}, seeds {seeds}",
            {**_identity(study, sizes, kind, way), "seeds": seeds, "rate": rate},
            lambda seeds=seeds: _train(  # type: ignore[misc]
                study, simulation, kind, way, seeds, [rate] * len(seeds)
            ),
        )
        for title, position in way.served.items():
            scores[title] += list(part[f"served_{position}"])
        if "bias" in part:
            biases.append(part["bias"])
    measured = {
        title: _measured(runs, simulation.truth["test"])
        for title, runs in scores.items()
    }
    return measured, np.concatenate(biases) if biases else None


def _tuned(
    study: Study, simulation: Simulation, sizes: Sizes, kind: ClickKind, way: Way
) -> float:
    """The learning rate by which clicks of validation pages are told best."""
    pairs = [(rate, seed) for rate in study.rates for seed in TUNING_SEEDS]
    part = study.store.part(
        f"{kind}, {way.name}, learning rates",
        {**_identity(study, sizes, kind, way), "pairs": pairs},
        lambda: _train(
            *(study, simulation, kind, way),
            *([seed for _, seed in pairs], [rate for rate, _ in pairs]),
        ),
    )
    means = part["value"].reshape(len(study.rates), -1).mean(axis=1)
    return float(study.rates[int(np.argmax(means))])


def _identity(study: Study, sizes: Sizes, kind: ClickKind, way: Way) -> dict[str, Any]:
    return {
        "student": repr(student(way.position, study.inputs())),
        "clicks": [kind, way.clicks, list(way.served.values())],
        "world": [
            *(clicks.STEEPNESS, clicks.TASK_STEEPNESS, clicks.SPREAD, clicks.LEVEL),
            *(clicks.KNOWN, clicks.POPULAR, clicks.NOISE, PAGES_SEED, TEACHER_SEED),
        ],
        "plan": student_plan(study),
        "sizes": sizes,
        "data": study.log.fingerprint(),
        "least_propensity": LEAST_PROPENSITY,
        "teacher_rates": study.rates,
    }


def _train(
    study: Study,
    simulation: Simulation,
    kind: ClickKind,
    way: Way,
    seeds: Sequence[int],
    rates: Sequence[float],
) -> Part:
    model, pages = student(way.position, study.inputs()), simulation.pages
    own = {part: _own(simulation, part, kind, way, seeds) for part in pages}
    groups = {name: {"groups": part.groups} for name, part in pages.items()}
    targets = own["validation"].pop("targets")
    predict = predictor(
        model, _inputs(pages["validation"]) | groups["validation"], own["validation"]
    )

    def evaluate(params: Any) -> list[float]:
        outputs = predict(params).astype(np.float64)
        losses = np.logaddexp(0.0, outputs) - targets * outputs
        values: list[float] = (-losses.mean(axis=(1, 2))).tolist()
        return values

    runs = train_runs(
        model,
        TASKS,
        _inputs(pages["train"]) | groups["train"],
        student_plan(study),
        seeds=seeds,
        rates=rates,
        evaluate=evaluate,
        own=own["train"],
    )
    part: Part = {"epoch": runs.best_epoch, "value": runs.best_value}
    part["seconds"] = np.asarray(runs.seconds)
    test = _inputs(pages["test"]) | groups["test"]
    for position in way.served.values():
        served = np.full(len(pages["test"].groups), position, np.int32)
        made = predictor(model, test | {"positions": served})(runs.params)
        part[f"served_{position}"] = made
    if way.position == "shallow_tower":
        part["bias"] = np.asarray(runs.params["shallow_tower"]["bias"])
    return part


def _own(
    simulation: Simulation, part: str, kind: ClickKind, way: Way, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    made = [clicked(simulation, part, kind, way.clicks, seed) for seed in seeds]
    own = {"targets": np.stack([targets for _, targets in made])}
    if way.position != "ignored":
        own["positions"] = np.stack([positions for positions, _ in made])
    return own


def _measured(runs: Sequence[np.ndarray], truth: np.ndarray) -> dict[str, np.ndarray]:
    """`task/metric` -> `[P, S]`, a value per test page and run."""
    measured = {}
    for column, task in enumerate(TASKS):
        metrics = [clicks.page_metrics(r[:, column], truth[:, column]) for r in runs]
        for name in metrics[0]:
            measured[f"{task.name}/{name}"] = np.stack([m[name] for m in metrics], 1)
    return measured


def _row(kind: str, title: str, metric: str, values: np.ndarray) -> dict[str, Any]:
    runs = values.mean(axis=0)
    return {
        "clicks": kind,
        "way": title,
        "metric": metric,
        "mean": float(runs.mean()),
        "sd": float(runs.std(ddof=1)) if len(runs) > 1 else None,
        "seed_interval": student_interval(runs),
        "values": runs.tolist(),
    }


def _difference(
    kind: str,
    mine: str,
    other: str,
    metric: str,
    scores: dict[str, dict[str, np.ndarray]],
) -> dict[str, Any]:
    ours, theirs = scores[mine][metric], scores[other][metric]
    draws = document_draws(len(ours), 1_000) / len(ours)
    pairs = (ours - theirs).mean(axis=0)
    _, low, high = paired_interval(
        *(draws @ ours, draws @ theirs, run_draws(len(pairs), len(draws))),
        difference=float(pairs.mean()),
    )
    return {
        "clicks": kind,
        "way": mine,
        "reference": other,
        "metric": metric,
        "difference": float(pairs.mean()),
        "interval": [low, high],
        "seed_interval": student_interval(pairs),
    }


def _true_bias() -> list[Any]:
    """What a place adds to the logit in the additive world, `[G, P, K]`."""
    places = np.tile(np.arange(1, PAGE + 1), len(TABS))
    groups = np.repeat(np.arange(len(TABS)), PAGE)
    effect = clicks.position_effect(places, groups)
    table: list[Any] = effect.reshape(len(TABS), PAGE, len(TASKS)).tolist()
    return table


def _earlier(study: Study, simulation: Simulation) -> dict[str, float]:
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
