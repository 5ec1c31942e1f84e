"""Verbs about settings: config show, check, diff, list."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import Flag, Json
from labelgraph_jax.cli.output import say, show, write
from labelgraph_jax.config import Config, ConfigError, changed, idle, to_dict
from labelgraph_jax.config.files import faults, read_settings
from labelgraph_jax.config.presets import PRESETS, preset
from labelgraph_jax.config.settings import flatten
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.terminal import json_line

Settings = tyro.conf.Positional[
    Annotated[str, tyro.conf.arg(metavar="RUN|FILE|PRESET")]
]


def _settings_of(source: str) -> Config:
    """The settings of a run, a file or a preset.

    Raises:
        ConfigError: it is none of them, or the file has a fault.
        WorkdirError: a folder is no work directory.
    """
    if source in PRESETS:
        return preset(source)
    path = _file_of(source)
    if not path.is_file():
        raise ConfigError(
            f"{source}: neither a run nor a file nor a preset; the presets are "
            f"{', '.join(PRESETS)}"
        )
    found = read_settings(path)
    for remark in found.remarks:
        say(f"labelgraph: {path}: {remark}")
    return found.config


def _file_of(source: str) -> Path:
    """The file of settings that is meant: of a work directory its config.json.

    Raises:
        ConfigError: a folder is no work directory.
    """
    path = Path(source)
    if path.is_dir():
        path /= "config.json"
        if not path.is_file():
            raise ConfigError(f"{source}: must be a run; it has no config.json")
    return path


@dataclass(frozen=True, kw_only=True)
class ConfigShow:
    """Print the settings of a run, a file or a preset: those that differ from default.

    What is printed is a file for `train --config`.

    Examples:
      labelgraph config show runs/mine > mine.toml
      labelgraph config show minilm-finetune --json
      labelgraph config show default --all
    """

    source: Settings
    all: Flag = False
    """Every setting, with those at their defaults."""
    json: Json = False

    def execute(self) -> int:
        """Print the settings."""
        config = _settings_of(self.source)
        unread = {} if self.all else idle(config)
        every = flatten(to_dict(config)) if self.all else changed(config)
        chosen = {name: v for name, v in every.items() if name not in unread}
        return show(
            self,
            _nested(chosen),
            lambda values: write("\n".join(_toml_lines(values, unread, every))),
        )


@dataclass(frozen=True, kw_only=True)
class ConfigCheck:
    """Check a file of settings, JSON or TOML, or a run's; exit code 2 with a fault.

    Unknown names, with the nearest that there is; values of a wrong kind or out of
    range; settings that contradict each other, or have no effect.

    Examples:
      labelgraph config check mine.toml
      labelgraph config check runs/mine
    """

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN|FILE")]]
    json: Json = False

    def execute(self) -> int:
        """Print every fault; 2 where there is one."""
        path = _file_of(self.file)
        found = faults(path)
        rows = [fault._asdict() for fault in found]
        show(self, rows, _print_faults, file=str(path))
        return 2 if found else 0


@dataclass(frozen=True, kw_only=True)
class ConfigDiff:
    """Name the settings in which two runs, files or presets differ.

    Examples:
      labelgraph config diff runs/a runs/b
      labelgraph config diff default mine.toml
    """

    first: Settings
    second: Settings
    json: Json = False

    def execute(self) -> int:
        """Print a line for each setting that differs."""
        sides = [flatten(to_dict(_settings_of(s))) for s in (self.first, self.second)]
        rows = [
            {"setting": name, "first": value, "second": sides[1][name]}
            for name, value in sides[0].items()
            if value != sides[1][name]
        ]
        return show(self, rows, _print_differences)


@dataclass(frozen=True, kw_only=True)
class ConfigList:
    """Name the presets, what each reproduces and what it costs.

    Example:
      labelgraph config list
    """

    json: Json = False

    def execute(self) -> int:
        """Print the presets."""
        summaries = {name: summary for name, (summary, _) in PRESETS.items()}
        return show(self, summaries, _print_presets)


def _nested(settings: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Settings by name, `training.epochs`, as a dictionary of sections."""
    sections: dict[str, dict[str, object]] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return sections


def _toml_lines(
    sections: Mapping[str, Mapping[str, object]],
    unread: Mapping[str, str],
    values: Mapping[str, object],
) -> list[str]:
    """Settings as TOML; those that are not read, and those left open, as remarks."""
    lines: list[str] = []
    for section, settings in sections.items():
        lines += [*([""] if lines else []), f"[{section}]"]
        for key, value in settings.items():
            # TOML has no null: a setting that is left open stays out.
            is_open = value is None
            shown = "(what suits the run)" if is_open else json_line(value)
            lines.append(f"{'# ' if is_open else ''}{key} = {shown}")
    lines += [
        f"# not read in this run: {name} = {json_line(values[name])}" for name in unread
    ]
    return lines or ["# every setting has its default"]


def _print_faults(rows: Sequence[Mapping[str, object]], file: str) -> None:
    for row in rows:
        place = f"{file}:{row['line']}" if row["line"] else file
        write(f"{place}: {row['message']}")
    write(f"{file}: {counted(len(rows), 'fault') if rows else 'no fault'}")


def _print_differences(rows: Sequence[Mapping[str, object]]) -> None:
    for row in rows:
        first, second = json_line(row["first"]), json_line(row["second"])
        write(f"{row['setting']}: {first} -> {second}")
    if not rows:
        write("no setting differs")


def _print_presets(summaries: Mapping[str, str]) -> None:
    for name, summary in summaries.items():
        write(name)
        write(textwrap.indent(textwrap.fill(summary, 72), "    "))
