"""The log says each step once, also after a crash."""

import json
import math
from pathlib import Path

from labelgraph_jax.training.logs import MetricsLog


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_lines_are_json_and_numbers_that_are_not_finite_are_null(
    tmp_path: Path,
) -> None:
    with MetricsLog(tmp_path, tensorboard=False) as log:
        log.write(3, {"loss": 0.5, "worst": math.inf})
    assert json.loads(log.path.read_text()) == {"step": 3, "loss": 0.5, "worst": None}


def test_truncating_forgets_later_steps_and_half_written_lines(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    for step in (2, 4, 6):
        log.write(step, {"loss": 1.0})
    with log.path.open("a") as file:
        file.write('{"step": 8, "lo')
    log.truncate(4)
    assert steps(log.path) == [2, 4]
    log.write(6, {"loss": 0.9})
    assert steps(log.path) == [2, 4, 6]


def test_truncating_nothing_is_fine(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "none")
    log.truncate(0)
    assert not log.path.exists() or steps(log.path) == []


def test_tensorboard_gets_its_file(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.truncate(0)
        log.write(1, {"loss": 0.5, "validation/micro_f1": 0.1})
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    assert b"loss" in content
    assert b"validation/micro_f1" in content
