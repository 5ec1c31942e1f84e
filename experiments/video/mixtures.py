"""Shared-bottom against mixtures of experts at equal multiplications (RecSys 2019)."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.store import Part, Store
from experiments.video.log import RANKING_TASKS, RankingLog, Rows
from experiments.video.measuring import (
    difference,
    explained,
    measure,
    measure_resampled,
    user_draws,
)
from experiments.video.models import (
    CELLS,
    PAIRS,
    Cell,
    Inputs,
    compiled_multiplications,
    hand_multiplications,
    rankers,
)
from experiments.video.training import Plan, gate_counts, predictor, train_runs
from labelgraph_jax.functional.losses.tasks import task_probabilities
from labelgraph_jax.functional.mixture.experts import GateSums, gate_statistics
from labelgraph_jax.functional.ranker.scores import weighted_product, weighted_sum
from labelgraph_jax.modules.ranker import Ranker

RATES = (0.004, 0.008, 0.016)
TUNING_SEEDS = (1000, 1001)
TOGETHER = 5
"""Seeds that train in one program."""
POLARISED = 0.5
"""From this polarisation on a task's gate counts as polarised."""
WEIGHTS = {
    "click": 1.0,
    "long_view": 1.0,
    "watch_time": 0.3,
    "like": 0.3,
    "profile_visit": 0.2,
    "follow": 0.1,
    "comment": 0.1,
    "forward": 0.1,
}
"""Of the combined scores, set by hand: engagement first, rarer wishes less."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What every cell is trained and measured on.

    Attributes:
        log: the data.
        store: of finished parts.
        plan: of every run.
        seeds: of every cell.
        resamples: of the users of the test part.
    """

    log: RankingLog
    store: Store
    plan: Plan
    seeds: Sequence[int]
    resamples: int
    rates: Sequence[float] = RATES

    def inputs(self) -> Inputs:
        """Sizes of what the rankers read."""
        return Inputs(self.log.cardinalities, self.log.train.numbers.shape[1])


def arrays_of(rows: Rows, *, targets: bool = False) -> dict[str, np.ndarray]:
    """Rows as a ranker's batch."""
    arrays = {"categories": rows.categories, "numbers": rows.numbers}
    if targets:
        arrays |= {"targets": rows.targets, "target_mask": rows.target_mask}
    return arrays


def mixture_study(study: Study) -> dict[str, Any]:
    """Trains what is missing of the table and returns all its numbers."""
    models = rankers(RANKING_TASKS, study.inputs())
    fingerprint = study.log.fingerprint()
    draws = user_draws(study.log.test, study.resamples)
    results = [_cell(study, cell, models, fingerprint, draws) for cell in CELLS]
    by_name = {result["cell"]: result for result in results}
    drawn = {name: result.pop("drawn") for name, result in by_name.items()}
    values = {
        name: {m: np.array(v) for m, v in result["values"].items()}
        for name, result in by_name.items()
    }
    differences = [
        {"cell": mine, "reference": other}
        | difference(values[mine], values[other], drawn[mine], drawn[other], metric)
        for mine, other in PAIRS
        for metric in values[mine]
    ]
    for result in results:
        result["intervals"] = {
            metric: np.nanquantile(sample.mean(axis=1), [0.025, 0.975]).tolist()
            for metric, sample in drawn[result["cell"]].items()
        }
    return {"rows": results, "differences": differences, "weights": WEIGHTS}


def mixture_rates(study: Study) -> list[Callable[[], object]]:
    """The searches for learning rates that the cells need, one by one."""
    models = rankers(RANKING_TASKS, study.inputs())
    fingerprint = study.log.fingerprint()
    names = dict.fromkeys(cell.tuned_as or cell.name for cell in CELLS)
    return [
        partial(tuned_rate, study, models[name], name, fingerprint) for name in names
    ]


def mixture_parts(study: Study) -> list[Callable[[], object]]:
    """The cells, one by one: what each keeps in the store."""
    models = rankers(RANKING_TASKS, study.inputs())
    fingerprint = study.log.fingerprint()
    draws = user_draws(study.log.test, study.resamples)
    return [partial(_cell, study, cell, models, fingerprint, draws) for cell in CELLS]


def tuned_rate(
    study: Study, model: Ranker, name: str, fingerprint: str
) -> tuple[float, dict[str, float]]:
    """The learning rate with the best validation, over seeds used for nothing else."""
    rates, tasks = study.rates, RANKING_TASKS[: len(model.tasks)]
    pairs = [(rate, seed) for rate in rates for seed in TUNING_SEEDS]

    def compute() -> Part:
        validation = study.log.validation
        predict = predictor(model, arrays_of(validation))
        runs = train_runs(
            model,
            tasks,
            arrays_of(_columns(study.log.train, len(tasks)), targets=True),
            study.plan,
            seeds=[seed for _, seed in pairs],
            rates=[rate for rate, _ in pairs],
            evaluate=lambda params: [
                explained(run, _columns(validation, len(tasks)), tasks)
                for run in predict(params)
            ],
        )
        return {"value": runs.best_value, "epoch": runs.best_epoch}

    identity = {"tune": repr(model), "plan": study.plan, "pairs": pairs}
    part = study.store.part(
        f"{name}, learning rates", {**identity, "data": fingerprint}, compute
    )
    means = part["value"].reshape(len(rates), -1).mean(axis=1)
    chosen = float(rates[int(np.argmax(means))])
    return chosen, dict(zip(map(str, rates), means.tolist(), strict=True))


def train_part(
    study: Study,
    model: Ranker,
    seeds: Sequence[int],
    rate: float,
    read: Any,
) -> Part:
    """Trains some seeds on the log and reads what is wanted of them.

    Args:
        study: the data and the plan.
        model: its tasks are the first of `RANKING_TASKS`.
        seeds: that train together.
        rate: the learning rate.
        read: `read(params)` -> arrays to keep.
    """
    count = len(model.tasks)
    tasks, validation = RANKING_TASKS[:count], _columns(study.log.validation, count)
    predict = predictor(model, arrays_of(validation))
    runs = train_runs(
        model,
        tasks,
        arrays_of(_columns(study.log.train, count), targets=True),
        study.plan,
        seeds=seeds,
        rates=[rate] * len(seeds),
        evaluate=lambda params: [
            explained(run, validation, tasks) for run in predict(params)
        ],
    )
    kept = {"epoch": runs.best_epoch, "value": runs.best_value}
    return kept | {"seconds": np.float64(runs.seconds)} | read(runs.params)


def _columns(rows: Rows, count: int) -> Rows:
    """Rows with the targets of the first tasks alone."""
    return rows._replace(
        targets=rows.targets[:, :count], target_mask=rows.target_mask[:, :count]
    )


def _cell(
    study: Study,
    cell: Cell,
    models: dict[str, Ranker],
    fingerprint: str,
    draws: np.ndarray,
) -> dict[str, Any]:
    model, tuned = models[cell.name], cell.tuned_as or cell.name
    rate, validation = tuned_rate(study, models[tuned], tuned, fingerprint)
    test = arrays_of(study.log.test)

    def read(params: Any) -> Part:
        kept = {"outputs": predictor(model, test)(params)}
        if cell.kind == "mmoe":
            counts = gate_counts(model, test, params)
            for name in GateSums._fields:
                kept[f"gate_{name}"] = np.stack([getattr(c, name) for c in counts])
        return kept

    parts, metrics, drawn = [], [], []
    for first in range(0, len(study.seeds), TOGETHER):
        seeds = list(study.seeds[first : first + TOGETHER])
        identity = {"model": repr(model), "plan": study.plan, "seeds": seeds}
        identity |= {"data": fingerprint, "rate": rate}
        part = study.store.part(
            f"{cell.title}, seeds {seeds}",
            identity,
            lambda seeds=seeds: train_part(study, model, seeds, rate, read),  # type: ignore[misc]
        )
        sample = study.store.part(
            f"{cell.title}, seeds {seeds}, users drawn again",
            {**identity, "resamples": study.resamples},
            lambda part=part: _resampled(part["outputs"], study, draws),  # type: ignore[misc]
        )
        sample.pop("wall_seconds")
        parts.append(part)
        drawn.append(sample)
        metrics += [
            measure(run, study.log.test, RANKING_TASKS, scale=study.log.watch_scale)
            for run in part["outputs"]
        ]
    return {
        "cell": cell.name,
        "title": cell.title,
        "experts": cell.experts,
        "gate_dropout": cell.gate_dropout,
        "width": model.hidden[0],
        "multiplications": compiled_multiplications(model, study.inputs().numbers),
        "multiplications_by_hand": hand_multiplications(model, study.inputs().numbers),
        "learning_rate": rate,
        "validation_by_rate": validation,
        "seeds": list(study.seeds),
        "best_epochs": np.concatenate([part["epoch"] for part in parts]).tolist(),
        "seconds_per_run": float(sum(part["seconds"] for part in parts))
        / len(study.seeds),
        "values": {name: [m[name] for m in metrics] for name in metrics[0]},
        "gates": _gates(parts) if cell.kind == "mmoe" else None,
        "combined": _combined(parts[0]["outputs"][0], study),
        "drawn": {
            name: np.concatenate([sample[name] for sample in drawn], axis=1)
            for name in drawn[0]
        },
    }


def _resampled(outputs: np.ndarray, study: Study, draws: np.ndarray) -> Part:
    runs = [
        measure_resampled(
            *(run, study.log.test, RANKING_TASKS, draws), scale=study.log.watch_scale
        )
        for run in outputs
    ]
    return {name: np.stack([run[name] for run in runs], axis=1) for name in runs[0]}


def _gates(parts: Sequence[Part]) -> dict[str, Any]:
    """What the gates of every run do with the test part."""
    runs = []
    for part in parts:
        for run in range(len(part["epoch"])):
            sums = GateSums(*(part[f"gate_{name}"][run] for name in GateSums._fields))
            runs.append(gate_statistics(sums))
    polarisation = np.stack([run.polarisation for run in runs])
    return {
        "tasks": [task.name for task in RANKING_TASKS],
        "mean_weights": [np.asarray(run.mean_weights).tolist() for run in runs],
        "spread": [np.asarray(run.spread).tolist() for run in runs],
        "similarity": [np.asarray(run.similarity).tolist() for run in runs],
        "utilisation": [np.asarray(run.utilisation).tolist() for run in runs],
        "entropy": [np.asarray(run.entropy).tolist() for run in runs],
        "polarisation": polarisation.tolist(),
        "polarised_gates": float((polarisation > POLARISED).mean()),
        "runs_with_a_polarised_gate": float((polarisation > POLARISED).any(1).mean()),
    }


def _combined(outputs: np.ndarray, study: Study) -> dict[str, dict[str, float]]:
    """How the first run's combined scores rank the test rows by what users did."""
    log, names = study.log, [task.name for task in RANKING_TASKS]
    watch = names.index("watch_time")
    values = np.array(task_probabilities(jnp.asarray(outputs), RANKING_TASKS))
    seconds = np.expm1(values[:, watch] * log.watch_scale + log.watch_mean)
    values[:, watch] = np.maximum(seconds, 0.0)
    weights = np.array([WEIGHTS[name] for name in names], np.float32)
    scores = {
        "click alone": values[:, 0],
        "weighted product": np.asarray(weighted_product(values, weights)),
        "weighted sum": np.asarray(weighted_sum(values, weights)),
    }
    ranked: dict[str, dict[str, float]] = {}
    for title, score in scores.items():
        # One score for all tasks: that of a probability, whose AUC each task has.
        repeated = np.repeat(score[:, None], len(names), axis=1)
        measured = measure(repeated, log.test, RANKING_TASKS, scale=1.0)
        ranked[title] = {n: v for n, v in measured.items() if n.endswith("/auc")}
        played = log.test.target_mask[:, watch]
        correlation = stats.spearmanr(score[played], log.test.targets[played, watch])
        ranked[title]["watch_time/spearman"] = float(correlation.statistic)
    return ranked
