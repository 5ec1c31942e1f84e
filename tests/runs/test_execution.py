"""Devices, batches and checkpoints of a run: what fits, and what is refused first."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import Config, ConfigError, DataConfig, from_dict, to_dict
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs import execution
from labelgraph_jax.runs.execution import Execution, executing
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.training.signals import Stop, StoppedError, StopRequestedError
from tests.tiny import tiny_config


def run_of(**settings: Any) -> Execution:
    return Execution(RunConfig(**settings), Stop(), lambda line: None)


@pytest.fixture
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        pytest.fail("the documents were read first")

    monkeypatch.setattr("labelgraph_jax.runs.labels.read_corpus", read)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parallel": "xmap"}, r"run.parallel must be one of \['jit', 'pmap'\]"),
        ({"checkpoint_every": -1}, "--checkpoint-every must be at least 0 steps, got"),
    ],
)
def test_settings_of_a_run_that_cannot_be_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**settings)


@pytest.mark.parametrize("steps", ["10", "20:10", "0:3", "ten"])
@pytest.mark.usefixtures("nothing_is_read")
def test_steps_to_trace_of_another_form_are_refused(
    steps: str, tiny_data: DataConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        fit(tiny_config(tiny_data), tmp_path / "w", run=RunConfig(profile=steps))
    assert str(refused.value) == (
        "--profile: the steps to profile are written FIRST:LAST, as 10:20; got "
        f"{steps!r}"
    )
    assert not list(tmp_path.iterdir())


def test_one_process_does_a_task_once() -> None:
    done: list[int] = []

    def task() -> str:
        done.append(1)
        return "found"

    assert run_of().first_then_others(task) == "found"
    assert done == [1]


def test_a_directory_is_made_held_and_let_go(tmp_path: Path) -> None:
    place = Workdir(tmp_path / "a" / "b")
    with run_of().holding(place):
        with pytest.raises(ValueError, match="another run is at work here"):
            execution.require_free(place)
        assert [path.name for path in place.path.iterdir()] == [".lock"]
    execution.require_free(place)


def test_a_stop_says_how_far_the_run_had_come() -> None:
    def interrupted(stage: str = "") -> Iterator[str]:
        with (
            pytest.raises(StoppedError) as stopped,
            executing(RunConfig(), lambda line: None) as run,
        ):
            run.stop.by = "Ctrl-C"
            run.stop.where = stage or run.stop.where
            raise StopRequestedError
        yield str(stopped.value)

    said = next(interrupted())
    assert said == (
        "stopped by Ctrl-C before the first step, so there was nothing to save"
    )
    assert next(interrupted("while testing")) == "stopped by Ctrl-C while testing"


def test_a_batch_is_the_last_once_a_stop_is_asked_for(tiny_data: DataConfig) -> None:
    from labelgraph_jax.runs.labels import prepare

    prepared = prepare(tiny_config(tiny_data).resolved())
    run = run_of()
    seen = 0
    with pytest.raises(StopRequestedError):
        for _ in run.evaluation_batches(prepared.train, batch_size=16):
            seen += 1
            run.stop.requested = seen == 2
    assert seen == 2


def test_settings_of_an_older_version_still_load() -> None:
    older = to_dict(Config())
    older["mixture"]["expert_devices"] = 4
    held = json.dumps(older)
    assert from_dict(older) == Config()
    assert json.dumps(older) == held  # what was given is left as it is
    with pytest.raises(ConfigError, match=r"setting 'mixture\.expert_device'"):
        from_dict({"mixture": {"expert_device": 4}})


def test_settings_of_a_run_are_no_part_of_its_configuration() -> None:
    names = {field.name for field in dataclasses.fields(RunConfig)}
    sections = to_dict(Config())
    assert not names & {name for section in sections.values() for name in section}
