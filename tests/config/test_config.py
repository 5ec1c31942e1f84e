"""Settings: to and from JSON, and what a wrong one is told."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import (
    POOLINGS,
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    TextConfig,
    TrainingConfig,
    differences,
    from_dict,
    read_config,
    to_dict,
)
from labelgraph_jax.config.presets import PRESETS, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_survives_the_way_to_json_and_back(name: str) -> None:
    config = preset(name)
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_settings_that_are_absent_keep_their_defaults() -> None:
    config = from_dict({"training": {"epochs": 3}, "data": {"label_columns": ["a"]}})
    assert config.training == TrainingConfig(epochs=3)
    assert config.data.label_columns == ("a",)
    assert config.text == TextConfig()


@pytest.mark.parametrize(
    ("values", "nearest"),
    [
        ({"traning": {}}, "'training'"),
        ({"text": {"max_lenght": 3}}, "'text.max_length'"),
        ({"learning_rate": 0.1}, "'training.learning_rate'"),
        ({"text": {"batch_size": 3}}, "'training.batch_size'"),
        ({"layers": 1}, "'text.layers' or 'graph.layers'"),
        ({"training": {"learning_rat": 1.0}}, "'training.learning_rate'"),
        ({"epoch": 1}, "'training.epochs'"),
    ],
)
def test_an_unknown_setting_is_told_the_nearest_one(
    values: dict[str, Any], nearest: str
) -> None:
    section, inner = next(iter(values.items()))
    key = f"{section}.{next(iter(inner))}" if isinstance(inner, dict) and inner else ""
    with pytest.raises(ConfigError) as error:
        from_dict(values)
    assert str(
        error.value
    ) == f"unknown setting '{key or section}'; the nearest is " + (nearest)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "configuration must be an object of settings, got list"),
        ({"text": 3}, "text must be an object of settings, got int"),
        ({"training": {"epochs": 2.5}}, "training.epochs must be of kind int, got 2.5"),
        ({"training": {"epochs": True}}, "training.epochs must be of kind int"),
        ({"training": {"epochs": None}}, "training.epochs must be of kind int"),
        ({"training": {"learning_rate": "1"}}, "must be of kind float, got '1'"),
        ({"training": {"clip_norm": float("nan")}}, "must be a finite number, got nan"),
        ({"text": {"trainable": 1}}, "text.trainable must be of kind bool, got 1"),
        ({"text": {"encoder": "rnn"}}, r"text.encoder must be one of \['bag', .*'rnn'"),
        ({"graph": {"learned": "yes"}}, "graph.learned must be of kind bool"),
        ({"data": {"label_columns": "a"}}, "data.label_columns must be a list"),
        ({"data": {"label_columns": [1]}}, "data.label_columns must be of kind str"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphConfig(role="mask", learned=True), "passes no gradient"),
        (lambda: GraphConfig(role="fixed", learned=True), "passes no gradient"),
        (lambda: GraphConfig(role="none", learned=True), "passes no gradient"),
        (lambda: GraphConfig(layers=-1), "graph.layers must be at least 0, got -1"),
        (lambda: GraphConfig(heads=0), "graph.heads must be at least 1, got 0"),
        (lambda: GraphConfig(tau=0.0), r"graph.tau must lie in \(0, 1\], got 0.0"),
        (lambda: GraphConfig(role="edge"), "graph.role must be one of"),  # type: ignore[arg-type]
        (lambda: TextConfig(vectors="file"), "needs text.vectors_file"),
        (lambda: TextConfig(vectors_file="x"), "only with text.vectors='file'"),
        (lambda: TextConfig(encoder="cnn", pooling="mean"), "pooling of a cnn must be"),
        (lambda: TextConfig(encoder="cnn", hidden=0), "text.hidden must be at least 1"),
        (lambda: TextConfig(encoder="cnn", ngrams=True), "text.ngrams needs"),
        (lambda: TextConfig(dropout=1.0), r"text.dropout must lie in \[0, 1\), got 1"),
        (lambda: TextConfig(encoder="rnn"), "text.encoder must be one of"),  # type: ignore[arg-type]
        (lambda: TrainingConfig(learning_rate=0.0), "must be positive and finite"),
        (lambda: TrainingConfig(learning_rate=float("inf")), "positive and finite"),
        (lambda: TrainingConfig(epochs=0), "training.epochs must be at least 1, got 0"),
        (lambda: TrainingConfig(selection_metric="f1"), "must be one of .*'f1'"),
        (lambda: TrainingConfig(seed=-1), "training.seed must not be negative"),
        (lambda: DataConfig(test_fraction=0.9), r"must lie in \(0, 0.9\), got 0.9"),
        (lambda: DataConfig(split_seed=-1), "data.split_seed must not be negative"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    make: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("role", ["mask", "fixed", "none"])
def test_an_adjacency_that_gets_no_gradient_is_not_learned(role: Any) -> None:
    assert not GraphConfig(role=role).is_learned


@pytest.mark.parametrize("role", ["additive", "multiplicative"])
def test_an_adjacency_that_gets_a_gradient_is_learned_unless_told_otherwise(
    role: Any,
) -> None:
    assert GraphConfig(role=role).is_learned
    assert not GraphConfig(role=role, learned=False).is_learned


def test_the_poolings_are_those_of_the_text_encoder() -> None:
    from labelgraph_jax.modules import text_encoder

    assert {kind: set(names) for kind, names in POOLINGS.items() if names} == {
        kind: set(names) for kind, names in text_encoder.POOLINGS.items()
    }


def test_a_file_that_is_no_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(ConfigError, match=r"c.json: cannot be read: No such file"):
        read_config(path)
    path.write_text('{"training": {\n  "epochs": }}')
    with pytest.raises(ConfigError, match=r"c.json:2: must be JSON"):
        read_config(path)
    path.write_text('{"training": {"epoch": 2}}')
    with pytest.raises(ConfigError, match=r"c.json:1: unknown setting 'training.epo"):
        read_config(path)
    path.write_bytes(b'{"text": "\xff"}')
    with pytest.raises(ConfigError, match=r"c.json: must be UTF-8"):
        read_config(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"c.json: must be JSON: nested too deep"):
        read_config(path)


def test_differences_name_each_setting_with_both_values() -> None:
    old = Config()
    new = dataclasses.replace(old, training=TrainingConfig(epochs=3, seed=7))
    assert differences(old, new) == [
        f"training.epochs: {old.training.epochs} -> 3",
        "training.seed: 0 -> 7",
    ]
    assert differences(old, old) == []


def test_an_unknown_preset_is_told_the_nearest_one() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown preset 'minilm-finetun'; .*'minilm-"
    ):
        preset("minilm-finetun")
