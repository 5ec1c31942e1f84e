"""Four ways to learn from clicks that depend on position, against a known truth."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.store import Part
from experiments.study import student_interval
from experiments.video import clicks
from experiments.video.clicks import PAGE, ClickKind
from experiments.video.log import TABS
from experiments.video.mixtures import TOGETHER, TUNING_SEEDS, Study
from experiments.video.models import DIM, SHARED, TOWERS, Inputs
from experiments.video.simulation import (
    LEAST_PROPENSITY,
    PAGES_SEED,
    TASKS,
    TEACHER_SEED,
    Clicks,
    Simulation,
    Sizes,
    clicked,
    earlier_order,
    inputs_of_pages,
    simulate,
)
from experiments.video.training import Plan, predictor, train_runs
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    run_draws,
)
from labelgraph_jax.modules.ranker import PositionUse, Ranker

EXPERTS, EXPERT = 4, 32
EPOCHS, BATCH = 2, 256
"""Fewer and smaller than for the log itself: a third epoch overfits the pages, and in
each step a place's logit moves by about the learning rate, no further."""
RATES = (0.004, 0.008)


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
        "earlier_ranker": earlier_order(study, simulation),
        "sizes": dataclasses.asdict(sizes),
        "page": PAGE,
        "groups": {
            tab: float((simulation.pages["train"].groups == group).mean())
            for group, tab in enumerate(TABS)
        },
        "seeds": list(study.seeds),
    }


def position_parts(study: Study, sizes: Sizes) -> list[Callable[[], object]]:
    """The ways, one by one, each in every world: what they keep in the store.

    They need what `simulate` keeps.
    """
    worlds: dict[str, list[tuple[ClickKind, Way]]] = {}
    for kind, ways in WORLDS.items():
        for way in ways:
            worlds.setdefault(way.name, []).append((kind, way))
    found = functools.cache(lambda: simulate(study, sizes))

    def train(cells: Sequence[tuple[ClickKind, Way]]) -> None:
        for kind, way in cells:
            _way(study, found(), sizes, kind, way)

    return [functools.partial(train, cells) for cells in worlds.values()]


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
    epochs = min(EPOCHS, study.plan.epochs)
    return dataclasses.replace(study.plan, epochs=epochs, batch=BATCH)


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
    pairs = [(rate, seed) for rate in _rates(study) for seed in TUNING_SEEDS]
    part = study.store.part(
        f"{kind}, {way.name}, learning rates",
        {**_identity(study, sizes, kind, way), "pairs": pairs},
        lambda: _train(
            *(study, simulation, kind, way),
            *([seed for _, seed in pairs], [rate for rate, _ in pairs]),
        ),
    )
    means = part["value"].reshape(len(_rates(study)), -1).mean(axis=1)
    return float(_rates(study)[int(np.argmax(means))])


def _rates(study: Study) -> Sequence[float]:
    """A study that tries one rate for the log tries one here."""
    return RATES[: len(study.rates)]


def _identity(study: Study, sizes: Sizes, kind: ClickKind, way: Way) -> dict[str, Any]:
    # At the top both click models are one: such runs are trained once.
    told_apart = "additive" if way.clicks == "unbiased" else kind
    return {
        "student": repr(student(way.position, study.inputs())),
        "clicks": [told_apart, way.clicks, list(way.served.values())],
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
        model,
        inputs_of_pages(pages["validation"]) | groups["validation"],
        own["validation"],
    )

    def evaluate(params: Any) -> list[float]:
        outputs = predict(params).astype(np.float64)
        losses = np.logaddexp(0.0, outputs) - targets * outputs
        values: list[float] = (-losses.mean(axis=(1, 2))).tolist()
        return values

    runs = train_runs(
        model,
        TASKS,
        inputs_of_pages(pages["train"]) | groups["train"],
        student_plan(study),
        seeds=seeds,
        rates=rates,
        evaluate=evaluate,
        own=own["train"],
    )
    part: Part = {"epoch": runs.best_epoch, "value": runs.best_value}
    part["seconds"] = np.asarray(runs.seconds)
    test = inputs_of_pages(pages["test"]) | groups["test"]
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
