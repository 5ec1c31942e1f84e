"""What is typed, put into the words of the parser: short names, a file, near misses."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping

import tyro

from labelgraph_jax.config import ConfigError

ALIASES = {"--lr": "--training.learning-rate"}
"""Names that other programs have for an option, where a verb has that option."""
_POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
_MANY = -1


def spelled_out(verb: type, name: str, arguments: list[str]) -> list[str]:
    """The arguments of a verb with its options in full and a file as an option.

    An option is also known by its last part (`--epochs`: `--training.epochs`) where no
    other of the verb has that. `train FILE` is `train --data FILE`.

    Args:
        verb: the verb's class.
        name: as typed, for errors: `train`, `data stats`.
        arguments: what follows the name.

    Raises:
        ConfigError: an option that the verb lacks, with the nearest that it has; a
            short name of several options; more than one file.

    Example:
        >>> from labelgraph_jax.cli.commands.training import Train
        >>> spelled_out(Train, "train", ["mine.jsonl", "--epochs", "3"])
        ['--data', 'mine.jsonl', '--training.epochs', '3']
    """
    known = dict(_options(verb, ""))
    short = _short_names(known)
    words: list[str] = []
    files: list[str] = []
    values = 0  # how many the option before may still take
    for place, word in enumerate(arguments):
        if word == "--":
            return words + arguments[place:]
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if option.startswith(("--tyro-", "--help")):
                words.append(word)
                continue
            option = _full_name(option.replace("_", "-"), known, short, name)
            words.append(option + equals + value)
            values = 0 if equals else known[option]
        elif values or word.startswith("-"):
            words.append(word)
            values -= values > 0
        elif name == "train":
            files.append(word)
        else:
            words.append(word)
    if not files:
        return words
    if len(files) > 1 or any(w.partition("=")[0] == "--data" for w in words):
        raise ConfigError(
            f"train takes one file to train on; got {', '.join(files)}"
            + (" beside --data" if len(files) == 1 else "")
            + " (--validation and --test name the others)"
        )
    return ["--data", *files, *words]


def _full_name(
    option: str, known: Mapping[str, int], short: Mapping[str, list[str]], verb: str
) -> str:
    if option in known:
        return option
    full = short.get(option, [])
    if len(full) == 1:
        return full[0]
    if full:
        raise ConfigError(f"{option} may be any of {', '.join(full)}: give one in full")
    nearest = difflib.get_close_matches(option, [*known, *short], n=1)
    told = f"`labelgraph {verb} --help` lists its options"
    if nearest:
        meant = short.get(nearest[0], nearest)
        also = f" ({nearest[0]} for short)" if nearest != meant == meant[:1] else ""
        told = f"the nearest is {' or '.join(meant)}{also}"
    raise ConfigError(f"{verb} has no option {option}; {told}")


def _short_names(known: Mapping[str, int]) -> dict[str, list[str]]:
    """The options by their last part, and by the names that others give them."""
    short: dict[str, list[str]] = {}
    for option in known:
        last = "--" + option.removeprefix("--").rpartition(".")[2]
        if last not in known:
            short.setdefault(last, []).append(option)
    aliases = {a: [o] for a, o in ALIASES.items() if o in known and a not in known}
    return aliases | short


def _options(cls: type, prefix: str) -> Iterator[tuple[str, int]]:
    """Every option of a dataclass and its parts, and how many values it takes."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        hint, *marks = [hints[field.name]]
        while typing.get_origin(hint) is typing.Annotated:
            hint, *more = typing.get_args(hint)
            marks += more
        if _POSITIONAL in marks:
            continue
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            flat = any(getattr(mark, "name", None) == "" for mark in marks)
            yield from _options(hint, prefix if flat else f"{prefix}{name}.")
        elif hint is bool:
            yield f"--{prefix}{name}", 0
            yield f"--{prefix}no-{name}", 0
        else:
            many = typing.get_origin(hint) in (tuple, list)
            yield f"--{prefix}{name}", _MANY if many else 1
