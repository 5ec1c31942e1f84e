"""One field of a table: the number, the moment, the name or the gap that it is.

Every format comes through here, so that one value has one meaning wherever it stands:
true and "True" are 1, 2024-05-01 is the same moment as text, as a typed column and with
a zone, 3 and "3.0" are one name.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re

import numpy as np

# What a file says of a field of which nothing is known, in any case of letters; in a
# column of numbers the others are no text that somebody meant either. These two decide
# what a `Table` holds, by which a run knows its rows again: they stay as they are.
_FILE_GAPS = frozenset({"", "na", "n/a", "nan", "null"})
_FILE_GAPS_OF_NUMBERS = _FILE_GAPS | {"?", "none", "-", "."}
_GAPS_OF_NAMES = _FILE_GAPS | {"<na>", "#n/a", "nat"}
_GAPS_OF_NUMBERS = _FILE_GAPS_OF_NUMBERS | _GAPS_OF_NAMES | {"infinity", "-infinity"}
LARGEST_WHOLE = 2**53
"""Beyond it not every whole number has a float64 of its own."""
TRUTHS = {"true": 1.0, "false": 0.0}
"""The numbers that truth is, in any case of letters."""
NOTATIONS = ("", "thousands", "comma")
"""Ways to write numbers: 1234.5; 1,234.5 or 1 234.5; 1234,5 or 1.234,5."""

# 007 is a code and 1_000 is Python: neither is a number in a file.
_NUMBER = re.compile(
    r"[+-]?(0|[1-9]\d*|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?|[+-]?inf", re.I | re.A
)
MOMENTS = (datetime.date, np.datetime64)
"""Types of a moment."""
_DURATIONS = (datetime.timedelta, datetime.time, np.timedelta64)
_NONE_TYPES = ("NoneType", "NAType", "NaTType")
_FRACTIONS = (float, np.floating, decimal.Decimal)
_NUMBERS = (int, np.integer, *_FRACTIONS)
# As a float it is another number where points stand between thousands.
_POINTS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_GAPS = " \u00a0\u202f'\u2019"
_GROUPED = {
    "thousands": re.compile(
        rf"[+-]?(0|[1-9]\d*|[1-9]\d?\d?([,{_GAPS}]\d{{3}})+)(\.\d+)?"
    ),
    "comma": re.compile(rf"[+-]?(0|[1-9]\d*|[1-9]\d?\d?([.{_GAPS}]\d{{3}})+)(,\d+)?"),
}
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)?)?",
    re.A,
)
_DURATION = re.compile(
    r"(?:(-?\d+) days?,? ?)?([+-]?)(\d\d?):(\d\d):(\d\d(?:\.\d{1,9})?)", re.A
)
_UTC = datetime.UTC
_EPOCH = datetime.datetime(1970, 1, 1)
# Numbers that all lie below it, four months in seconds, are no moments.
_LEAST_MOMENT = 1e7


def is_missing(text: str | None, *, number: bool = False) -> bool:
    """Return whether a field says that nothing is known, as Python's None does.

    Args:
        text: the field.
        number: it stands among numbers, where ?, -, none and a point are no values.
    """
    if text is None or text == "None":
        return True
    return text.lower() in (_GAPS_OF_NUMBERS if number else _GAPS_OF_NAMES)


def parse_number(text: str, notation: str = "") -> float | None:
    """The number that a field holds; None where it holds none.

    007 and 1_000 are no numbers, nor is a whole number beyond 2^53, which float64
    would change: such things are names.

    Args:
        text: the field.
        notation: one of `NOTATIONS`; the two others read plain whole numbers too.
    """
    text = text.strip()
    if notation:
        if not _GROUPED[notation].fullmatch(text):
            return None
        mark = "," if notation == "comma" else "."
        whole, _, rest = text.partition(mark)
        text = re.sub(rf"[.,{_GAPS}]", "", whole) + (f".{rest}" if rest else "")
    elif not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    digits = text.lstrip("+-").isdigit()
    return None if digits and abs(value) > LARGEST_WHOLE else value


def parse_moment(text: str) -> float | None:
    """The seconds since 1970 of an ISO date or time; without a zone it is UTC.

    Example:
        >>> parse_moment("1970-01-02"), parse_moment("1970-01-01 01:00:00+01:00")
        (86400.0, 0.0)
    """
    text = text.strip()
    if not _MOMENT.fullmatch(text):
        return None
    text = re.sub(r" ?(Z|UTC)$", "+00:00", text)
    try:
        return seconds(datetime.datetime.fromisoformat(text))
    except ValueError:  # the 31st of June; a zone after a blank
        return None


def parse_quantity(text: str, notation: str = "") -> float | None:
    """A number, a truth as 1 or 0, or a duration (`1 days 02:00:00`) in seconds."""
    number = parse_number(text, notation)
    if number is not None:
        return number
    text = text.strip()
    found = _DURATION.fullmatch(text)
    if found is None:
        return TRUTHS.get(text.lower())
    days, sign, hours, minutes, rest = found.groups()
    size = int(hours) * 3600 + int(minutes) * 60 + float(rest)
    return int(days or 0) * 86400.0 + (-size if sign == "-" else size)


def seconds(value: object) -> float | None:
    """A date, time, or difference of times as seconds, UTC where no zone is said.

    None for pandas' or numpy's NaT, and where there is none.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, (np.datetime64, np.timedelta64)):
        if np.isnat(value):
            return None
        # Through microseconds: a float64 holds these exactly until the year 2255.
        kind = "M8[us]" if isinstance(value, np.datetime64) else "m8[us]"
        return float(value.astype(kind).astype(np.int64)) / 1e6
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(seconds=1)
    if isinstance(value, datetime.time):
        since = datetime.timedelta(
            hours=value.hour,
            minutes=value.minute,
            seconds=value.second,
            microseconds=value.microsecond,
        )
        return since / datetime.timedelta(seconds=1)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(_UTC).replace(tzinfo=None)
        return (value - _EPOCH) / datetime.timedelta(seconds=1)
    if isinstance(value, datetime.date):
        return (value - _EPOCH.date()) / datetime.timedelta(seconds=1)
    raise TypeError


def moment_name(moment: float) -> str:
    """Seconds since 1970 as ISO text: a date, at midnight, or date and time."""
    try:
        shown = (_EPOCH + datetime.timedelta(seconds=moment)).isoformat()
    except OverflowError:
        return category_name(moment)
    return shown.removesuffix("T00:00:00")


def category_name(value: float | str) -> str:
    """A value as the name of a category: 3, 3.0 and "3.0" are all "3".

    True and "true" are "1"; a moment has one name however it is written.
    """
    if isinstance(value, str):
        number = parse_number(value)
        if number is None:
            number = TRUTHS.get(value.strip().lower())
        if number is None:
            moment = parse_moment(value)
            return value if moment is None else moment_name(moment)
        value = number
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def epoch_seconds(
    numbers: np.ndarray, low: float | None, high: float | None
) -> np.ndarray:
    """Seconds, milli-, micro- or nanoseconds since 1970 as seconds, each by itself.

    It is that unit in which a number lies in the known range, or within its width of
    it; else by its size: seconds up to 1e11, milliseconds up to 1e14, microseconds up
    to 1e17. A number such as 20240916 is a date where that lies in the known range and
    no unit does.

    Args:
        numbers: `[M]`, NaN where missing.
        low: least known moment in seconds, if there is one.
        high: largest known moment in seconds, if there is one.
    """
    size = np.abs(np.nan_to_num(numbers))
    power = np.select([size < 1e11, size < 1e14, size < 1e17], [0, 3, 6], 9)
    if low is not None and high is not None:
        margin = (high - low) + 86_400.0
        for step in (9, 6, 3, 0):
            scaled = numbers / 10.0**step
            inside = (scaled >= low - margin) & (scaled <= high + margin)
            power = np.where(inside, step, power)
        found = numbers / 10.0**power
        outside = ~((found >= low - margin) & (found <= high + margin))
        for place in np.flatnonzero(outside & (size > 1e7) & (size < 1e8)):
            text = f"{numbers[place]:.0f}"
            date = parse_moment(f"{text[:4]}-{text[4:6]}-{text[6:]}")
            if date is not None and low - margin <= date <= high + margin:
                found[place] = date
        return found
    return numbers / 10.0**power


def unit_of_moments(low: float | None, high: float | None) -> float | None:
    """Return how many of a column's numbers a second has, where these are moments.

    Args:
        low: least of the numbers, if it is known; else they are seconds.
        high: largest of them.

    Returns:
        1, 1e3, 1e6 or 1e9 by the size of the largest; None where that is too small for
        a moment.
    """
    if low is None or high is None:
        return 1.0
    size = max(abs(low), abs(high))
    if size < _LEAST_MOMENT:
        return None
    return 1.0 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9


def says_more(text: str, number: float) -> bool:
    """Return whether a text says more than its number.

    It is not written as that number would be, or is a gap among numbers but a name
    elsewhere: -, ?.

    Args:
        text: a field in a column of numbers.
        number: what `field_number` made of it.
    """
    if math.isnan(number):
        return text.lower() not in _FILE_GAPS
    if text[-4:-3] == "." and _POINTS.fullmatch(text):
        return True
    return text != (str(int(number)) if number.is_integer() else repr(number))


class Opaque:
    """A key for what no dictionary takes and no model reads: an object, a set."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return " ".join(repr(self.value).split())


def as_key(field: object) -> object:
    """A field as a dictionary takes it.

    Lists and arrays are tuples, an array without axes is its one value, other things
    that have no hash are `Opaque`.
    """
    # Series, frames and arrays of other libraries; a masked array is numpy's own.
    if hasattr(field, "__array__") and not isinstance(field, np.ndarray):
        field = np.asarray(field)
    if isinstance(field, np.ndarray) and not field.ndim:
        field = field.tolist()
    if isinstance(field, (list, tuple, np.ndarray)):
        return tuple(map(as_key, field))
    try:
        hash(field)
    except TypeError:
        return Opaque(field)
    return field


def as_given(field: object) -> object:
    """A field as a message shows it: a list as one, whole numbers without quotes."""
    if not isinstance(field, tuple):
        return field
    whole = all(str(item).lstrip("-").isdigit() for item in field)
    return [int(item) for item in field] if whole else list(field)


def typed_value(value: object) -> float | str | None:
    """A field of a file as a number, a text or nothing."""
    if type(value).__name__ in _NONE_TYPES:
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bool, np.bool_)):
        return float(value)
    if isinstance(value, (*MOMENTS, *_DURATIONS)):
        return seconds(value)
    if isinstance(value, (int, np.integer)):
        return float(value) if abs(int(value)) <= LARGEST_WHOLE else str(value)
    if isinstance(value, (float, np.floating, decimal.Decimal)):
        return None if math.isnan(value) else float(value)
    raise TypeError


def field_number(field: float | str | None) -> float | None:
    """NaN where missing; None where it is no number."""
    if isinstance(field, float):
        return field
    if field is None or field.lower() in _FILE_GAPS_OF_NUMBERS:
        return math.nan
    return parse_number(field)


def field_text(field: float | str | None, original: object) -> str | None:
    """A field of a column of names as a text; None where it says that it is missing.

    Args:
        field: what `typed_value` made of it.
        original: what stood there.
    """
    if isinstance(field, float):
        whole = isinstance(original, (bool, np.bool_))
        return str(original).lower() if whole else str(original)
    # None is told from a text that is empty.
    is_gap = field is None or (field != "" and field.lower() in _FILE_GAPS)
    return None if is_gap else field


def list_items(value: object) -> tuple[str, ...] | tuple[float, ...] | None:
    """A list of texts, each once, or of numbers: names where all are whole.

    Raises:
        TypeError: it is something else.
    """
    if value is None:
        return None
    if not isinstance(value, tuple):
        raise TypeError
    if all(isinstance(item, str) and item.strip() for item in value):
        return tuple(dict.fromkeys(item.strip() for item in value))
    numbers = [typed_value(item) for item in value]
    if not all(isinstance(item, _NUMBERS) for item in value) or None in numbers:
        raise TypeError
    if any(isinstance(item, _FRACTIONS) for item in value):
        return tuple(map(float, value))
    # Whole numbers in a list name something.
    return tuple(str(int(item)) for item in value)
