"""Files of settings, JSON and TOML: what they hold, and every fault of them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import Config, ConfigError, TrainingConfig, to_dict
from labelgraph_jax.config.files import (
    Fault,
    faults,
    read_config,
    read_settings,
    starting_point,
)

WRONG_TOML = """# mine
training.epochs = 2.5
[text]
max_lenght = 3
encoder = "cnn"
pooling = "last"
[graph]
tau = 0.4
heads = 0
hidden = 0
[training2]
x = 1
"""
WRONG_JSON = """{"training": {"threshold": "half",
 "epoch": 3,
 "epochs": true},
 "mixture": {"expert_devices": 3}, "text": 3
}
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_json_hold_the_same_settings(tmp_path: Path) -> None:
    toml = written(tmp_path, "a.toml", '[training]\nepochs = 3\n[data]\ntask = "é"\n')
    values = {"training": {"epochs": 3}, "data": {"task": "é"}}
    plain = written(tmp_path, "a.json", json.dumps(values))
    assert read_config(toml) == read_config(plain)
    assert read_config(toml).training == TrainingConfig(epochs=3)
    assert read_settings(toml).written == ("training.epochs", "data.task")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "[training]\nepochs = 3\n"),
        ("a.json", '{"training": {"epochs": 3}}'),
    ],
)
def test_a_byte_order_mark_and_ends_of_lines_of_windows_are_read(
    name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_config(path) == Config(training=TrainingConfig(epochs=3))
    assert faults(path) == []


def test_every_fault_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    assert faults(written(tmp_path, "a.toml", WRONG_TOML)) == [
        Fault(2, "training.epochs must be of kind int, got 2.5"),
        Fault(4, "unknown setting 'text.max_lenght'; the nearest is 'text.max_length'"),
        Fault(6, "text.pooling of a cnn must be one of ['default', 'max'], got 'last'"),
        Fault(
            8,
            "graph.tau has no effect: it is read only with "
            "graph.initialisation='thresholded', not 'cooccurrence'",
        ),
        Fault(9, "graph.heads must be at least 1, got 0"),
        Fault(10, "graph.hidden must be at least 1, got 0"),
        Fault(11, "unknown setting 'training2'; the nearest is 'training'"),
    ]
    assert faults(written(tmp_path, "a.json", WRONG_JSON)) == [
        Fault(2, "unknown setting 'training.epoch'; the nearest is 'training.epochs'"),
        Fault(3, "training.epochs must be of kind int, got True"),
        Fault(4, "text must be an object of settings, got int"),
    ]


def test_a_contradiction_between_sections_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", '[head]\nkind = "label_attention"\n')
    (fault,) = faults(path)
    assert fault.line == 2
    assert "text.encoder must be cnn, bilstm, blocks or transformer" in fault.message
    assert faults(written(tmp_path, "b.toml", "")) == []


def test_a_fault_that_names_nothing_written_ends_the_search(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '{"table": {"tasks": ["x=binary"]}}')
    assert faults(path) == [Fault(0, "a task COLUMN=KIND needs --data FILE, a table")]
    assert faults(written(tmp_path, "b.json", "[]"))[0].line == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "x = \n", r"a.toml:1: must be TOML: Invalid value"),
        ("a.toml", "[a]\n[a]\n", r"a.toml:2: must be TOML: Cannot declare"),
        ("a.toml", 'x = "', r"a.toml.* must be TOML: "),
        ("a.toml", "x = " + "[" * 100_000, r"a.toml: must be TOML: nested too deep"),
        (
            "a.json",
            "[training]\nepochs = 3\n",
            r"must be JSON: .*; it is TOML: let its",
        ),
        ("a.json", "", r"a.json:1: must be JSON: Expecting value$"),
        (
            "a.json",
            '{"graph": {"heads": 2}, "text": {"dim": 8}, "graph": {}}',
            r"a.json: must be JSON: 'graph' stands twice in one object",
        ),
        (
            "a.json",
            '{"graph": {"heads": 2, "heads": 3}}',
            r"must be JSON: 'heads' stands twice in one object",
        ),
        (
            "a.toml",
            "[graph]\nlayers = 1\nheads = 'x'\n",
            r"a.toml:3: graph.heads must be of kind int, got 'x'",
        ),
        ("a.toml", '{"training": {}}', r"a.toml:1: must be TOML: "),
        (
            "a.toml",
            "[training]\nepochs = 1979-05-27\n",
            r"must be of kind int, got date",
        ),
        ("a.toml", "[[training]]\nepochs = 1\n", r"training must be an object of sett"),
        (
            "a.toml",
            "[training]\nclip_norm = inf\n",
            r"must be a finite number, got inf",
        ),
    ],
)
def test_what_is_no_file_of_settings_is_said_in_one_line(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(written(tmp_path, name, text))


def test_settings_of_older_versions_are_read_and_named(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "training": {"threshold": "half", "positive_weight": 2.0},
        "loss": {"positive_weight": 3.0},
        "mixture": {"expert_devices": 4},
    }
    found = read_settings(written(tmp_path, "a.json", json.dumps(values)))
    assert found.config.threshold.kind == "half"
    assert found.config.loss.positive_weight == 3.0, "its present name comes first"
    assert found.remarks == (
        "training.positive_weight is now loss.positive_weight",
        "training.threshold is now threshold.kind",
        "mixture.expert_devices is no setting of a run any longer",
    )
    values = {"training": {"threshold": "half"}, "threshold": 3}
    with pytest.raises(ConfigError, match="threshold must be an object of settings"):
        read_settings(written(tmp_path, "b.json", json.dumps(values)))


def test_what_a_file_writes_must_have_an_effect_but_in_the_record_of_a_run(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "a.toml", "[graph]\ntau = 0.4\n")
    start = starting_point("", str(path))
    with pytest.raises(ConfigError, match=r"graph.tau=0.4 has no effect"):
        start.refuse_idle(start.config)
    path = written(tmp_path, "b.toml", '[data]\ncorpus = "reuters21578"\n')
    start = starting_point("", str(path))
    own = dataclasses.replace(start.config.data, data="mine.jsonl")
    start.refuse_idle(dataclasses.replace(start.config, data=own))
    values = to_dict(Config())
    values["graph"]["tau"] = 0.4
    record = written(tmp_path, "config.json", json.dumps(values))
    start = starting_point("", str(record))
    start.refuse_idle(start.config)
    assert faults(record) == []


def test_a_run_starts_from_one_configuration() -> None:
    with pytest.raises(ConfigError, match="--preset and --config both name a config"):
        starting_point("table", "mine.toml")
    assert starting_point("", "").config == Config()
    start = starting_point("minilm-finetune", "")
    assert start.forgiven == start.config
