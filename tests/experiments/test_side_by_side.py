"""Runs of the four experiments that train side by side give the numbers they gave.

The numbers are those of the loops that each experiment had of its own, before all of
them trained by `training.seeds`; but for the tables, whose epochs are chosen since by
F1 that is averaged over resamples of the validation documents.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.census import corpus
from experiments.census.inputs import encode
from experiments.census.networks import Shape
from experiments.census.training import Schedule, Trial, train_together
from experiments.mmoe.synthetic import PRESETS
from experiments.mmoe.synthetic_runs import Sizes, Trainer
from experiments.tables import running
from experiments.video.log import RANKING_TASKS
from experiments.video.training import Plan, predictor, train_runs
from labelgraph_jax.config import DataConfig
from labelgraph_jax.modules.ranker import Ranker
from tests.experiments import tiny_census
from tests.experiments.test_video_ranking import CARDINALITIES, made_rows
from tests.tiny import tiny_config

TABLES_EPOCHS = [2, 1]
TABLES_HISTORY = [[0.7924528, 0.8301887, 0.8301887], [0.8070175, 0.8070175, 0.7924528]]
TABLES_TEST = [
    [0.550263, 0.860491, 0.2091754, 0.2444252, 0.0727294],
    [0.4078017, 0.7734711, 0.2506609, 0.2395488, 0.4601761],
]
CENSUS_MMOE = (
    [[0.8897516, 0.9099379], [0.8835404, 0.8944099]],
    [[-0.7198558, -0.6637875], [-0.1640187, -0.0823335]],
)
CENSUS_L2 = (
    [[0.8602484, 0.8850932], [0.7406832, 0.7670807]],
    [[-0.2959305, -0.6351686], [-0.4928644, -0.083392]],
)
VIDEO_EPOCHS = [1, 2]
VIDEO_VALUES = [-0.3007688, -0.1360541]
VIDEO_OUTPUTS = [
    [-0.0399229, -0.2670006, 0.2951575, -0.2394226],
    [-0.2556967, -0.1766182, -0.9834812, -0.0553251],
]
MMOE_CURVES = [[7.592845, 11.8746901], [5.2073402, 5.968204], [4.7563572, 2.5735922]]
MMOE_LOSSES = [[3.8940778, 5.9637089], [17.0593948, 21.2986393], [8.6999178, 8.4687796]]
MMOE_VARIANCES = [7.0568271] * 3


def assert_numbers(found: object, expected: object) -> None:
    """Equal but for what another processor rounds otherwise."""
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_cell_of_the_tables(tiny_data: DataConfig, tmp_path: Path) -> None:
    config = tiny_config(
        tiny_data,
        text={"dropout": 0.3},
        graph={"initialisation": "random", "features": "random", "layers": 1},
        training={"epochs": 3, "batch_size": 16},
    ).resolved()
    laboratory = running.Laboratory(tmp_path, lambda line: None)
    runs = running.train_together(laboratory.corpus(config), config, [0, 3])
    assert [run.best_epoch for run in runs] == TABLES_EPOCHS
    assert_numbers([run.history for run in runs], TABLES_HISTORY)
    assert_numbers([run.test[0] for run in runs], TABLES_TEST)


def test_a_cell_of_census_income(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"mmoe": tiny_census.SIZES}
    monkeypatch.setattr(
        corpus, "SOURCE", dataclasses.replace(corpus.SOURCE, sizes=sizes)
    )
    data = corpus.load_census_income(tiny_census.make_copy(tmp_path))
    inputs = encode(data, "group1", min_count=5)
    for shape, trial, expected in (
        (Shape("mmoe", (4,), 2), Trial(1, 0.01, weight_decay=0.1), CENSUS_MMOE),
        (Shape("l2_constrained", (4,)), Trial(1, 0.01, constraint=0.1), CENSUS_L2),
    ):
        trials = [Trial(0, 0.03), trial]
        runs = train_together(inputs, shape, trials, Schedule(2, 80, dropout=0.2))
        assert_numbers([run.history for run in runs], expected[0])
        assert_numbers([run.test_outputs[0] for run in runs], expected[1])


def test_a_cell_of_the_video_rankers() -> None:
    model = Ranker(RANKING_TASKS, CARDINALITIES, 2, "mmoe", (3,), 2, (4,), ())
    rows = made_rows(0)
    data = {"categories": rows.categories, "numbers": rows.numbers}
    predict = predictor(model, data)
    runs = train_runs(
        *(model, RANKING_TASKS, data, Plan(epochs=2, batch=16)),
        seeds=[0, 5],
        rates=[0.05, 0.01],
        evaluate=lambda params: -np.square(predict(params)).mean(axis=(1, 2)),
        own={
            "targets": np.stack([rows.targets, 1 - rows.targets]),
            "target_mask": np.stack([rows.target_mask] * 2),
        },
    )
    assert runs.best_epoch.tolist() == VIDEO_EPOCHS
    assert_numbers(runs.best_value, VIDEO_VALUES)
    assert_numbers(predict(runs.params)[:, 0, :4], VIDEO_OUTPUTS)


def test_a_cell_of_the_synthetic_tasks() -> None:
    sizes = Sizes(features=5, batch=4, steps=3, epochs=2, held_out=8)
    trainer = Trainer("mmoe", PRESETS["google-research"], sizes, together=2)
    runs = trainer([0, 7, 1], [0.5, 0.9, 1.0], [0.01, 0.001, 0.1])
    assert_numbers(runs.curves, MMOE_CURVES)
    assert_numbers(runs.losses, MMOE_LOSSES)
    assert_numbers(runs.variances, MMOE_VARIANCES)
