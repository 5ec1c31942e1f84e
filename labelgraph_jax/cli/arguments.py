"""Arguments in the words of the parser: short names, a file, near misses, refusals."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tyro

from labelgraph_jax.config import ConfigError
from labelgraph_jax.config.wording import likeness

ALIASES = {
    "--lr": ("--training.learning-rate",),
    "--bs": ("--training.batch-size", "--batch-size"),
    "--val": ("--validation",),
    "--input": ("--data",),
    "--train": ("--data",),
    "--sep": ("--column-delimiter",),
    "--separator": ("--column-delimiter",),
    "--file": ("--data",),
    "--rules": ("--rules.file",),
    "--hierarchy.targets": ("--taxonomy-targets",),
    "--output": ("--workdir",),
    "--out": ("--output", "--workdir"),
}
"""Names that other programs have for an option: the first of these that a verb has."""
_POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
_MANY = -1
_ALIKE = 0.7
"""Share of two names that must be the same for one to be suggested for the other."""
_SAME = 0.85
"""And so much where other options have the word that was typed in their names."""


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
    places = list(_places(verb))
    words: list[str] = []
    bare: list[str] = []  # what stands without an option
    many: list[int] = []  # where in words the last option of many values has one
    option, values = "", 0  # how many the option before may still take
    # Word by word: options in full, their values, and what stands bare.
    for place, word in enumerate(arguments):
        if word == "--":
            return words + bare + arguments[place:]
        if word.startswith("--"):
            _require_value(option, values)
            option, equals, value = word.partition("=")
            if option.startswith(("--tyro-", "--help")):
                words.append(word)
                values = 0
                continue
            option = _full_name(option.replace("_", "-"), known, short, name)
            words.append(option + equals + value)
            values = 0 if equals else known[option]
            many = [] if values == _MANY else many
        elif values:
            many += [len(words)] * (values == _MANY)
            words.append(word)
            values -= values > 0
        elif word == "-h":
            words.append(word)
        elif re.match("-[a-zA-Z]", word):
            _full_name(word, known, short, name)
        else:
            bare.append(word)
    # Bare words name files, unless help was asked for.
    _require_value(option, values)
    if {"-h", "--help"} & set(words):
        return [*bare, *words]
    return _with_the_file(name, known, places, bare, words, many)


def _require_value(option: str, values: int) -> None:
    if values > 0:
        raise ConfigError(f"{option} needs a value; got none")


def _with_the_file(
    name: str,
    known: Mapping[str, int],
    places: list[str],
    bare: list[str],
    words: list[str],
    many: list[int],
) -> list[str]:
    """The words without an option, the file among them, before those with one."""
    takes = places or ["one file to train on"] * (name == "train")
    room = len(bare) < len(takes)
    data = [i for i, w in enumerate(words) if w.partition("=")[0] == "--data"]
    if room and not data and len(many) > 1 and Path(words[many[-1]]).exists():
        # `--label-columns a b FILE`: the last of them is no column.
        bare = [*bare, words.pop(many[-1])]
    elif data and places == ["SOURCE"] and bare != ["worth"]:
        _, equals, value = words[data[0]].partition("=")
        given = words[data[0] + 1 : data[0] + 2]
        words = words[: data[0]] + words[data[0] + (1 if equals else 2) :]
        bare = [*bare, *([value] if equals else given)]
    if name == "train":
        if len(bare) > 1 or (bare and data):
            raise ConfigError(
                f"train takes one file to train on; got {', '.join(bare)}"
                + (" beside --data" if len(bare) == 1 else "")
                + " (--validation and --test name the others)"
            )
        return ["--data", *bare, *words] if bare else words
    if len(bare) > len(takes) and "..." not in "".join(takes):
        hint = " (a file is given as --data FILE)" if "--data" in known else ""
        if bare[:1] == ["worth"]:
            raise ConfigError(
                f"graph worth reads --data FILE; got {bare[1]} without it"
            )
        raise ConfigError(
            f"{name} takes {' and '.join(takes) or 'options alone'}; got "
            f"{', '.join(bare[len(takes) :])} besides"
            + (hint if "SOURCE" not in takes else "")
        )
    return [*bare, *words]


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
    if option == "--quiet":
        raise ConfigError(f"{verb} says nothing but its result: --quiet has no effect")
    every = "--help-all" if verb == "train" else "--help"
    told = f"none is near it; `labelgraph {verb} {every}` lists its options"
    alike = sorted(_sharing(option, known), key=lambda o: not o.startswith(option))
    nearest = _nearest(option, [*known, *short], _SAME if len(alike) > 1 else _ALIKE)
    if nearest:
        meant = short.get(nearest, [nearest])
        also = f" ({nearest} for short)" if [nearest] != meant == meant[:1] else ""
        told = f"the nearest is {' or '.join(meant)}{also}"
    elif len(alike) == 1:
        told = f"the nearest is {alike[0]}"
    elif alike:
        more = ", ..." if len(alike) > 4 else ""
        told = f"near it are {', '.join(alike[:4])}{more}"
    raise ConfigError(f"{verb} has no option {option}; {told}")


def _sharing(option: str, names: Iterable[str]) -> list[str]:
    """The names of which a word is the option's only one, perhaps in the plural."""
    word = option.strip("-").rstrip("s")
    return [n for n in names if {word, f"{word}s"} & set(re.split("[.-]", n))]


def _nearest(option: str, names: list[str], least: float) -> str:
    """The name most alike, or of which all words stand in the option; perhaps none."""
    typed = option.strip("-")
    words = set(re.split("[.-]", typed))

    def fit(name: str) -> float:
        shared = likeness(typed, name.strip("-"))
        whole = set(re.split("[.-]", name.strip("-"))) <= words
        return max(shared, _ALIKE * whole)

    best = max(names, key=fit, default="")
    return best if best and fit(best) >= least else ""


def _short_names(known: Mapping[str, int]) -> dict[str, list[str]]:
    """The options by their last part, and by the names that others give them."""
    short: dict[str, list[str]] = {}
    for option in known:
        last = "--" + option.removeprefix("--").rpartition(".")[2]
        if last not in known:
            short.setdefault(last, []).append(option)
    for alias, options in ALIASES.items():
        if alias not in known and (found := [o for o in options if o in known]):
            short.setdefault(alias, found[:1])
    return short


def _places(verb: type) -> Iterator[str]:
    """The names of the words of a verb that need no option, in their order."""
    hints = typing.get_type_hints(verb, include_extras=True)
    for field in dataclasses.fields(verb):
        marks = typing.get_args(hints[field.name])
        if _POSITIONAL in marks:
            named = (m.metavar for m in marks if getattr(m, "metavar", ""))
            yield next(named, field.name.upper())


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
        named = [name for mark in marks if (name := getattr(mark, "name", None))]
        name = (named or [field.name])[-1].replace("_", "-")
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            flat = any(getattr(mark, "name", None) == "" for mark in marks)
            yield from _options(hint, prefix if flat else f"{prefix}{name}.")
        elif hint is bool:
            yield f"--{prefix}{name}", 0
            yield f"--{prefix}no-{name}", 0
        else:
            forms = (hint, *typing.get_args(hint))  # perhaps None beside it
            many = any(typing.get_origin(form) in (tuple, list) for form in forms)
            yield f"--{prefix}{name}", _MANY if many else 1


_NOUNS = {"INT": "a whole number", "FLOAT": "a number", "STR": "a name"}


def refusal(box: str, arguments: list[str]) -> str:
    """Return in one line the refusal that the parser puts into a box.

    Args:
        box: what it printed.
        arguments: what it was given.
    """
    # A title, and parts between rules, drawn with letters where output is no UTF-8.
    lines = [line.strip(" │|") for line in box.strip().splitlines()[1:]]
    parts = " ".join("\n" if set(line) <= set("─-╰╯+") else line for line in lines)
    said, *more = [" ".join(p.split()) for p in parts.split("\n") if p.strip()]
    if missing := re.match(r"Missing from (.*?): (\S+) (.*?)\.? \(required\)", said):
        return "{} needs {}: {}".format(*missing.groups())
    if wrong := re.match(r"Error parsing (--\S+): ", said):
        option = wrong[1]
        given = [a.partition("=")[2] for a in arguments if a.startswith(option + "=")]
        given += [b for a, b in itertools.pairwise(arguments) if a == option]
        if kinds := re.search(rf"{re.escape(option)} (\S+)", " ".join(more)):
            names = [n for n in re.split(r"[{}|,]+", kinds[1]) if n]
            must = " or ".join(_NOUNS.get(name, name) for name in names)
            return f"{option} must be {must}; got {' '.join(map(repr, given))}"
    return said
