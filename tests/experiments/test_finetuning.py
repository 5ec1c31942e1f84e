"""Fine-tuning in many ways: what a cell is, what goes on, what is written down."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import finetuning
from experiments.finetuning import Study, cell_settings, main, pareto, with_epochs
from labelgraph_jax.config import ConfigError
from tests.zoo import Zoo


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--stage", "presets"], "--stage presets needs --cells"),
        (["--cells", "3x96"], "LAYERSxTOKENSxEPOCHS,setting=value,..., such as"),
        (["--cells", "3x0x2"], "got '3x0x2'"),
        (["--cells", "3x9x2,loss.kind"], "written as loss.kind=focal; got 'loss.kind'"),
        (["--cells", "3x9x2,loss.kynd=focal"], "there is no setting 'loss.kynd'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, capsys: Any
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_cell_is_its_settings_and_may_run_longer() -> None:
    cell = "3x96x4,loss.kind=focal,loss.gamma=1"
    assert cell_settings(cell) == {
        "text.trained_layers": 3,
        "text.max_length": 96,
        "training.epochs": 4,
        "loss.kind": "focal",
        "loss.gamma": 1,
    }
    assert with_epochs(cell, 8) == cell.replace("x4", "x8")
    with pytest.raises(ConfigError, match="got '3x96'"):
        cell_settings("3x96")


def test_a_dearer_cell_of_equal_score_is_not_on_the_front() -> None:
    cells = [
        {"cell": name, "cpu_seconds": cost, "score": score}
        for name, cost, score in (("a", 2, 0.5), ("b", 1, 0.5), ("c", 3, 0.6))
    ]
    assert pareto(cells) == ["b", "c"]


def numbers_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str) -> Any:
    """What a stage goes through, where more epochs and focal score best."""

    def summary(study: Study, cell: str) -> dict[str, Any]:
        own = cell_settings(cell)
        score = own["training.epochs"] + (own.get("loss.kind") == "focal")
        return {"cell": cell, "score": score - own["text.trained_layers"] / 10}

    monkeypatch.setattr(Study, "summary", summary)
    monkeypatch.setattr(Study, "config", lambda *_: None)
    monkeypatch.setattr(finetuning, "read_corpus", lambda data: None)
    monkeypatch.setattr(Study, "__init__", lambda self, chosen: None)
    study = Study.__new__(Study)
    study.chosen = finetuning.Arguments(stage=stage)  # type: ignore[arg-type]
    return study.cells()


def test_the_better_half_goes_on_with_twice_the_epochs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = [each["cell"] for each in numbers_of(monkeypatch, tmp_path, "frontier")]
    plain = [cell for cell in cells if "," not in cell]
    rounds = [sum(cell.endswith(f"x{n}") for cell in plain) for n in (2, 4, 8)]
    assert rounds == [9, 5, 3]
    assert all(cell.startswith("1x") for cell in cells if "x8" in cell)
    assert sum(cell.startswith(cells[0].split(",")[0] + ",") for cell in cells) == len(
        finetuning.VARIATIONS
    )


def test_every_loss_has_as_many_tries_and_its_best_runs_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = [each["cell"] for each in numbers_of(monkeypatch, tmp_path, "losses")]
    for kind in finetuning.CONSTANTS:
        own = [cell for cell in cells if f"loss.kind={kind}," in cell]
        assert len(own) == 6 + 1 and sum(cell.startswith("3x64x4") for cell in own) == 1
    assert "loss.kind=focal" in cells[0]


@pytest.mark.slow
def test_runs_are_kept_and_the_test_split_is_read_for_presets_alone(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    corpus = finetuning.read_corpus(zoo.data)
    monkeypatch.setattr(finetuning, "read_corpus", lambda data: corpus)
    words = ["--encoder", str(zoo.bert), "--work", str(tmp_path / "work"), "--quiet"]
    words += ["--out", str(tmp_path), "--cells", "1x8x1"]
    assert main(words) == 0, capsys.readouterr().err
    record = json.loads(
        (tmp_path / "finetuning-frontier-reuters21578.json").read_text()
    )
    (cell,) = record["cells"]
    assert "test" not in cell and 0 <= cell["score"] <= 1
    assert "--text.trained-layers 1" in cell["command"]
    assert str(tmp_path) not in record["command"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was trained before")

    monkeypatch.setattr(finetuning, "fit", never)
    assert main([*words, "--stage", "presets"]) == 0, capsys.readouterr().err
    path = tmp_path / "finetuning-presets-reuters21578"
    record = json.loads(path.with_suffix(".json").read_text())
    rules = {"auto, by micro_f1", "auto, by mean_f1", "at 0.5"}
    assert set(record["cells"][0]["test"][0]) == rules
    assert "test macro, at 0.5" in path.with_suffix(".md").read_text()
