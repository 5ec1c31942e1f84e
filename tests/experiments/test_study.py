"""What all studies share: their options, what is written down, and refusals."""

import dataclasses
import json
from pathlib import Path

import pytest

from experiments.pod import Pod
from experiments.study import (
    Options,
    require_at_least_one,
    run_command,
    write_record,
)
from labelgraph_jax.config import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """A study."""

    most_labels: int = 3
    work: str = "work"


@pytest.mark.parametrize(
    "local",
    [
        ("--data-dir", "a b", "--quiet", "--work", "w"),
        ("--data-dir=a", "--out=", "--work=w", "--quiet"),
    ],
)
def test_a_command_is_written_down_without_the_folders_of_a_machine(
    local: tuple[str, ...],
) -> None:
    seen: list[str] = []

    def compute(chosen: Arguments, command: str, pod: Pod) -> None:
        assert chosen.quiet and chosen.work == "w"
        seen.append(command)

    words = ["--most-labels", "2", *local]
    assert run_command("study", Arguments, compute, words) == 0
    assert run_command("study", Arguments, compute, [*local, *words[:2]]) == 0
    assert seen == 2 * ["python -m experiments.study --most-labels 2"]


def test_a_count_below_one_is_refused_as_it_is_typed() -> None:
    require_at_least_one(Arguments(), "most_labels")
    with pytest.raises(ConfigError, match="--most-labels must be at least 1, got 0"):
        require_at_least_one(Arguments(most_labels=0), "most_labels")


def test_a_record_and_its_page_are_written_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(str(tmp_path / "out"), "study", {"a": 1}, "# page")
    assert json.loads((tmp_path / "out/study.json").read_text()) == {"a": 1}
    assert (tmp_path / "out/study.md").read_text() == "# page"
    assert "study.md" in capsys.readouterr().out
