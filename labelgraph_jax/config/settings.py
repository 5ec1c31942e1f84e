"""Frozen dataclasses as JSON values and back: what every configuration is made of.

Reading one executes nothing. An unknown key or a value of the wrong kind is a
`ConfigError` that names the key, and for a key that does not exist the nearest one.
"""

import dataclasses
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from labelgraph_jax.config.wording import likeness

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SettingsT = TypeVar("SettingsT", bound="DataclassInstance")


class ConfigError(ValueError):
    """A setting that does not exist, has the wrong kind, or contradicts another."""


def require(condition: bool, message: str) -> None:
    """Refuse settings with a `ConfigError` of this message unless a condition holds."""
    if not condition:
        raise ConfigError(message)


def check_choices(section: "DataclassInstance", name: str) -> None:
    """Refuse a value that is none of those its setting names."""
    for key, hint in typing.get_type_hints(type(section)).items():
        if typing.get_origin(hint) is Literal:
            coerce(getattr(section, key), hint, f"{name}.{key}")


def require_numbers(
    section: "DataclassInstance",
    where: str,
    *,
    at_least_one: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    shares: tuple[str, ...] = (),
) -> None:
    """Refuse a number of a section that is out of its range; None is left alone.

    Args:
        section: the dataclass.
        where: its name.
        at_least_one: names of its fields that must be at least 1.
        not_negative: at least 0.
        positive: greater than 0 and finite.
        shares: in [0, 1).
    """

    def check(
        names: tuple[str, ...], holds: Callable[[float], bool], words: str
    ) -> None:
        for name in names:
            value = getattr(section, name)
            if value is not None:
                require(holds(value), f"{where}.{name} must {words}, got {value}")

    check(at_least_one, lambda x: x >= 1, "be at least 1")
    check(not_negative, lambda x: x >= 0, "not be negative")
    check(positive, lambda x: 0 < x < math.inf, "be positive and finite")
    check(shares, lambda x: 0.0 <= x < 1.0, "lie in [0, 1)")


def require_file(
    section: "DataclassInstance", where: str, setting: str, value: str, file: str
) -> None:
    """Refuse a choice without the file that it reads, and the file without it.

    Args:
        section: the dataclass.
        where: its name.
        setting: the field that holds a choice.
        value: the choice that reads a file.
        file: the field that names the file.
    """
    chosen, given = getattr(section, setting), bool(getattr(section, file))
    choice = f"{where}.{setting}='{value}'"
    require(given or chosen != value, f"{choice} needs {where}.{file}")
    require(
        chosen == value or not given,
        f"{where}.{file} is read only with {choice}, got '{chosen}'",
    )


def to_dict(config: "DataclassInstance") -> dict[str, Any]:
    """The configuration as nested dictionaries of JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=plain))


def plain(value: object) -> object:
    """Return a number of NumPy, or of an array of no axis, as Python's own.

    Example:
        >>> import numpy as np
        >>> plain(np.float64(2.0)), plain(np.int32(3)), plain("as it is")
        (2.0, 3, 'as it is')
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def short(value: object, most: int = 60) -> str:
    """Return how a value is shown in a message: on one line, and not long.

    Example:
        >>> short([1.5, "a  b"]), short("x" * 100, 5)
        ("[1.5, 'a b']", "'xxxx")
    """
    return " ".join(repr(plain(value)).split())[:most]


def whole_number(value: object, what: str, least: int = 1) -> int:
    """Return a whole number, of Python or NumPy.

    Args:
        value: what was given.
        what: its name in the message.
        least: the smallest that is allowed.

    Raises:
        ConfigError: it is none, or too small.
    """
    number = plain(value)
    enough = f"be at least {least}" if least else "not be negative"
    if type(number) is not int:
        enough = f"be a whole number of at least {least}"
    elif number >= least:
        return number
    raise ConfigError(f"{what} must {enough}, got {short(number)}")


def from_values(
    values: object,
    cls: type[SettingsT],
    *,
    root: "DataclassInstance | None" = None,
    where: str = "",
) -> SettingsT:
    """A dataclass from nested dictionaries; what is absent keeps its default.

    Args:
        values: what a JSON file holds.
        cls: the dataclass.
        root: an instance of the whole configuration, whose settings an unknown key is
            compared with.
        where: the path of `values` in it.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the
            wrong kind.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where or 'configuration'} must be an object of settings, "
            f"got {type(values).__name__}"
        )
    root = cls() if root is None else root
    hints = typing.get_type_hints(cls)
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in hints:
            raise ConfigError(
                f"unknown setting '{path}'; the nearest is {nearest(path, root)}"
            )
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            section = typing.cast(type, hint)
            chosen[key] = from_values(value, section, root=root, where=path)
        else:
            chosen[key] = coerce(value, hint, path)
    return cls(**chosen)


def without_effect(section: "DataclassInstance", where: str) -> str:
    """Return the beginning of a refusal of what a section sets.

    Example:
        >>> from labelgraph_jax.config import SemiConfig
        >>> without_effect(SemiConfig(ratio=2), "semi")
        'semi.ratio=2 has no effect in this run: it is read only with'

    Args:
        section: the dataclass.
        where: its name.
    """
    given = [
        f"{where}.{field.name}={value!r}"
        for field in dataclasses.fields(section)
        if (value := getattr(section, field.name)) != field.default
    ]
    has, it = ("has", "it is") if len(given) == 1 else ("have", "they are")
    return f"{' and '.join(given)} {has} no effect in this run: {it} read only with"


def differences(old: "DataclassInstance", new: "DataclassInstance") -> list[str]:
    """One line `section.key: old -> new` for each setting that differs."""
    before, after = flatten(to_dict(old)), flatten(to_dict(new))
    return [
        f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def nearest(path: str, root: "DataclassInstance") -> str:
    """The setting of `root` most like `path`, in quotes.

    The same name in another section comes first.
    """
    section, _, key = path.rpartition(".")
    known = [*flatten(to_dict(root)), *typing.get_type_hints(type(root))]
    same = [name for name in known if name.rpartition(".")[2] == key]
    if same:
        return " or ".join(f"'{name}'" for name in same)

    def fit(name: str) -> float:
        there, _, last = name.rpartition(".")
        return likeness(key, last) + (0.2 if there == section else 0.0)

    return f"'{max(known, key=fit)}'"


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested settings as one dictionary whose names have dots: `text.dim`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def coerce(value: object, hint: Any, path: str) -> Any:
    """`value` as the kind `hint` names, or a `ConfigError` that names `path`."""
    origin, value = typing.get_origin(hint), plain(value)
    if origin is Literal:
        options = typing.get_args(hint)
        if not isinstance(value, str) or value not in options:
            raise ConfigError(
                f"{path} must be one of {list(options)}, got {short(value)}"
            )
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        inner = next(a for a in typing.get_args(hint) if a is not type(None))
        return coerce(value, inner, path)
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list, got {short(value)}")
        return tuple(coerce(item, inner, path) for item in value)
    is_bool = isinstance(value, bool)
    if hint is float and isinstance(value, (int, float)) and not is_bool:
        if not abs(value) <= sys.float_info.max:
            raise ConfigError(f"{path} must be a finite number, got {short(value)}")
        return float(value)
    if isinstance(value, hint) and (hint is bool or not is_bool):
        if hint is int and abs(value) >= 2**63:
            raise ConfigError(f"{path} must lie within 64 bits, got {short(value)}")
        return value
    raise ConfigError(f"{path} must be of kind {hint.__name__}, got {short(value)}")
