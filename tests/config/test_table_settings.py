"""Settings of a run over a table."""

import pytest

from labelgraph_jax.cli.app import _table_tasks
from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    MixtureConfig,
    TableConfig,
    TrainingConfig,
    from_dict,
    to_dict,
)
from labelgraph_jax.config.table import TaskSpec, parse_task, task_weights

DATA = DataConfig(data="clicks.csv")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("click=binary", TaskSpec("click", "binary")),
        ("click=binary:0.5", TaskSpec("click", "binary", "", 0.5)),
        ("a=b=squared", TaskSpec("a=b", "squared")),
        ("x=binary[Never married]:2", TaskSpec("x", "binary", "Never married", 2.0)),
        ("x=binary[a=binary]", TaskSpec("x", "binary", "a=binary")),
        ("x=binary[a:1]", TaskSpec("x", "binary", "a:1")),
        (" watch time =auto", TaskSpec("watch time", "auto")),
        ("buy=binary@click", TaskSpec("buy", "binary", given="click")),
        ("b=binary[yes]@a:2", TaskSpec("b", "binary", "yes", 2.0, "a")),
        ("a@b=binary", TaskSpec("a@b", "binary")),
        ("b=binary@x:y:2", TaskSpec("b", "binary", "", 2.0, "x:y")),
    ],
)
def test_a_task_is_a_column_a_kind_and_perhaps_a_weight(
    text: str, spec: TaskSpec
) -> None:
    assert parse_task(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("click", "must read COLUMN=KIND"),
        (
            "click=ordinal",
            "KIND one of binary, multi_class, multi_label, squared, auto",
        ),
        ("=binary", "must read COLUMN=KIND"),
        ("x=squared[3]", r"\[VALUE\] names the positive value of a binary task"),
        ("x=binary:heavy", "the weight of a task must be a number, at least 0"),
        ("x=binary:-1", "the weight of a task must be a number, at least 0"),
        ("x=squared@y", "write COLUMN=binary@TASK, got 'x=squared@y'"),
        ("x=binary@", "must read COLUMN=KIND"),
        ("x=binary@y", "'x' is conditional on 'y', which must be a task too: add"),
        ("x=binary@x", "in a circle, got x on x"),
    ],
)
def test_a_malformed_task_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TableConfig(tasks=(text,))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"table": TableConfig(tasks=("x=binary",))}, "needs --data FILE"),
        (
            {"data": DATA, "table": TableConfig(dim=4)},
            "read only with a task of a table",
        ),
        (
            {"training": TrainingConfig(selection_metric="skill")},
            "is of tasks of a table",
        ),
        (
            {
                "data": DataConfig(data="x.csv", task="topics"),
                "table": TableConfig(tasks=("x=binary",)),
            },
            "data.task is of labelled texts",
        ),
        (
            {
                "data": DATA,
                "table": TableConfig(tasks=("x=binary",)),
                "graph": GraphConfig(layers=0),
            },
            r"reads no graph.\*: leave it at its defaults, got layers: 2 -> 0",
        ),
        (
            {
                "data": DATA,
                "table": TableConfig(tasks=("x=binary:2",)),
                "mixture": MixtureConfig(task_weights=(1.0,)),
            },
            "both weigh the tasks",
        ),
        (
            {
                "data": DATA,
                "table": TableConfig(tasks=("x=binary:2",)),
                "mixture": MixtureConfig(weighting="uncertainty"),
            },
            "learns the weights",
        ),
        (
            {
                "data": DATA,
                "table": TableConfig(tasks=("x=binary:2", "y=binary")),
                "mixture": MixtureConfig(weighting="gradnorm"),
            },
            "mixture.weighting='gradnorm' learns the weights",
        ),
        (
            {"data": DATA, "table": TableConfig(tasks=("x=binary:0",))},
            "must not be 0",
        ),
        (
            {
                "data": DATA,
                "table": TableConfig(tasks=("x=binary", "y=binary")),
                "mixture": MixtureConfig(task_weights=(1.0,)),
            },
            r"one weight for each of the 2 tasks \(x, y\), got 1",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    sections: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**sections)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ("x=binary", "x=auto")}, "task 'x' is named twice"),
        ({"tasks": ("x=binary",), "drop": ("x",)}, "take it out of table.drop"),
        ({"drop": ("y",), "numeric": ("y",)}, "'y' is in table.drop and is to be read"),
        ({"dim": 0}, "table.dim must be at least 1"),
        ({"tasks": ("x=binary@y", "y=squared")}, "must be a binary task, got squared"),
        ({"tasks": ("x=binary@y", "y=binary@x")}, "in a circle, got x on y on x"),
    ],
)
def test_a_column_has_one_part_to_play(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TableConfig(**settings)


@pytest.mark.parametrize(
    ("arguments", "rest", "tasks"),
    [
        ("train --task a=binary --quiet", "train --quiet", "a=binary"),
        ("train --task=a=binary:2 --task b=auto", "train", "a=binary:2 b=auto"),
        ("train --task topics --json", "train --task topics --json", ""),
        ("train --task=topics", "train --task=topics", ""),
        ("train --json --task", "train --json --task", ""),
    ],
)
def test_tasks_of_a_table_are_told_from_label_sets(
    arguments: str, rest: str, tasks: str
) -> None:
    assert _table_tasks(arguments.split()) == (rest.split(), tasks.split())


def test_what_is_left_open_is_written_out() -> None:
    several = Config(data=DATA, table=TableConfig(tasks=("x=binary:3", "y=squared")))
    resolved = several.resolved()
    assert resolved.mixture.kind == "mmoe"
    assert resolved.mixture.hidden and resolved.mixture.towers
    assert resolved.training.selection_metric == "skill"
    assert resolved.training.learning_rate
    assert resolved.resolved() == resolved == from_dict(to_dict(resolved))
    assert task_weights(resolved) == (3.0, 1.0)
    one = Config(data=DATA, table=TableConfig(tasks=("x=binary",))).resolved()
    assert one.mixture.kind == "shared_bottom"
