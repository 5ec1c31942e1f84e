"""What both pages are written with: their head, tables, spreads and intervals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_LOG = (
    "KuaiRand-Pure, standard log of 25 April to 8 May 2022: {train:,} rows to train "
    "on, {validation:,} of the last day for validation, {test:,} of the eight days "
    "after it for the test. Learning rates and epochs come from validation."
)


def save(record: Mapping[str, Any], path: Path) -> None:
    """Writes a record as JSON."""
    numbers = json.dumps(plain(record), indent=1, allow_nan=False)
    path.write_text(numbers + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def head(record: Mapping[str, Any]) -> str:
    """What both pages say of the data, the command and the machine."""
    log = _LOG.format(
        train=record["rows_train"],
        validation=record["rows_validation"],
        test=record["rows_test"],
    )
    return (
        f"{log} `{record['command']}`, commit {record['commit']}, "
        f"{record['hardware']}; {record['seconds']:,.0f} s in all, one thread, on a "
        "machine busy with other work."
    )


def table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    rows = ["| " + " | ".join(line) + " |" for line in [columns, *lines]]
    rows.insert(1, "|---|" + "---:|" * (len(columns) - 1))
    return "\n".join(rows)


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation; a gap in the values leaves both undefined."""
    if not np.isfinite(np.asarray(values, float)).all():
        return "undefined"
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def pair(interval: Sequence[float] | None) -> str:
    """An interval in hundredths."""
    if interval is None or not np.isfinite(interval).all():
        return "—"
    return f"[{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"


def is_clear(interval: Sequence[float] | None) -> bool:
    """Whether an interval excludes zero."""
    return interval is not None and interval[0] * interval[1] > 0
