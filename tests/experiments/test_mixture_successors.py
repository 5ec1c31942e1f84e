"""What came after MMoE, at the multiplications of MMoE."""

import types
from typing import Any

import numpy as np
import pytest

from experiments import mixture_successors
from experiments.mixture_successors import CELLS, REFERENCE, TITLES
from experiments.successors import page, study
from experiments.video.log import RANKING_TASKS

DATA: Any = types.SimpleNamespace(
    tasks=RANKING_TASKS,
    cardinalities=(20,) * 6,
    given={"long_view": "click"},
    train=types.SimpleNamespace(numbers=np.zeros((1, 5))),
)


def test_every_model_costs_what_mmoe_does_but_for_the_width_of_a_unit() -> None:
    models = study.rankers(DATA, [n for n in CELLS if n not in ("boosting", "project")])
    wanted = study.multiplications(models[REFERENCE], 5)
    for name, model in models.items():
        assert study.multiplications(model, 5) == pytest.approx(wanted, rel=0.02), name
    assert [t.given for t in models["esmm"].tasks][:2] == ["", "click"]
    assert models["esmm"].hidden == models[REFERENCE].hidden


def test_multiplications_of_mmoe_are_those_counted_by_hand() -> None:
    model = study.rankers(DATA, [REFERENCE])[REFERENCE]
    features, tasks, experts = 6 * 8 + 5, 8, 8
    layers = features * 64 + 64 * experts * 64 + tasks * 64 * 16 + tasks * 16
    gates = 64 * tasks * experts + tasks * experts * 64
    assert study.multiplications(model, 5) == layers + gates + 5 * tasks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--cells", "mmoe", "soft"], "got 'soft'"),
        (["--study", "census", "--cells", "esmm"], "esmm with kuairand alone"),
        (["--rates", "0"], "--rates above 0"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, capsys: Any
) -> None:
    assert mixture_successors.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_page_names_the_best_and_marks_what_excludes_zero() -> None:
    record: dict[str, Any] = {
        "study": "census",
        "said": "Rows.",
        "metrics": ["income/auc"],
        "rows": {"train": 1, "validation": 1, "test": 1},
        "models": [
            {
                "cell": name,
                "title": TITLES[name],
                "values": {"income/auc": [value, value]},
                "seconds_per_run": 1.0,
            }
            for name, value in ((REFERENCE, 0.5), ("boosting", 0.6))
        ],
        "differences": [
            {
                "cell": "boosting",
                "metric": "income/auc",
                "difference": 0.1,
                "interval": [0.05, 0.2],
                "seed_interval": None,
            }
        ],
    }
    record |= {"command": "c", "commit": "x", "hardware": "h", "seconds": 1.0}
    text = page.markdown(record | {"seeds": 2, "epochs": 1, "resamples": 3})
    assert "| gradient boosting, a model a task | **+10.00** [+5.00, +20.00] |" in text
    assert "The best mean has: income/auc gradient boosting, a model a task." in text


def test_rows_of_a_draw_are_the_same_each_time_and_all_without_one() -> None:
    np.testing.assert_array_equal(study.drawn(9, 4), study.drawn(9, 4))
    assert len(study.drawn(9, 0)) == 9 and len(study.drawn(3, 9)) == 3
