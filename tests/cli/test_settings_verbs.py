"""`labelgraph config show|check|diff|list`, and what `train` says of its settings."""

import json
import tomllib
from pathlib import Path

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig, changed, from_dict
from labelgraph_jax.config.presets import PRESETS, preset


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends with."""
    assert run(list(arguments)) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    return said.err


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("options", [[], ["--json"], ["--all"], ["--all", "--json"]])
def test_what_is_shown_of_a_preset_is_that_preset(
    name: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, "config", "show", name, *options)
    values = json.loads(text) if "--json" in options else tomllib.loads(text)
    assert from_dict(values) == preset(name)
    if "--all" not in options:
        assert sum(map(len, values.values())) == len(changed(preset(name)))


def test_the_settings_of_a_run_are_those_that_it_keeps(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = tomllib.loads(printed(capsys, "config", "show", str(trained)))
    kept = json.loads((trained / "config.json").read_text())
    assert values["training"]["epochs"] == kept["training"]["epochs"]
    assert run(["config", "check", str(trained / "config.json")]) == 0


def test_what_a_run_does_not_read_is_a_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[graph]\nlayers = 0\nhidden = 64\n[data]\ntask = 'a\"\u2028é'\n")
    text = printed(capsys, "config", "show", str(path))
    assert "# not read in this run: graph.hidden = 64" in text
    assert tomllib.loads(text) == {
        "data": {"task": 'a"\u2028é'},
        "graph": {"layers": 0},
    }


def test_a_file_is_checked_with_exit_code_2_where_it_has_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepoch = 3\n[graph]\ntau = 0.4\n")
    text = printed(capsys, "config", "check", str(path), code=2)
    assert text.splitlines() == [
        f"{path}:2: unknown setting 'training.epoch'; the nearest is 'training.epochs'",
        f"{path}:4: graph.tau has no effect: it is read only with "
        "graph.initialisation='thresholded', not 'cooccurrence'",
        f"{path}: 2 faults",
    ]
    rows = json.loads(printed(capsys, "config", "check", str(path), "--json", code=2))
    assert [row["line"] for row in rows] == [2, 4]
    path.write_text("[training]\nepochs = 3\n")
    assert printed(capsys, "config", "check", str(path)) == f"{path}: no fault\n"
    # Of a work directory its settings are meant.
    (tmp_path / "run").mkdir()
    said = refused(capsys, "config", "check", str(tmp_path / "run"))
    assert said.strip().endswith("run: must be a run; it has no config.json")
    (tmp_path / "run" / "config.json").write_text('{"training": {"epochs": 0}}')
    text = printed(capsys, "config", "check", str(tmp_path / "run"), code=2)
    assert f"{tmp_path / 'run' / 'config.json'}:1: " in text
    assert "cannot be read" in refused(capsys, "config", "check", str(tmp_path / "no"))


def test_two_configurations_are_compared(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"training": {"epochs": 7, "learning_rate": 0.1}}')
    text = printed(capsys, "config", "diff", "default", str(path))
    assert text.splitlines() == [
        "training.epochs: 20 -> 7",
        "training.learning_rate: null -> 0.1",
    ]
    rows = json.loads(printed(capsys, "config", "diff", "default", str(path), "--json"))
    assert rows[0] == {"setting": "training.epochs", "first": 20, "second": 7}
    same = printed(capsys, "config", "diff", str(trained), str(trained))
    assert same == "no setting differs\n"


def test_what_has_no_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "config", "show", "minilm-finetun")
    assert "neither a run nor a file nor a preset; the presets are default" in said
    said = refused(capsys, "config", "diff", "default", str(tmp_path))
    assert "must be a run; it has no config.json" in said
    assert "needs one of show, check, diff, list" in refused(capsys, "config")


def test_the_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "config", "list", "--json"))
    assert rows.keys() == PRESETS.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--tau 0.4",
            "--graph.tau=0.4 has no effect in this run: it is read only with ",
        ),
        ("--graph.heads 2 --graph.layers 0", "--graph.layers>=1, or --graph.kind="),
        ("--preset minilm-finetune --text.dim 8", "--text.dim=8 has no effect"),
        (
            "DATA --semi.ratio 2",
            "--semi.ratio=2 has no effect in this run: it is read ",
        ),
        (
            "--adapt.weight 2",
            "--adapt.weight=2.0 has no effect in this run: it is read ",
        ),
        (
            "--rules.weight 2",
            "--rules.weight=2.0 has no effect in this run: it is read only with -",
        ),
        ("--table.dim 4", "--table.dim=4 has no effect in this run: it is read only"),
    ],
)
def test_an_option_of_train_without_effect_is_refused_by_its_name(
    options: str,
    message: str,
    tiny_data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = options.replace("DATA", tiny_data.data).split()
    run(["train", "--workdir", str(tmp_path / "run"), *words])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
