"""Settings of a run over a table: what is learned, and how its columns are read."""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from labelgraph_jax.config.settings import (
    ConfigError,
    check_choices,
    differences,
    require,
    require_numbers,
    without_effect,
)

ConfigT = TypeVar("ConfigT")

TABLE_METRIC = "skill"
"""The validation metric of a run over a table: mean over its tasks, by their weights,
of the part of a constant prediction's loss that the model saves."""

TABLE_SETTINGS: dict[str, Any] = {
    "hidden": (64,),
    "towers": (16,),
    "learning_rate": 2e-3,
}
"""Values of settings that are left open, in a run over a table."""

# What a run over a table does not read: sections, but for these settings of them, and
# settings of `data`.
_TEXT_SECTIONS: dict[str, tuple[str, ...]] = {
    "text": (),
    "graph": (),
    "head": (),
    "loss": ("positive_weight",),
    "threshold": ("kind", "metric", "shrinkage"),
}
_TEXT_DATA = ("task", "taxonomy", "protocol", "text_column", "label_columns")

SpecKind = Literal["binary", "multi_class", "multi_label", "squared", "auto"]
SPEC_KINDS: tuple[SpecKind, ...] = get_args(SpecKind)

_SPEC = re.compile(
    rf"(?P<name>.+?)=(?P<kind>{'|'.join(SPEC_KINDS)})"
    r"(?:\[(?P<positive>.*)\])?(?:@(?P<given>.+?))?(?::(?P<weight>[^:\]]+))?"
)


class TaskSpec(NamedTuple):
    """One task as it was asked for.

    Attributes:
        name: of the column.
        kind: how it is learned; `auto` looks at the column.
        positive: binary: the value against all others; "" where the column holds two.
        weight: of its loss; None where none was given.
        given: a binary task, where this one is known only if that one is positive.
    """

    name: str
    kind: SpecKind
    positive: str = ""
    weight: float | None = None
    given: str = ""


def parse_task(text: str) -> TaskSpec:
    """Read a task of a table.

    It is `column=kind`, `column=binary[value]`, `column=binary@other` or any of them
    with `:weight` after it.

    Raises:
        ConfigError: it is something else.
    """
    # COLUMN=KIND, and what may stand with it.
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            "a task of a table must read COLUMN=KIND, perhaps with :WEIGHT after it, "
            f"KIND one of {', '.join(SPEC_KINDS)} (or binary[VALUE], VALUE against "
            "all others; or binary@TASK, known only where that binary task is "
            f"positive), got {text!r}"
        )
    # [VALUE] and @TASK, for binary tasks alone.
    kind, positive = found["kind"], (found["positive"] or "").strip()
    require(
        found["positive"] is None or (kind == "binary" and positive != ""),
        f"[VALUE] names the positive value of a binary task, got {text!r}",
    )
    given = (found["given"] or "").strip()
    require(
        found["given"] is None or (kind == "binary" and given != ""),
        "@TASK makes a binary task conditional on another one: write "
        f"COLUMN=binary@TASK, got {text!r}",
    )
    # The weight; a word that is no number is refused as infinity is.
    weight = None
    if found["weight"] is not None:
        try:
            weight = float(found["weight"])
        except ValueError:
            weight = math.nan
        require(
            0 <= weight < math.inf,
            f"the weight of a task must be a number, at least 0, got {text!r}",
        )
    name = found["name"].strip()
    return TaskSpec(name, kind, positive, weight, given)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """Tasks to learn from a table, and the reading of its columns."""

    tasks: tuple[str, ...] = ()
    """Tasks, as `--task COLUMN=KIND` adds them: binary, multi_class, multi_label (a
    list, or labels between delimiters), squared or auto; perhaps COLUMN=binary[VALUE];
    perhaps binary@TASK, known only where that task is positive (a purchase after a
    click); perhaps with :WEIGHT after it."""
    categorical: tuple[str, ...] = ()
    """Columns to read as categories, whatever they hold."""
    numeric: tuple[str, ...] = ()
    """Columns to read as numbers."""
    drop: tuple[str, ...] = ()
    """Columns to leave out: what is not known when predicting, above all."""
    weight: str = ""
    """Column of what each row counts, in the loss and in metrics: numbers, at least 0;
    it is no input. Every row counts the same when empty."""
    group: str = ""
    """Column within whose values the rows of a binary task are ranked too, such as the
    user: AUC, nDCG and hits of each, averaged. It stays an input unless dropped."""
    dim: int = 8
    """Features that a category is looked up as."""
    wide: bool = True
    """Add a linear model of every category and number to the tasks' outputs."""
    min_count: int = 2
    """Values in fewer training rows are read as unseen ones are."""
    max_categories: int = 100_000
    """The rarest values of a column beyond so many likewise."""
    longest_tail: float = 3.0
    """Numbers of a larger skewness are read on a logarithmic scale."""
    split: Literal["random", "order"] = "random"
    """Split for missing validation and test parts: at random, every target in
    proportion; or in the file's order, the last rows for the test (a log by time)."""

    def __post_init__(self) -> None:
        # Choices and numbers, each by itself.
        check_choices(self, "table")
        require_numbers(
            self,
            "table",
            at_least_one=("dim", "min_count", "max_categories"),
            positive=("longest_tail",),
        )
        # Tasks: each named once, and no input.
        names = [spec.name for spec in self.specs]
        for name in names:
            require(names.count(name) == 1, f"task {name!r} is named twice")
            for setting in ("categorical", "numeric", "drop"):
                require(
                    name not in getattr(self, setting),
                    f"column {name!r} is a task, so it is no input: take it out of "
                    f"table.{setting}",
                )
        check_conditions(self.specs)
        # Columns of weights and groups: no tasks, and the weight no input either.
        for setting in ("weight", "group"):
            name = getattr(self, setting)
            require(
                name not in names,
                f"column {name!r} is a task: table.{setting} must be another column",
            )
        require(
            not self.weight
            or self.weight not in (*self.categorical, *self.numeric, self.group),
            f"column {self.weight!r} is in table.weight, so it is no input and no "
            "group: choose one",
        )
        # Dropped columns are not read in any other way.
        for name in self.drop:
            require(
                name not in (*self.categorical, *self.numeric),
                f"column {name!r} is in table.drop and is to be read too: choose one",
            )

    @property
    def specs(self) -> tuple[TaskSpec, ...]:
        """The tasks, read."""
        return tuple(map(parse_task, self.tasks))


def check_conditions(specs: Sequence[TaskSpec]) -> None:
    """Refuse conditional tasks whose parents are absent, not binary, or in a circle.

    Raises:
        ConfigError: names the task.
    """
    tasks = {spec.name: spec for spec in specs}
    for spec in specs:
        chain = [spec.name]
        while given := tasks[chain[-1]].given:
            require(
                given in tasks,
                f"task {chain[-1]!r} is conditional on {given!r}, which must be a task "
                f"too: add --task {given}=binary; the tasks are {', '.join(tasks)}",
            )
            require(
                tasks[given].kind in ("binary", "auto"),
                f"task {chain[-1]!r} is conditional on {given!r}, which must be a "
                f"binary task, got {tasks[given].kind}",
            )
            require(
                given not in chain,
                "tasks must not be conditional on each other in a circle, got "
                f"{' on '.join([*chain, given])}",
            )
            chain.append(given)


def check_table_run(config: Any) -> None:
    """Refuse settings of texts in a run over a table, and the other way round.

    Args:
        config: the whole `Config`.

    Raises:
        ConfigError: two settings that contradict each other.
    """
    table = config.table
    # A run over texts sets nothing of a table.
    if not table.tasks:
        require(
            table == TableConfig(),
            f"{without_effect(table, 'table')} a task of a table, --task COLUMN=KIND",
        )
        require(
            config.training.selection_metric != TABLE_METRIC,
            f"training.selection_metric='{TABLE_METRIC}' is of tasks of a table, "
            "--task COLUMN=KIND",
        )
        return
    # A run over a table sets nothing of texts, and decides by thresholds.
    require(bool(config.data.data), "a task COLUMN=KIND needs --data FILE, a table")
    for name in _TEXT_DATA:
        require(
            not getattr(config.data, name),
            f"data.{name} is of labelled texts and --task COLUMN=KIND of a table: "
            f"choose one, got {getattr(config.data, name)!r}",
        )
    for name, read in _TEXT_SECTIONS.items():
        section = getattr(config, name)
        changed = differences(type(section)(), section)
        changed = [line for line in changed if line.split(":")[0] not in read]
        kept = " and ".join(f"{name}.{setting}" for setting in read)
        require(
            not changed,
            f"a run over a table reads no {name}.*"
            + (f" but {kept}" if read else "")
            + f": leave it at its defaults, got {'; '.join(changed)}",
        )
    require(
        config.threshold.kind != "top_k",
        "a run over a table decides by thresholds: threshold.kind must not be 'top_k'",
    )
    # Weights of the tasks come from one place, and some are above 0.
    given = [spec.name for spec in table.specs if spec.weight is not None]
    require(
        not given or not config.mixture.task_weights,
        "mixture.task_weights and a weight in --task COLUMN=KIND:WEIGHT both weigh "
        "the tasks: choose one",
    )
    require(
        not given or not config.mixture.learns_weights,
        f"mixture.weighting='{config.mixture.weighting}' learns the weights that "
        "--task COLUMN=KIND:WEIGHT gives: choose one",
    )
    require(
        not given or any(task_weights(config)), "the weights of all tasks must not be 0"
    )
    config.mixture.weights(tuple(spec.name for spec in table.specs))


def task_weights(config: Any) -> tuple[float, ...]:
    """The given weight of each task of a table's run; 1 where none is."""
    specs = config.table.specs
    if config.mixture.task_weights:
        return tuple(config.mixture.task_weights)
    return tuple(1.0 if spec.weight is None else spec.weight for spec in specs)


def resolved_table_run(config: ConfigT) -> ConfigT:
    """The same run over a table with every setting that was left open written out."""
    whole: Any = config
    mixture, training = whole.mixture, whole.training
    several = len(whole.table.tasks) > 1
    open_towers = mixture.towers is None
    mixture = dataclasses.replace(
        mixture,
        kind=(
            ("mmoe" if several else "shared_bottom")
            if mixture.kind == "none"
            else mixture.kind
        ),
        hidden=mixture.hidden or TABLE_SETTINGS["hidden"],
        towers=TABLE_SETTINGS["towers"] if open_towers else mixture.towers,
    )
    training = dataclasses.replace(training, selection_metric=TABLE_METRIC)
    if training.learning_rate is None:
        rate = TABLE_SETTINGS["learning_rate"]
        training = dataclasses.replace(training, learning_rate=rate)
    return dataclasses.replace(whole, mixture=mixture, training=training)
