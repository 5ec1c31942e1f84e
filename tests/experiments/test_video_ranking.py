"""The video rankers: what is compared, the click model, and the pages."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import video_ranking
from experiments.store import Store
from experiments.video import (
    clicks,
    debiasing,
    measuring,
    pages,
    position_page,
    simulation,
)
from experiments.video.clicks import PAGE, Pages, Scale
from experiments.video.log import RANKING_TASKS, RankingLog, Rows
from experiments.video.mixtures import Study
from experiments.video.models import (
    CELLS,
    PAIRS,
    Inputs,
    compiled_multiplications,
    hand_multiplications,
    matched_width,
    rankers,
)
from experiments.video.simulation import Simulation, Sizes
from experiments.video.training import (
    Plan,
    initial_params,
    predictor,
    train_runs,
)
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.ranker import Ranker

CARDINALITIES = (6, 5, 4)
NUMBERS = 3


def made_rows(seed: int, count: int = 60) -> Rows:
    generator = np.random.default_rng(seed)
    sizes = [generator.integers(0, size, count) for size in CARDINALITIES]
    targets = (generator.random((count, len(RANKING_TASKS))) < 0.4).astype(np.float32)
    return Rows(
        categories=np.stack(sizes, axis=1).astype(np.int32),
        numbers=generator.normal(size=(count, NUMBERS)).astype(np.float32),
        targets=targets,
        target_mask=np.ones(targets.shape, bool),
        users=generator.integers(0, 9, count),
        videos=generator.permutation(count) % 30,
        tabs=generator.integers(0, 3, count).astype(np.int32),
    )


@pytest.fixture
def log() -> RankingLog:
    return RankingLog(
        *(made_rows(seed) for seed in range(3)),
        cardinalities=CARDINALITIES,
        candidate_categories=np.array([False, True, False]),
        candidate_numbers=np.array([False, True, True]),
        watch_mean=2.0,
        watch_scale=1.5,
        unseen={"user_id": 0.1},
        late=(0, 0),
    )


def test_compared_cells_exist_and_shared_bottoms_name_whose_cost_they_match() -> None:
    names = [cell.name for cell in CELLS]
    assert len(set(names)) == len(names)
    assert {name for pair in PAIRS for name in pair} <= set(names)
    for cell in CELLS:
        assert (cell.kind == "shared_bottom") == bool(cell.as_costly_as)


def test_multiplications_are_those_of_the_compiled_program() -> None:
    tasks = (Task("a", "binary"), Task("b", "squared"))
    small = {"dim": 4, "towers": (8,), "shared": (16,)}
    mixed = Ranker(tasks, CARDINALITIES, hidden=(32,), experts=3, **small)
    by_hand = hand_multiplications(mixed, NUMBERS)
    features = 3 * 4 + NUMBERS
    layers = features * 16 + 3 * 16 * 32 + 2 * 32 * 8 + 2 * 8
    assert by_hand == layers + 16 * 2 * 3 + 2 * 3 * 32 + NUMBERS * 2
    compiled = compiled_multiplications(mixed, NUMBERS)
    assert by_hand < compiled < 1.2 * by_hand
    bottom = Ranker(tasks, CARDINALITIES, kind="shared_bottom", **small)
    width = matched_width(bottom, mixed, NUMBERS)
    at_width = hand_multiplications(bottom.clone(hidden=(width,)), NUMBERS)
    assert at_width == pytest.approx(by_hand, rel=0.1)


def test_every_cell_has_a_ranker_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.video.models.matched_width", lambda *_: 7)
    made = rankers(RANKING_TASKS, Inputs(CARDINALITIES, NUMBERS))
    for cell in CELLS:
        model = made[cell.name]
        assert (model.kind, model.gate_dropout) == (cell.kind, cell.gate_dropout)
        assert model.hidden == ((7,) if cell.as_costly_as else (64,))


def test_pages_hold_distinct_videos_for_one_user_and_moment(log: RankingLog) -> None:
    made = clicks.draw_pages(log, log.test, 20, seed=0)
    assert len(made) == 20 and made.categories.shape == (20 * PAGE, 3)
    queries = made.categories.reshape(20, PAGE, 3)
    assert (queries[:, :, [0, 2]] == queries[:, :1, [0, 2]]).all()
    assert (made.groups.reshape(20, PAGE) == made.groups[::PAGE, None]).all()
    assert len({tuple(row) for row in made.numbers[:PAGE, 1:]}) == PAGE
    again = clicks.draw_pages(log, log.test, 20, seed=0)
    np.testing.assert_array_equal(made.numbers, again.numbers)


def test_metrics_of_a_page_are_those_of_scipy_and_perfect_for_the_truth() -> None:
    generator = np.random.default_rng(0)
    truth, scores = generator.normal(size=(2, 4 * PAGE))
    got = clicks.page_metrics(scores, truth)
    for page in range(4):
        part = slice(page * PAGE, (page + 1) * PAGE)
        expected = stats.spearmanr(scores[part], truth[part]).statistic
        assert got["spearman"][page] == pytest.approx(expected)
        tau = stats.kendalltau(scores[part], truth[part]).statistic
        assert got["pairs"][page] == pytest.approx((tau + 1) / 2)
    assert (got["ndcg"] < 1).all()
    for values in clicks.page_metrics(truth, truth).values():
        np.testing.assert_allclose(values, 1)


def test_at_the_top_nothing_is_biased_and_further_down_less_is_clicked() -> None:
    truth = np.random.default_rng(1).normal(size=(6, 2))
    groups = np.array([0, 1, 2, 0, 1, 2])
    top, below = np.ones(6, int), np.full(6, 4)
    for kind in ("additive", "examination"):
        first = clicks.click_probabilities(kind, truth, top, groups)
        np.testing.assert_allclose(first, 1 / (1 + np.exp(-truth)))
        later = clicks.click_probabilities(kind, truth, below, groups)
        assert (later < first).all()
        assert ((later / first)[:3, 0] < (later / first)[:3, 1]).all()
    odds = [p / (1 - p) for p in (first, later)]
    additive = clicks.click_probabilities("additive", truth, below, groups)
    effect = np.log(additive / (1 - additive)) - truth
    np.testing.assert_allclose(effect, clicks.position_effect(below, groups))
    assert (odds[1] < odds[0]).all()


def test_an_earlier_ranker_puts_what_is_attractive_or_popular_first() -> None:
    generator = np.random.default_rng(2)
    truth, popular = generator.normal(size=(500 * PAGE, 2)), generator.normal(size=5000)
    places = clicks.earlier_positions(truth, popular, generator)
    pages_of = np.sort(places.reshape(-1, PAGE), axis=1)
    np.testing.assert_array_equal(pages_of, np.tile(np.arange(1, PAGE + 1), (500, 1)))
    for liked in (truth[:, 0], popular):
        assert np.corrcoef(liked, places)[0, 1] < -0.3
    assert abs(np.corrcoef(truth[:, 1], places)[0, 1]) < 0.1


def test_the_truth_has_the_stated_mean_and_spread_within_pages() -> None:
    logits = np.random.default_rng(3).normal(3, 5, size=(50 * PAGE, 2))
    truth = Scale.of(logits).truth(logits)
    np.testing.assert_allclose(truth.mean(axis=0), clicks.LEVEL)
    within = truth.reshape(-1, PAGE, 2)
    within = within - within.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(within.std(axis=(0, 1)), clicks.SPREAD)


def test_all_ways_of_a_seed_see_the_same_pages_and_weights_undo_examination() -> None:
    generator = np.random.default_rng(4)
    count = 3_000 * PAGE
    groups = np.repeat(generator.integers(0, 3, count // PAGE), PAGE)
    no_columns = np.zeros((count, 0))
    page = Pages(no_columns, no_columns, groups, generator.normal(size=count))
    truth = 0.01 * generator.normal(size=(count, 2))
    made = Simulation({"train": page}, {"train": truth})
    places, biased = simulation.clicked(made, "train", "examination", "biased", seed=5)
    again, weighted = simulation.clicked(
        made, "train", "examination", "weighted", seed=5
    )
    _, unbiased = simulation.clicked(made, "train", "examination", "unbiased", seed=5)
    np.testing.assert_array_equal(places, again)
    np.testing.assert_array_equal(weighted > 0, biased > 0)
    assert biased.mean() < 0.4 and abs(unbiased.mean() - 0.5) < 0.02
    mild = groups == 2
    assert abs(weighted[mild].mean() - 0.5) < 0.02
    assert weighted.max() <= 1 / simulation.LEAST_PROPENSITY + 1e-4


def test_a_part_is_computed_once_and_again_where_its_identity_differs(
    tmp_path: Path,
) -> None:
    calls, said = [], []
    store = Store(tmp_path / "parts", said.append)

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3)}

    for identity in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        part = store.part("a part", identity, compute)
        np.testing.assert_array_equal(part["x"], np.arange(3))
    assert len(calls) == len(said) == 2 and said[0].startswith("a part: ")
    assert store.seconds > 0 and not list((tmp_path / "parts").glob("*.partial"))


def test_a_part_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path, print)

    def fail() -> dict[str, np.ndarray]:
        raise FloatingPointError("the loss is not finite")

    with pytest.raises(FloatingPointError):
        store.part("a part", {}, fail)
    assert not list(tmp_path.iterdir())


def test_runs_of_two_rates_train_together_each_by_its_own_targets() -> None:
    tasks = RANKING_TASKS[:1]
    model = Ranker(
        *(tasks, CARDINALITIES, 2, "shared_bottom", (3,), 1, (4,), ()),
        wide=False,
    )
    rows, plan = made_rows(0), Plan(epochs=2, batch=16)
    data = {"categories": rows.categories, "numbers": rows.numbers}
    ones, zeros = np.ones((60, 1), np.float32), np.zeros((60, 1), np.float32)
    predict = predictor(model, data)
    runs = train_runs(
        *(model, tasks, data, plan),
        seeds=[0, 1, 2],
        rates=[0.05, 0.05, 0.0],
        evaluate=lambda params: predict(params).mean(axis=(1, 2)),
        own={"targets": np.stack([ones, zeros, ones])},
    )
    first = jax.jit(lambda key: initial_params(model, key, data))
    starts = [first(jax.random.key(seed)) for seed in range(3)]
    before = predict(jax.tree.map(lambda *x: jnp.stack(x), *starts)).mean(axis=(1, 2))
    after = predict(runs.params).mean(axis=(1, 2))
    assert after[0] > before[0] and after[1] < before[1]
    np.testing.assert_array_equal(after[2], before[2])
    np.testing.assert_allclose(runs.best_value, after, rtol=1e-5)


def test_a_constant_explains_nothing_and_the_truth_nearly_all() -> None:
    rows = made_rows(1)
    rates = rows.targets.mean(axis=0, dtype=np.float64)
    constant = np.tile(np.log(rates) - np.log1p(-rates), (60, 1))
    watch = [task.kind for task in RANKING_TASKS].index("squared")
    constant[:, watch] = rates[watch]
    assert measuring.explained(constant, rows, RANKING_TASKS) == pytest.approx(0)
    truth = np.where(rows.targets > 0, 20.0, -20.0)
    truth[:, watch] = rows.targets[:, watch]
    assert measuring.explained(truth, rows, RANKING_TASKS) == pytest.approx(1)
    none = rows._replace(targets=np.zeros_like(rows.targets))
    assert np.isnan(measuring.explained(truth, none, RANKING_TASKS))


def test_measures_agree_with_the_resample_in_which_every_user_stands_once() -> None:
    rows = made_rows(2)
    outputs = np.random.default_rng(3).normal(size=rows.targets.shape)
    once = np.ones((1, 60), np.int16)
    measured = measuring.measure(outputs, rows, RANKING_TASKS, scale=2.0)
    drawn = measuring.measure_resampled(outputs, rows, RANKING_TASKS, once, scale=2.0)
    assert {"engagement/auc", "satisfaction/auc"} <= drawn.keys() <= measured.keys()
    for name, values in drawn.items():
        assert values[0] == pytest.approx(measured[name])
    rows.targets[:, 0] = 0
    constant = measuring.measure(outputs, rows, RANKING_TASKS, scale=2.0)
    assert np.isnan(constant["click/auc"]) and np.isnan(constant["engagement/auc"])


def test_a_cell_differs_from_itself_by_nothing_and_from_a_better_one_clearly() -> None:
    generator = np.random.default_rng(0)
    runs = {"m": generator.normal(size=5)}
    drawn = {"m": runs["m"] + generator.normal(size=(50, 5))}
    same = measuring.difference(runs, runs, drawn, drawn, "m")
    assert same["difference"] == 0 and same["interval"] == [0, 0]
    better, moved = {"m": runs["m"] + 3}, {"m": drawn["m"] + 3}
    found = measuring.difference(better, runs, moved, drawn, "m")
    assert found["interval"] == pytest.approx([3, 3])
    assert found["seed_interval"] == pytest.approx([3, 3])


def head() -> dict[str, Any]:
    counts = dict.fromkeys(("rows_train", "rows_validation", "rows_test"), 1_000)
    text = {"command": "python -m x", "commit": "abc", "hardware": "a machine"}
    return counts | text | {"seconds": 3.0, "resamples": 20}


def mixture_row(cell: Any) -> dict[str, Any]:
    values = {}
    for task in RANKING_TASKS:
        for metric in measuring.BY_KIND[task.kind]:
            values[f"{task.name}/{metric}"] = [0.5, 0.6]
    for group in ("engagement", "satisfaction"):
        values |= {f"{group}/{m}": [0.5, 0.6] for m in measuring.BY_KIND["binary"]}
    values["forward/auc"] = [float("nan")] * 2
    gates = {
        "tasks": [task.name for task in RANKING_TASKS],
        "mean_weights": [np.full((8, cell.experts), 0.5).tolist()] * 2,
        "similarity": [np.eye(8).tolist()] * 2,
        "utilisation": [[0.25] * cell.experts] * 2,
        "spread": [np.full((8, cell.experts), 0.1).tolist()] * 2,
        "polarisation": [[0.1] * 8] * 2,
        "polarised_gates": 0.0,
        "runs_with_a_polarised_gate": 0.0,
    }
    combined = {name: 0.5 for name in values if name.endswith("/auc")}
    return {
        "cell": cell.name,
        "title": cell.title,
        "width": 64,
        "multiplications": 45_000.0,
        "multiplications_by_hand": 44_000,
        "learning_rate": 0.004,
        "seconds_per_run": 9.0,
        "values": values,
        "intervals": {name: [0.4, 0.7] for name in values},
        "gates": gates if cell.kind == "mmoe" else None,
        "combined": {"click alone": combined | {"watch_time/spearman": 0.1}},
    }


def test_the_page_of_mixtures_shows_every_cell_and_marks_clear_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [mixture_row(cell) for cell in CELLS]
    differences = [
        {
            "cell": mine,
            "reference": other,
            "metric": metric,
            "difference": 0.01,
            "interval": [0.005, 0.02] if metric.startswith("eng") else [-0.1, 0.1],
            "seed_interval": None,
        }
        for mine, other in PAIRS
        for metric in rows[0]["values"]
    ]
    record = {"rows": rows, "differences": differences, "weights": {"click": 1.0}}
    pages.write_mixtures(head() | record, tmp_path)
    text = (tmp_path / "video-ranking.md").read_text()
    assert text == capsys.readouterr().out[:-1]
    assert all(f"| {cell.title} (64 wide) | 45,000 |" in text for cell in CELLS)
    assert "**+1.00** [+0.50, +2.00] —" in text
    assert "| +1.00 [-10.00, +10.00] —" in text
    assert "nan" not in text and "undefined" in text
    stored = json.loads((tmp_path / "video-ranking.json").read_text())
    assert stored["rows"][0]["values"]["forward/auc"] == [None, None]
    assert (tmp_path / "video-ranking.png").stat().st_size > 1_000


def test_the_page_of_positions_shows_both_click_models(tmp_path: Path) -> None:
    measured = {
        f"{task}/{metric}": [0.5, 0.7]
        for task in ("click", "long_view")
        for metric in ("spearman", "pairs", "ndcg")
    }
    titles = ("nothing", "shallow tower")
    record = head() | {
        "rows": [
            {"clicks": kind, "way": way, "metric": metric, "values": values}
            for kind in debiasing.WORLDS
            for way in titles
            for metric, values in measured.items()
        ],
        "differences": [
            {
                "clicks": "additive",
                "reference": "nothing",
                "metric": "click/spearman",
                "difference": 0.02,
                "interval": [0.01, 0.03],
                "seed_interval": [0.01, 0.04],
            }
        ],
        "bias": {"additive": np.zeros((2, 3, PAGE + 1, 2)).tolist()},
        "true_bias": np.zeros((3, PAGE, 2)).tolist(),
        "earlier_ranker": {
            "spearman": 0.5,
            "popularity_spearman": 0.1,
            "click_rate": 0.2,
        },
        "sizes": dataclasses.asdict(Sizes()),
        "page": PAGE,
        "groups": {"tab 1": 1.0},
        "seeds": [0, 1],
    }
    position_page.write_position(record, tmp_path)
    text = (tmp_path / "position-bias.md").read_text()
    assert text.count("| shallow tower | 0.6000 ± 0.1414 |") == 2
    assert "| additive | nothing | click | **+2.00** [+1.00, +3.00]" in text
    assert (tmp_path / "position-bias.png").stat().st_size > 1_000


def test_a_study_asks_its_students_for_smaller_batches(log: RankingLog) -> None:
    study = Study(log, Store(Path("nowhere"), print), Plan(epochs=9), range(2), 10)
    plan = debiasing.student_plan(study)
    assert (plan.epochs, plan.batch) == (debiasing.EPOCHS, debiasing.BATCH)
    once = dataclasses.replace(study, plan=Plan(epochs=1))
    assert debiasing.student_plan(once).epochs == 1
    tower = debiasing.student("shallow_tower", study.inputs())
    assert tower.biased == ("click", "long_view") and tower.positions == PAGE
    assert debiasing.student("ignored", study.inputs()).biased == ()


def test_without_bias_both_click_models_are_one_run(log: RankingLog) -> None:
    study = Study(log, Store(Path("nowhere"), print), Plan(), range(2), 10)
    for way in (debiasing.UNBIASED, debiasing.TOWER):
        additive, examination = (
            debiasing._identity(study, Sizes(), kind, way) for kind in debiasing.WORLDS
        )
        assert (additive == examination) == (way is debiasing.UNBIASED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--data-dir", "{folder}"], "kuairand_pure_part must hold log_val.csv"),
    ],
)
def test_a_wrong_argument_ends_in_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [argument.format(folder=tmp_path) for argument in arguments]
    given += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert video_ranking.main(given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
