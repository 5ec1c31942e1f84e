"""Settings of a run over a table: what is learned, and how its columns are read."""

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from labelgraph_jax.settings import (
    ConfigError,
    check_choices,
    require,
    require_numbers,
)

SpecKind = Literal["binary", "multi_class", "multi_label", "squared", "auto"]
SPEC_KINDS: tuple[SpecKind, ...] = get_args(SpecKind)

_SPEC = re.compile(
    rf"(?P<name>.+?)=(?P<kind>{'|'.join(SPEC_KINDS)})"
    r"(?:\[(?P<positive>.*)\])?(?::(?P<weight>[^:\]]+))?"
)


class TaskSpec(NamedTuple):
    """One task as it was asked for.

    Attributes:
        name: of the column.
        kind: how it is learned; `auto` looks at the column.
        positive: binary: the value against all others; "" where the column holds two.
        weight: of its loss; None where none was given.
    """

    name: str
    kind: SpecKind
    positive: str = ""
    weight: float | None = None


def parse_task(text: str) -> TaskSpec:
    """Reads `column=kind`, `column=binary[value]` or either with `:weight` after it.

    Raises:
        ConfigError: it is something else.
    """
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            "a task of a table must read COLUMN=KIND, perhaps with :WEIGHT after it, "
            f"KIND one of {', '.join(SPEC_KINDS)} (or binary[VALUE], VALUE against "
            f"all others), got {text!r}"
        )
    kind, positive = found["kind"], (found["positive"] or "").strip()
    require(
        found["positive"] is None or (kind == "binary" and positive != ""),
        f"[VALUE] names the positive value of a binary task, got {text!r}",
    )
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
    return TaskSpec(name, kind, positive, weight)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """What to learn of a table, and how to read its columns."""

    tasks: tuple[str, ...] = ()
    """What `--task COLUMN=KIND` adds to: binary, multi_class, multi_label (a list, or
    labels between delimiters), squared or auto; perhaps COLUMN=binary[VALUE]; perhaps
    with :WEIGHT after it."""
    categorical: tuple[str, ...] = ()
    """Columns to read as categories, whatever they hold."""
    numeric: tuple[str, ...] = ()
    """Columns to read as numbers."""
    drop: tuple[str, ...] = ()
    """Columns to leave out: what is not known when predicting, above all."""
    dim: int = 8
    """Features that a category is looked up as."""
    min_count: int = 2
    """Values in fewer training rows are read as unseen ones are."""
    max_categories: int = 100_000
    """The rarest values of a column beyond so many likewise."""
    split: Literal["random", "order"] = "random"
    """How missing validation and test splits are cut off: at random, every target in
    proportion; or in the file's order, the last rows for the test (a log by time)."""

    def __post_init__(self) -> None:
        check_choices(self, "table")
        require_numbers(
            self, "table", at_least_one=("dim", "min_count", "max_categories")
        )
        names = [spec.name for spec in self.specs]
        for name in names:
            require(names.count(name) == 1, f"task {name!r} is named twice")
            for setting in ("categorical", "numeric", "drop"):
                require(
                    name not in getattr(self, setting),
                    f"column {name!r} is a task, so it is no input: take it out of "
                    f"table.{setting}",
                )
        for name in self.drop:
            require(
                name not in (*self.categorical, *self.numeric),
                f"column {name!r} is in table.drop and is to be read too: choose one",
            )

    @property
    def specs(self) -> tuple[TaskSpec, ...]:
        """The tasks, read."""
        return tuple(map(parse_task, self.tasks))
