"""Settings in files, JSON or TOML: read, checked, and what a run starts from."""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from labelgraph_jax.config.effects import idle, refuse_idle
from labelgraph_jax.config.presets import preset
from labelgraph_jax.config.schema import Config, from_dict, with_present_names
from labelgraph_jax.config.settings import ConfigError, flatten, to_dict
from labelgraph_jax.config.text import require_sources


class SettingsFile(NamedTuple):
    """The settings of a file.

    Attributes:
        config: its settings, all others at their defaults.
        written: the settings that it names.
        remarks: settings of older versions that it names, and what became of them.
    """

    config: Config
    written: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_record(self) -> bool:
        """True of a run's config.json, which writes out what nobody chose."""
        return 2 * len(self.written) > len(flatten(to_dict(Config())))


class Fault(NamedTuple):
    """A fault of a file.

    Attributes:
        line: of the setting, from 1; 0 where no line is known.
        message: names the setting.
    """

    line: int
    message: str


class Start(NamedTuple):
    """The settings that a run starts from, before anything is typed.

    Attributes:
        config: the settings.
        remarks: on settings of older versions.
        forgiven: settings that may have no effect, as nobody typed or wrote them.
    """

    config: Config
    remarks: tuple[str, ...] = ()
    forgiven: Config = Config()

    def refuse_idle(self, config: Config) -> None:
        """Refuse settings of the run that a person gave and that have no effect.

        Raises:
            ConfigError: as `effects.refuse_idle`.
        """
        refuse_idle(config, self.forgiven)


def read_settings(path: str | Path) -> SettingsFile:
    """Read settings from a JSON file, or from one whose name ends in .toml.

    Raises:
        ConfigError: the file is absent or malformed, or a setting is wrong.
    """
    values, text = _values(Path(path))
    try:
        present, remarks = with_present_names(values)
        written = tuple(flatten(present)) if isinstance(present, dict) else ()
        return SettingsFile(from_dict(present), written, remarks)
    except ConfigError as error:
        line = _line_of(text, _subject(str(error), values))
        place = f"{path}:{line}" if line else f"{path}"
        raise ConfigError(f"{place}: {error}") from error


def read_config(path: str | Path) -> Config:
    """Read a configuration from a JSON or TOML file.

    Raises:
        ConfigError: as `read_settings`.
    """
    return read_settings(path).config


def starting_point(preset_name: str, path: str, default: str = "default") -> Start:
    """Return what --preset or --config name, or a default preset.

    Raises:
        ConfigError: both are given, or as `preset` and `read_settings`.
    """
    if preset_name and path:
        raise ConfigError("--preset and --config both name a configuration; give one")
    if not path:
        chosen = preset(preset_name or default)
        return Start(chosen, forgiven=chosen)
    found = read_settings(path)
    # A corpus that a file names gives way to a file that is typed.
    forgiven = found.config if found.is_record else Config(data=found.config.data)
    return Start(found.config, found.remarks, forgiven)


def faults(path: str | Path) -> list[Fault]:
    """Return every fault of a file of settings: names, kinds, ranges, contradictions.

    A setting that has no effect is one too, but of a run's config.json.

    Raises:
        ConfigError: the file is absent, or no JSON or TOML.
    """
    found = list[str]()
    values, text = _values(Path(path))
    written, _ = with_present_names(values)
    values, removed = written, set[str]()
    while True:
        try:
            config = from_dict(values)
            require_sources(config.data)
            break
        except ConfigError as error:
            found.append(str(error))
            subject = _subject(str(error), values)
            if not subject or not isinstance(values, dict):
                config = None
                break
            values = _left_out(values, subject)
            removed.add(subject)
    if (
        config is not None
        and isinstance(values, dict)
        and not SettingsFile(config, (*flatten(values),), ()).is_record
    ):
        found += [
            f"{name} has no effect: it is read only with {needs}"
            for name, needs in idle(config).items()
            if not any(other in needs for other in removed)
        ]
    lines = [_line_of(text, _subject(each, written)) for each in found]
    return sorted(map(Fault, lines, found), key=lambda fault: fault.line)


def named_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, which names nothing twice."""
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"'{name}' stands twice in one object")
        values[name] = value
    return values


def _values(path: Path) -> tuple[object, str]:
    """The values of a file, before any setting is looked at, and its text."""
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if kind == "TOML":
            return tomllib.loads(text), text
        return json.loads(text, object_pairs_hook=named_once), text
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text") from error
    except json.JSONDecodeError as error:
        hint = "" if kind == "TOML" else _toml_hint(text)
        raise ConfigError(
            f"{path}:{error.lineno}: must be JSON: {error.msg}{hint}"
        ) from error
    except tomllib.TOMLDecodeError as error:
        said = re.fullmatch(
            r"(.*) \(at (?:line (\d+), .*|end of document)\)", f"{error}"
        )
        words, line = (said[1], said[2]) if said else (str(error), None)
        place = f"{path}:{line}" if line else f"{path}"
        raise ConfigError(f"{place}: must be TOML: {words}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: must be {kind}: nested too deep") from error
    except ValueError as error:  # a name twice, a number of too many digits
        raise ConfigError(f"{path}: must be {kind}: {error}") from error


def _toml_hint(text: str) -> str:
    try:
        is_toml = bool(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return ""
    return "; it is TOML: let its name end in .toml" if is_toml else ""


def _subject(message: str, values: object) -> str:
    """The first setting that a file writes and a message names; "" without one."""
    if not isinstance(values, dict):
        return ""
    # The name of a section is a word too: `text`, `data`.
    forms = {name: rf"(?<![\w.]){re.escape(name)}(?!\w)" for name in flatten(values)}
    forms |= {s: rf"(?:^|(?<=setting '))(?:{re.escape(s)})(?=[' ])" for s in values}
    places = {
        found.start(): name
        for name, form in sorted(forms.items())
        if name and (found := re.search(form, message))
    }
    return places[min(places)] if places else ""


def _left_out(values: dict[str, object], name: str) -> dict[str, object]:
    """The same values without one."""
    first, _, rest = name.partition(".")
    section = values.get(first)
    if rest and isinstance(section, dict):
        return {**values, first: _left_out(section, rest)}
    return {key: value for key, value in values.items() if key not in (name, first)}


_PLACES = re.compile(
    r"^\s*\[\s*(?P<header>[^\]]+?)\s*\]"
    r"|[\"']?(?P<key>[\w.+-]+)[\"']?\s*[:=]\s*(?P<opens>\{)?"
    r"|(?P<closes>\})",
    re.MULTILINE,
)


def _line_of(text: str, name: str) -> int:
    """The line in which a setting stands, from 1; 0 where it is not found."""
    section = ""
    for found in _PLACES.finditer(text):
        if found["closes"]:
            section = ""
            continue
        inner = f"{section}." if section and found["key"] else ""
        place = inner + (found["header"] or found["key"])
        if found["header"] or found["opens"]:
            section = place
        if place == name:
            start = found.start("header" if found["header"] else "key")
            return text.count("\n", 0, start) + 1
    return 0
