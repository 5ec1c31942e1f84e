"""A tiny run of every kind gives the numbers that version 0.6.0 gave.

`numbers.json` holds what 0.6.0 measured, decided and predicted, but for what CHANGELOG
says, see `cases.CASES` and `store`. A change of the package that is meant to change no
number is held to it here: metrics, losses, thresholds, and the labels and probabilities
of every test document.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden import cases

NUMBERS: dict[str, Any] = cases.read_json(Path(__file__).with_name("numbers.json"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the runs read; they are made beside it, each once."""
    folder = tmp_path_factory.mktemp("golden")
    cases.write_inputs(folder)
    return folder


@pytest.mark.parametrize("name", cases.CASES)
def test_a_run_of_every_kind_gives_the_numbers_of_version_0_6_0(
    name: str, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inputs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(inputs / "cache"))
    found = cases.golden_numbers(name, cases.train(name))
    # What JSON makes of numbers and tuples, as the stored ones were made.
    found = json.loads(json.dumps(found))
    told = cases.unlike(name, NUMBERS[name], found)
    assert not told, "\n".join(told[:20])


def test_every_kind_of_run_has_stored_numbers() -> None:
    assert list(NUMBERS) == list(cases.CASES)
    for numbers in NUMBERS.values():
        assert numbers["results"]["test"]
        assert len(numbers["predictions"]) in (24, 240)


def test_a_case_is_looser_only_where_that_is_said() -> None:
    memory = {"validation": {"without_memory": {"mAP": 0.5, "LRAP": 0.5}}}
    found = {"validation": {"without_memory": {"mAP": 0.503, "LRAP": 0.503}}}
    told = cases.unlike(
        "memory of documents",
        {"results": {"memory": memory}},
        {"results": {"memory": found}},
    )
    assert told == [".results.memory.validation.without_memory.LRAP: 0.5 -> 0.503"]
    assert len(cases.unlike("bag of n-grams", memory, found)) == 2


def test_a_number_that_changes_is_told() -> None:
    stored = {"a": [1.0, {"b": 0.5}], "c": "x", "d": None}
    assert cases.differences(stored, stored | {"new": 1}, 1e-6) == []
    assert cases.differences(stored, stored | {"a": [1.0, {"b": 0.51}]}, 1e-6) == [
        ".a[1].b: 0.5 -> 0.51"
    ]
    assert cases.differences(stored, {"a": [1.0], "c": "y"}, 1e-6) == [
        ".a: 2 entries -> 1",
        ".c: 'x' -> 'y'",
        ".d: is gone",
    ]
