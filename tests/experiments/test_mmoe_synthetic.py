"""The synthetic MMoE experiment at toy sizes, and its statistics on made losses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments import mmoe_synthetic
from experiments.benchmarks import mmoe_step, synthetic_train
from experiments.mmoe import synthetic_store
from experiments.mmoe.synthetic import (
    PRESETS,
    SyntheticTasks,
    directions_for,
    draw_examples,
    draw_tasks,
    target_variance,
)
from experiments.mmoe.synthetic_findings import findings
from experiments.mmoe.synthetic_runs import (
    MODELS,
    Runs,
    Sizes,
    Trainer,
    network,
    parameter_count,
    shared_units,
)
from experiments.mmoe.synthetic_statistics import (
    Cell,
    Draws,
    best_mean,
    cell_rows,
    median_gap,
    trainability_rows,
    variance_ratio,
)

TOY = Sizes(features=5, batch=4, steps=3, epochs=2, held_out=8)
OPTIONS = [
    *("--preset", "zoo", "--seeds", "3", "--correlations", "0.5", "1"),
    *("--learning-rates", "0.001", "0.01", "--tuning-seeds", "1"),
    *("--features", "5", "--batch", "4", "--steps", "3", "--epochs", "2"),
    *("--held-out", "8", "--together", "1", "--quiet"),
]


def run_main(folder: Path, *more: str) -> int:
    places = ["--out", str(folder / "out"), "--work", str(folder / "work")]
    return mmoe_synthetic.main([*OPTIONS, *places, *more])


class Drawn:
    """In place of `Trainer`: losses drawn from a run's settings, in no time."""

    def __init__(self, model: str, *_: object, **__: object) -> None:
        self.model = MODELS.index(model)

    def __call__(
        self,
        seeds: Sequence[int],
        correlations: Sequence[float],
        learning_rates: Sequence[float],
    ) -> Runs:
        random = np.random.default_rng([self.model, seeds[0], len(seeds)])
        losses = (
            1.0 + random.random((len(seeds), 2)) / np.array(learning_rates)[:, None]
        )
        return Runs(random.random((len(seeds), 2)), losses, np.full(len(seeds), 3.0))


def test_all_cells_are_written_down_and_none_is_trained_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic_store, "Trainer", Drawn)
    assert run_main(tmp_path, "--resamples", "20") == 0
    page = capsys.readouterr().out
    out = tmp_path / "out"
    record = json.loads((out / "mmoe-synthetic-zoo.json").read_text())
    cells = {(cell["model"], cell["correlation"]): cell for cell in record["cells"]}
    assert set(cells) == {(model, p) for model in MODELS for p in (0.5, 1.0)}
    for cell in cells.values():
        assert len(cell["losses"]) == 3 and len(cell["curve_mean"]) == 2
        middle = np.median(cell["losses"])
        assert cell["median"]["value"] == pytest.approx(middle, abs=1e-5)
        assert cell["learning_rate"] == 0.01  # the larger has the smaller losses here
    assert record["runs"] == 3 * (2 * 3 + 2 * 2)
    assert len(record["findings"]) == 7 and len(record["trainability"]) == 4
    assert page.count("| yes |") + page.count("| no |") == 7
    assert (out / "mmoe-synthetic-zoo.md").read_text() == page.rstrip("\n") + "\n"
    assert (out / "mmoe-synthetic-zoo.png").stat().st_size > 10_000

    monkeypatch.delattr(Drawn, "__call__")
    assert run_main(tmp_path, "--cells", "mmoe:0.5", "omoe:1", "--name", "two") == 0
    partly = json.loads((out / "mmoe-synthetic-two.json").read_text())
    assert [cell["losses"] for cell in partly["cells"]] == [
        cells["mmoe", 0.5]["losses"],
        cells["omoe", 1.0]["losses"],
    ]
    assert partly["findings"] == [] and partly["trainability"] == []


def test_runs_trained_together_are_those_trained_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--cells", "mmoe:0.5", "--learning-rates", "0.01", "--together", "2"]
    assert run_main(tmp_path, *options, "--quick") == 0
    assert "| 0.5 | MMoE |" in capsys.readouterr().out
    text = (tmp_path / "out" / "mmoe-synthetic-zoo.json").read_text()
    (cell,) = json.loads(text)["cells"]
    assert cell["cpu_seconds"] > 0 and len(set(cell["losses"])) == 3

    runs = Trainer("mmoe", PRESETS["zoo"], TOY, together=2)(
        range(3), [0.5] * 3, [0.01] * 3
    )
    np.testing.assert_allclose(cell["losses"], runs.losses.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(cell["curve_mean"], runs.curves.mean(axis=0), rtol=1e-5)
    for seed in range(3):
        curve, tasks = trained_alone(seed)
        np.testing.assert_allclose(runs.curves[seed], curve, rtol=1e-4)
        # The tasks are those of the key, whatever the model.
        variance = float(target_variance(PRESETS["zoo"], tasks))
        assert runs.variances[seed] == pytest.approx(variance)


def trained_alone(seed: int) -> tuple[list[float], SyntheticTasks]:
    """MMoE on a seed's own tasks and examples, step by step: losses of the epochs."""
    tasks_key, data_key, _, first_key = (
        jax.random.fold_in(jax.random.key(seed), purpose) for purpose in range(4)
    )
    directions = jnp.asarray(directions_for(0.5), jnp.float32)
    tasks = draw_tasks(tasks_key, PRESETS["zoo"], directions, features=5)
    module, optimizer = network("mmoe", 5), optax.adam(0.01)
    params = module.init(first_key, jnp.zeros((1, 5)))["params"]
    state, losses = optimizer.init(params), []

    @jax.jit
    def step(params: Any, state: Any, number: Any) -> tuple[Any, Any, jax.Array]:
        key = jax.random.fold_in(data_key, number)
        inputs, targets = draw_examples(key, tasks, TOY.batch)

        def loss_of(params: Any) -> jax.Array:
            outputs: Any = module.apply({"params": params}, inputs)
            return jnp.square(outputs - targets).mean()

        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    for number in range(TOY.steps * TOY.epochs):
        params, state, loss = step(params, state, number)
        losses.append(float(loss))
    return np.reshape(losses, (TOY.epochs, TOY.steps)).mean(axis=1).tolist(), tasks


@pytest.mark.parametrize("model", MODELS)
def test_the_models_have_the_papers_sizes(model: str) -> None:
    params = jax.eval_shape(
        network(model).init, jax.random.key(0), jnp.zeros((1, 100))
    )["params"]
    shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
    gates = {"shared-bottom": [], "omoe": [(100, 1, 8)], "mmoe": [(100, 2, 8)]}[model]
    assert [s for s in shapes if s in ((100, 1, 8), (100, 2, 8))] == gates
    # What the paper counts: the weights into the experts and into their towers.
    counted = [s for s in shapes if len(s) == 3 and s not in gates]
    total = sum(int(np.prod(shape)) for shape in counted)
    assert total == mmoe_synthetic.counted_weights(100)[model]
    assert abs(total - 13_056) < 100
    everything = sum(int(np.prod(shape)) for shape in shapes)
    assert parameter_count(model) == everything > total
    assert shared_units(100) == 113


def made_losses(seeds: int = 60) -> dict[Cell, np.ndarray]:
    """Losses as the paper has them: three models, two correlations.

    But for its best cases, which here differ.
    """
    random = np.random.default_rng(0)
    centre = {"shared-bottom": (3.0, 2.0), "omoe": (2.5, 1.5), "mmoe": (1.7, 1.5)}
    spread = {"shared-bottom": 0.05, "omoe": 0.005, "mmoe": 0.005}
    losses = {
        (model, correlation): centre[model][place]
        * random.gamma(1 / spread[model], spread[model], seeds)
        for place, correlation in enumerate((0.5, 1.0))
        for model in MODELS
    }
    return losses | {("omoe", 1.0): losses["mmoe", 1.0]}


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    losses = made_losses()
    draws = Draws(losses, 50)
    one, other = losses["omoe", 0.5], losses["mmoe", 0.5]
    found = draws.estimate(median_gap, ("omoe", 0.5), ("mmoe", 0.5))
    gaps = [np.median(one[rows]) - np.median(other[rows]) for rows in draws.rows]
    expected = (np.median(one) - np.median(other), *np.quantile(gaps, (0.025, 0.975)))
    np.testing.assert_allclose(found, expected)
    assert float(variance_ratio(one, other)) == pytest.approx(
        np.var(one, ddof=1) / np.var(other, ddof=1)
    )
    assert float(best_mean(one)) == pytest.approx(sorted(one)[:6] @ np.full(6, 1 / 6))


def test_spread_is_tested_and_not_asserted() -> None:
    losses = made_losses()
    rows = trainability_rows(Draws(losses, 200), [0.5])
    shared = next(row for row in rows if row["model"] == "shared-bottom")
    test = stats.levene(
        losses["shared-bottom", 0.5], losses["mmoe", 0.5], center="median"
    )
    assert shared["brown_forsythe_raw"]["p"] == pytest.approx(float(test.pvalue))
    assert shared["variance_ratio"]["low"] > 1
    same = dict.fromkeys(losses, losses["mmoe", 0.5])
    for row in trainability_rows(Draws(same, 50), [0.5]):
        assert row["variance_ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert row["brown_forsythe_log"]["p"] == pytest.approx(1.0)


def test_the_papers_claims_hold_for_losses_like_the_papers() -> None:
    found = findings(Draws(made_losses(), 200), [1.0, 0.5])
    assert [row["holds"] for row in found] == [*[True] * 6, False]
    equal = dict.fromkeys(made_losses(), made_losses()["mmoe", 0.5])
    held = [row["holds"] for row in findings(Draws(equal, 50), [0.5, 1.0])]
    assert held == [False, False, True, False, False, False, True]
    assert findings(Draws({("mmoe", 0.5): np.ones(3)}, 5), [0.5]) == []


def test_a_cell_is_described_by_its_losses() -> None:
    losses = {("mmoe", 0.5): np.array([1.0, 2.0, 4.0])}
    (row,) = cell_rows(Draws(losses, 10), {("mmoe", 0.5): np.array([2.0, 8.0, 8.0])})
    assert (row["best"], row["worst"], row["median"]["value"]) == (1.0, 4.0, 2.0)
    assert row["unexplained_median"] == 0.5
    assert row["sd"] == pytest.approx(np.std([1, 2, 4], ddof=1))


def test_cells_of_other_seeds_are_not_compared() -> None:
    cells = {("omoe", 0.5): np.ones(3), ("mmoe", 0.5): np.ones(4)}
    with pytest.raises(ValueError, match=r"same seeds; got \[3, 4\] runs"):
        Draws(cells, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1"], "--seeds must be at least 2, got 1"),
        (["--held-out", "0"], "--held-out must be at least 1, got 0"),
        (["--preset", "nobody"], "no synthetic preset 'nobody'"),
        (["--correlations", "1.5"], "must lie in [-1, 1], got 1.5"),
        (["--correlations"], "must name a value each"),
        (["--learning-rates", "-1"], "--learning-rates must be positive, got -1.0"),
        (["--cells", "mmoe:0.7"], "no cell 'mmoe:0.7'; there are shared-bottom:0.5"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    options: Sequence[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_and_no_run_at_a_time_are_refused() -> None:
    with pytest.raises(ValueError, match="no model 'tower'; there are shared-bottom"):
        network("tower")
    with pytest.raises(ValueError, match="together must be at least 1; got 0"):
        Trainer("mmoe", PRESETS["zoo"], TOY, together=0)


def test_a_loss_that_is_not_finite_stops_the_cell_and_names_the_seed() -> None:
    trainer = Trainer("mmoe", PRESETS["zoo"], TOY, together=1)
    with pytest.raises(FloatingPointError, match=r"runs \[1\] of seeds \[8\]"):
        trainer([7, 8], [0.5, 0.5], [0.01, 1e30])
    trainer._measure = lambda *_: (np.array([[1.0, 1.0], [1.0, np.nan]]), np.ones(2))
    with pytest.raises(FloatingPointError, match=r"the runs of seeds \[8\]"):
        trainer([7, 8], [0.5, 0.5], [0.01, 0.01])


def test_benchmarks_measure_ours_and_say_why_there_is_no_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic_train, "Trainer", Drawn)
    toy = {"peer-python": "no-such-python", "turns": 1, "out": tmp_path}
    toy |= {"batch": 4, "features": 5}
    step_sizes = {"steps": 1, "experts": 2, "units": 3, "tasks": 2, "tower": 2}
    run_sizes = {"steps": 2, "epochs": 1, "held-out": 4, "runs": 2, "together": 1}
    mmoe_step.main([f"--{n}={v}" for n, v in {**toy, **step_sizes}.items()])
    run_sizes["model"] = "shared-bottom"
    synthetic_train.main([f"--{n}={v}" for n, v in {**toy, **run_sizes}.items()])
    assert capsys.readouterr().out.count("no interpreter at no-such-python") == 2
    step = json.loads((tmp_path / "mmoe_step.json").read_text())
    run = json.loads((tmp_path / "synthetic_train.json").read_text())
    assert step["milliseconds"]["ours"] > 0 and step["over_ours"] == {}
    assert run["seconds_a_run"]["ours"] > 0 and "torch_over_ours" not in run
