"""Rows of two data sets, and every model trained and measured on them."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.store import Part, Store
from experiments.video.log import RANKING_TASKS, Rows, ranking_log
from experiments.video.measuring import (
    difference,
    explained,
    measure,
    measure_resampled,
    user_draws,
)
from experiments.video.mixtures import arrays_of
from experiments.video.training import Plan, predictor, train_runs
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import GATED
from labelgraph_jax.modules.ranker import Ranker
from labelgraph_jax.training.step import path_string

TUNING_SEED = 1000
TOGETHER = 5
"""Seeds that train in one program."""
MOST_CATEGORIES = 254
"""Of a column that boosting takes as categories; others are ordered numbers."""
CONDITIONAL = ("long_view", "comment")
"""Tasks of KuaiRand of whose positives 98 % and more were clicked, which ESMM takes
given a click. Likes are not: 81 %."""


@dataclasses.dataclass(frozen=True)
class Data:
    """One data set.

    Attributes:
        tasks: of the columns of targets.
        train, validation, test: its parts; rows of one user are drawn again together.
        cardinalities: of the categorical columns.
        scale: of squared tasks, in the units that are printed.
        metrics: what is compared.
        given: tasks that are conditional in ESMM, and on what.
        said: what it is, for the page.
    """

    tasks: tuple[Task, ...]
    train: Rows
    validation: Rows
    test: Rows
    cardinalities: tuple[int, ...]
    scale: float
    metrics: tuple[str, ...]
    given: dict[str, str]
    said: str


def rows_of(chosen: Any, names: Sequence[str], store: Store) -> dict[str, Any]:
    """All numbers of a study.

    Args:
        chosen: the arguments.
        names: of the cells, MMoE among them.
        store: of finished parts.
    """
    from experiments.mixture_successors import CELLS, REFERENCE, TITLES

    load = kuairand if chosen.study == "kuairand" else census
    data = load(chosen.data_dir or None, chosen.rows, quick=chosen.quick)
    draws = user_draws(data.test, chosen.resamples)
    rows, values, samples = [], {}, {}
    models = rankers(data, names)
    for name in names:
        fit = boosted if name == "boosting" else trained
        part, facts = fit(chosen, name, data, models, store)
        values[name] = measured(part["outputs"], data)
        sample = store.part(
            f"{TITLES[name]}, rows drawn again",
            {"cell": name, **facts["identity"], "resamples": chosen.resamples},
            partial(resampled, part["outputs"], data, draws),
        )
        samples[name] = {m: sample[m] for m in data.metrics}
        facts.pop("identity")
        rows.append(
            {"cell": name, "title": TITLES[name], "settings": CELLS[name], **facts}
            | {"values": {m: values[name][m].tolist() for m in data.metrics}}
        )
    differences = [
        {"cell": name}
        | difference(
            values[name], values[REFERENCE], samples[name], samples[REFERENCE], metric
        )
        for name in names
        if name != REFERENCE
        for metric in data.metrics
    ]
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "study": chosen.study,
        "said": data.said,
        "metrics": data.metrics,
        "rows": {name: len(part.users) for name, part in parts.items()},
        "models": rows,
        "differences": differences,
    }


def kuairand(data_dir: str | None, rows: int, *, quick: bool) -> Data:
    """The video log of the RecSys study, or some of its rows."""
    from experiments.video.kuairand import load_kuairand

    log = ranking_log(load_kuairand(data_dir), most_rows=3_000 if quick else 0)
    train, validation, test = (
        part.select(drawn(len(part.users), most))
        for part, most in zip(
            (log.train, log.validation, log.test), shares(rows), strict=True
        )
    )
    kinds = ("engagement/auc", "satisfaction/auc")
    losses = ("engagement/log_loss", "satisfaction/log_loss", "watch_time/rmse")
    return Data(
        tasks=RANKING_TASKS,
        train=train,
        validation=validation,
        test=test,
        cardinalities=log.cardinalities,
        scale=log.watch_scale,
        metrics=(*kinds, *losses),
        given=dict.fromkeys(CONDITIONAL, "click"),
        said="KuaiRand-Pure, the standard log of 25 April to 8 May 2022, eight tasks, "
        "in three parts one after the other in time; users are drawn again. Engagement "
        "is the mean over click and long view, satisfaction over like, follow, "
        f"comment, forward and profile visit. ESMM: {' and '.join(CONDITIONAL)} given "
        "a click, in training; all models are measured on the same targets.",
    )


def census(data_dir: str | None, rows: int, *, quick: bool) -> Data:
    """Census-Income, income and never married; the first `rows` of a fixed draw."""
    from experiments.census.corpus import (
        NUMERIC_COLUMNS,
        group_tasks,
        inputs_of,
        load_census_income,
        targets_of,
    )
    from labelgraph_jax.data.tables.schema import TableSchema

    loaded = load_census_income(data_dir)
    tables = {n: getattr(loaded, n) for n in ("train", "validation", "test")}
    counts = shares(3_000 if quick else rows)
    for (name, table), most in zip(tables.items(), counts, strict=True):
        tables[name] = table.select(drawn(len(table), most))
    group = "group1"
    train = inputs_of(tables["train"], group)
    numeric = [name for name in NUMERIC_COLUMNS if name in train.columns]
    schema = TableSchema.infer(
        train,
        categorical=[name for name in train.columns if name not in numeric],
        numeric=numeric,
        min_count=3,
    )
    parts = {}
    for name, table in tables.items():
        encoded = schema.encode(inputs_of(table, group))
        targets = targets_of(table, group).astype(np.float32)
        count = len(targets)
        parts[name] = Rows(
            categories=encoded.categories,
            numbers=encoded.numbers,
            targets=targets,
            target_mask=np.ones(targets.shape, bool),
            users=np.arange(count),
            videos=np.zeros(count, np.int64),
            tabs=np.zeros(count, np.int32),
        )
    tasks = tuple(Task(task.name, "binary") for task in group_tasks(group))
    return Data(
        tasks=tasks,
        **parts,
        cardinalities=schema.cardinalities,
        scale=1.0,
        metrics=tuple(f"{t.name}/{m}" for m in ("auc", "log_loss") for t in tasks),
        given={},
        said="Census-Income (KDD), income over 50,000 and never married"
        "; half of the published test rows is validation. Inputs are looked up as "
        "vectors, and not spelled out as in `experiments.census_income`.",
    )


def shares(rows: int) -> tuple[int, int, int]:
    """So many rows to train on, for validation and for the test; 0 takes all."""
    return rows, rows // 2, 2 * rows


def drawn(count: int, most: int) -> np.ndarray:
    """The numbers of at most so many rows, from a fixed draw; of all where 0."""
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[: most or count])


def rankers(data: Data, names: Sequence[str]) -> dict[str, Ranker]:
    """The model of every cell, as wide as it costs what MMoE does."""
    from experiments.mixture_successors import CELLS, REFERENCE

    made: dict[str, Ranker] = {}
    numbers = data.train.numbers.shape[1]
    for name in [REFERENCE, *(n for n in names if n != REFERENCE)]:
        settings = dict(CELLS[name])
        if not settings:
            continue
        settings.pop("weighting", None)
        conditional = settings.pop("conditional", False)
        given = data.given if conditional else {}
        gated = settings["kind"] in GATED
        if settings["kind"] == "ple":
            settings["experts"] = 4
        model = Ranker(
            tasks=tuple(t._replace(given=given.get(t.name, "")) for t in data.tasks),
            cardinalities=data.cardinalities,
            hidden=(64,),
            **settings,
            shared=(64,),
            towers=(16,),
            gate_dropout=0.1 if gated else 0.0,
        )
        if name != REFERENCE and not conditional:
            wanted = multiplications(made[REFERENCE], numbers)
            model = model.clone(hidden=(matched_width(model, wanted, numbers),))
        made[name] = model
    return made


def matched_width(model: Ranker, wanted: float, numbers: int) -> int:
    """The width of the experts whose multiplications come nearest to what is wanted.

    Of one level they grow linearly with the width, of several as its square.
    """
    widths = (16, 32, 64)
    costs = [multiplications(model.clone(hidden=(w,)), numbers) for w in widths]
    square, linear, constant = np.polyfit(widths, costs, 2)
    if square < 1e-6:
        return round((wanted - constant) / linear)
    root = np.sqrt(linear**2 + 4 * square * (wanted - constant))
    return round((root - linear) / (2 * square))


def multiplications(model: Ranker, numbers: int) -> int:
    """Products of a row by the weights of every layer, and by those of the gates.

    Looking a category up costs nothing; a gate that does not see an expert is counted
    as if it did, for that is how it is computed.
    """
    categories = jax.ShapeDtypeStruct((1, len(model.cardinalities)), jnp.int32)
    amounts = jax.ShapeDtypeStruct((1, numbers), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), categories, amounts)
    total = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["params"]):
        name = path_string(path)
        if "kernel" in name or name.rsplit("/", 1)[-1].startswith("output_"):
            total += math.prod(leaf.shape) if len(leaf.shape) > 1 else 0
        if "gate_kernel" in name:
            total += leaf.shape[1] * leaf.shape[2] * model.hidden[-1]
    return total


def trained(
    chosen: Any, name: str, data: Data, models: dict[str, Ranker], store: Store
) -> tuple[Part, dict[str, Any]]:
    """Outputs of every seed on the test rows, and what the cell is."""
    from experiments.mixture_successors import CELLS, OWN_RATE, REFERENCE, TITLES

    plan, model = Plan(epochs=1 if chosen.quick else chosen.epochs), models[name]
    weighting = CELLS[name].get("weighting", "given")
    train = arrays_of(data.train, targets=True)
    if any(task.given for task in model.tasks):
        train |= joint(data, train)

    def fit(model: Ranker, seeds: list[int], rates: list[float], weighting: str) -> Any:
        predict = predictor(model, arrays_of(data.validation))
        return train_runs(
            model,
            data.tasks,
            train,
            plan,
            seeds=seeds,
            rates=rates,
            evaluate=lambda params: [
                explained(run, data.validation, data.tasks) for run in predict(params)
            ],
            weighting=weighting,
        )

    identity: dict[str, Any] = {"plan": plan, "rows": len(data.train.users)}
    identity["study"] = chosen.study
    rates = list(chosen.rates[:1] if chosen.quick else chosen.rates)
    tuned = name if name in OWN_RATE else ("ple" if "ple" in name else REFERENCE)
    if tuned not in models:
        tuned = REFERENCE

    def search() -> Part:
        found = fit(models[tuned], [TUNING_SEED] * len(rates), rates, "given")
        return {"value": found.best_value}

    values = np.full(len(rates), np.nan)
    if len(rates) > 1:
        key = {**identity, "tune": repr(models[tuned]), "rates": rates}
        values = store.part(f"{TITLES[tuned]}, learning rates", key, search)["value"]
    rate = rates[int(np.argmax(values))]
    parts: list[Part] = []
    for first in range(0, chosen.seeds, TOGETHER):
        seeds = list(range(first, min(first + TOGETHER, chosen.seeds)))

        def run(seeds: list[int] = seeds) -> Part:
            found = fit(model, seeds, [rate] * len(seeds), weighting)
            outputs = predictor(model, arrays_of(data.test))(found.params)
            return {"outputs": outputs, "epoch": found.best_epoch} | {
                "seconds": np.float64(found.seconds)
            }

        key = {**identity, "model": repr(model), "seeds": seeds, "rate": rate}
        key["weighting"] = weighting
        parts.append(store.part(f"{TITLES[name]}, seeds {seeds}", key, run))
    numbers = data.train.numbers.shape[1]
    return {"outputs": np.concatenate([part["outputs"] for part in parts])}, {
        "identity": {"model": repr(model), "rate": rate, "weighting": weighting}
        | {**identity, "seeds": chosen.seeds},
        "multiplications": multiplications(model, numbers),
        "width": model.hidden[0],
        "learning_rate": rate,
        "validation_by_rate": dict(zip(map(str, rates), values.tolist(), strict=True)),
        "best_epochs": np.concatenate([part["epoch"] for part in parts]).tolist(),
        "seconds_per_run": sum(float(p["seconds"]) for p in parts) / chosen.seeds,
    }


def joint(data: Data, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Targets where conditional ones are negative with what they are conditional on."""
    names = [task.name for task in data.tasks]
    targets = arrays["targets"].copy()
    for name, given in data.given.items():
        targets[targets[:, names.index(given)] < 0.5, names.index(name)] = 0.0
    return {"targets": targets}


def boosted(
    chosen: Any, name: str, data: Data, models: dict[str, Ranker], store: Store
) -> tuple[Part, dict[str, Any]]:
    """Histogram gradient boosting of every task, stopped early, once for each seed."""
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )

    small = np.array(data.cardinalities) <= MOST_CATEGORIES
    categorical = np.concatenate([small, np.zeros(data.train.numbers.shape[1], bool)])

    def inputs(rows: Rows) -> np.ndarray:
        return np.concatenate([rows.categories, rows.numbers], axis=1)

    def compute() -> Part:
        read, asked = inputs(data.train), inputs(data.test)
        outputs = np.zeros((chosen.seeds, len(asked), len(data.tasks)), np.float32)
        for seed in range(chosen.seeds):
            options: dict[str, Any] = {"early_stopping": True, "random_state": seed}
            options |= {"categorical_features": categorical}
            for column, task in enumerate(data.tasks):
                kept = data.train.target_mask[:, column]
                wanted = data.train.targets[kept, column]
                if task.kind == "squared":
                    model = HistGradientBoostingRegressor(**options)
                    found = model.fit(read[kept], wanted).predict(asked)
                else:
                    model = HistGradientBoostingClassifier(**options)
                    model.fit(read[kept], wanted > 0.5)
                    found = model.decision_function(asked)
                outputs[seed, :, column] = found
        return {"outputs": outputs}

    identity = {"study": chosen.study, "rows": len(data.train.users)}
    identity |= {"boosting": 1, "seeds": chosen.seeds}
    part = store.part("gradient boosting", identity, compute)
    seconds = float(part["wall_seconds"]) / chosen.seeds
    return part, {"identity": identity, "seconds_per_run": seconds}


def measured(outputs: np.ndarray, data: Data) -> dict[str, np.ndarray]:
    """`metric` -> its value of every seed."""
    runs = [measure(run, data.test, data.tasks, scale=data.scale) for run in outputs]
    return {name: np.array([run[name] for run in runs]) for name in data.metrics}


def resampled(outputs: np.ndarray, data: Data, draws: np.ndarray) -> Part:
    """The same on every resample of the users, `[R, S]`."""
    runs = [
        measure_resampled(run, data.test, data.tasks, draws, scale=data.scale)
        for run in outputs
    ]
    return {n: np.stack([run[n] for run in runs], axis=1) for n in data.metrics}
