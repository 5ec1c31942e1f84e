"""Dotted settings -> a configuration, and a configuration -> the command that gives it.

A cell of a table is nothing but settings, so the command printed beside its numbers is
derived from what was run and cannot say anything else.
"""

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any, get_type_hints

from labelgraph_jax.config import Config, ConfigError, from_dict, to_dict

Settings = Mapping[str, Any]
"""Dotted names to values: `{"graph.layers": 0}`."""


def configuration(*settings: Settings) -> Config:
    """The default configuration with the settings put in, later ones over earlier ones.

    Raises:
        ConfigError: an unknown name, a value of the wrong kind, a contradiction.
    """
    values = to_dict(Config())
    for dotted, value in {k: v for part in settings for k, v in part.items()}.items():
        section, _, name = dotted.partition(".")
        if section not in values or name not in values[section]:
            raise ConfigError(f"there is no setting '{dotted}'")
        values[section][name] = list(value) if isinstance(value, tuple) else value
    return from_dict(values)


def command(config: Config, *extra: str) -> str:
    """The `labelgraph train` line that runs a configuration."""
    words = ["labelgraph", "train"]
    default = Config()
    for section in dataclasses.fields(Config):
        own, plain = getattr(config, section.name), getattr(default, section.name)
        kinds = get_type_hints(type(own))
        prefix = "" if section.name == "data" else f"{section.name}."
        for setting in dataclasses.fields(own):
            value = getattr(own, setting.name)
            if value != getattr(plain, setting.name):
                flag = f"{prefix}{setting.name}".replace("_", "-")
                words += _flag(flag, value, kinds[setting.name])
    return shlex.join([*words, *extra])


def _flag(flag: str, value: Any, kind: Any) -> list[str]:
    if kind is bool:
        head, _, name = flag.rpartition(".")
        negated = f"{head}.no-{name}" if head else f"no-{name}"
        return [f"--{flag if value else negated}"]
    if isinstance(value, tuple):
        return [f"--{flag}", *map(str, value)]
    return [f"--{flag}", str(value)]
