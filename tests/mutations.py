"""Damage of every kind to files, drawn from a seed, and the commands that meet it."""

import contextlib
import io
import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.cli.app import run as command

NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "x", [], {}),
    *([[]], [None], {"a": 1}, "\x00", "\ud800", [1, "a", None], 2**63, -0.5, "1e9"),
)
DEEP = "[" * 100_000 + "]" * 100_000


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content) + 1)])


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"\0")
    for _ in range(draw.choice((1, 1, 1, 8, 64))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def noise(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    place = draw.randrange(len(content) + 1)
    added = draw.randbytes(draw.choice((1, 4, 200)))
    path.write_bytes(content[:place] + added + content[place + draw.randrange(9) :])


def lines(path: Path, draw: random.Random) -> None:
    """Lines doubled, swapped or gone."""
    rows = path.read_bytes().splitlines(keepends=True) or [b"\n"]
    for _ in range(draw.choice((1, 3))):
        place, other = draw.randrange(len(rows)), draw.randrange(len(rows))
        kind = draw.randrange(3)
        if kind == 0:
            rows.insert(place, rows[other])
        elif kind == 1:
            rows[place], rows[other] = rows[other], rows[place]
        elif len(rows) > 1:
            del rows[place]
    path.write_bytes(b"".join(rows))


def emptied(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.choice((b"", b"\n", b"\0" * 64, b"null", b"\xff\xfe")))


def deleted(path: Path, draw: random.Random) -> None:
    path.unlink()


def a_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def other_file(path: Path, draw: random.Random) -> None:
    """What stands in another file of the folder."""
    others = [p for p in path.parent.rglob("*") if p.is_file() and p != path]
    if others:
        shutil.copyfile(draw.choice(sorted(others)), path)


def deep(path: Path, draw: random.Random) -> None:
    path.write_text(draw.choice((DEEP, '{"a":' * 50_000, f'{{"names": {DEEP}}}')))


def values(path: Path, draw: random.Random) -> None:
    """One value of a JSON file, or of a line of one, becomes another."""
    text = path.read_text("utf-8", errors="replace")
    try:
        whole = json.loads(text)
        path.write_text(json.dumps(other_value(whole, draw)))
        return
    except ValueError:
        rows = text.splitlines() or [""]
    place = draw.randrange(len(rows))
    try:
        rows[place] = json.dumps(other_value(json.loads(rows[place]), draw))
    except ValueError:
        cells = rows[place].split("," if "," in rows[place] else "\t")
        cells[draw.randrange(len(cells))] = str(draw.choice(NASTY))
        rows[place] = ",".join(cells)
    path.write_text("\n".join(rows) + "\n", "utf-8", errors="replace")


def other_value(value: Any, draw: random.Random) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.9:
        name = draw.choice(sorted(value))
        if draw.random() < 0.2:
            return {k: v for k, v in value.items() if k != name}
        return value | {name: other_value(value[name], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        if draw.random() < 0.3:
            return draw.choice((value[:place], value + value, value[::-1]))
        return [*value[:place], other_value(value[place], draw), *value[place + 1 :]]
    return draw.choice(NASTY)


def arrays(path: Path, draw: random.Random) -> None:
    """One array of an .npz gets another shape, type or range."""
    with np.load(path) as stored:
        held = dict(stored)
    name = draw.choice(sorted(held))
    array = held[name]
    changes: list[Callable[[], Any]] = [
        lambda: array + draw.choice((1, -1, 40, 10**6, -(10**6))),
        lambda: array * draw.choice((0, -1, np.nan, 1e30)),
        lambda: array.astype(draw.choice(("f8", "i8", "u8", "i1", "U5", "?", ">f4"))),
        lambda: array[: len(array) // 2],
        lambda: np.concatenate([array, array]),
        lambda: array[::-1],
        lambda: array.T,
        lambda: array.ravel(),
        lambda: array[None],
        lambda: np.array(draw.choice((0, "x", 2**62, np.nan))),
        lambda: np.zeros((0, *array.shape[1:]), array.dtype),
    ]
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held[name] = draw.choice(changes)()
    if draw.random() < 0.1:
        del held[name]
    np.savez(path, **held)


ANYTHING = (cut, flip, noise, emptied, deleted, a_folder, other_file, deep)
OF_TEXT = (values, values, values, lines)
OF_ARRAYS = (arrays, arrays, arrays, arrays)


@dataclass(frozen=True)
class Finding:
    """What a command made of a damaged file, where it was not one line."""

    case: str
    code: object
    said: str


def damage(path: Path, draw: random.Random) -> str:
    """Damage a file in one way; return which."""
    more = {".npz": OF_ARRAYS, ".parquet": (), ".npy": (), ".gz": (), ".xz": ()}
    kinds = (*ANYTHING, *more.get(path.suffix, OF_TEXT))
    kind = draw.choice(kinds)
    try:
        kind(path, draw)
    except (ValueError, KeyError):
        flip(path, draw)
    return kind.__name__


def outcome(case: str, arguments: list[str]) -> Finding | None:
    """Run a command; return what is wrong with how it ended, if anything is."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # as outside of tests, where none is an error
        try:
            code: object = command(arguments)
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    said = err.getvalue()
    errors = [line for line in said.splitlines() if "labelgraph: error" in line]
    fine = code in (0, 2) and "Traceback" not in said and len(errors) <= 1
    fine = fine and (code == 0 or bool(errors) or bool(out.getvalue()))
    return None if fine else Finding(f"{case}: {arguments}", code, said[-2000:])


def mutated(
    source: Path, folder: Path, seed: int, *, keep: tuple[str, ...] = ()
) -> tuple[Path, str]:
    """A copy of a folder in which one file is damaged, and what was done.

    Args:
        source: stays as it is.
        folder: where the copy goes, absent so far.
        seed: decides which file, and how.
        keep: beginnings of names of files that no command reads.
    """
    draw = random.Random(seed)
    shutil.copytree(source, folder)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )
    names = [name for name in names if not name.startswith(keep)]
    # Of the many small files of a checkpoint each is as good as another.
    inner = [name for name in names if name.count("/") > 2]
    outer = [name for name in names if name.count("/") <= 2]
    name = draw.choice(inner if inner and draw.random() < 0.1 else outer or inner)
    return folder / name, f"{seed} {name} {damage(folder / name, draw)}"


def findings(cases: Iterator[tuple[str, list[str]]]) -> list[Finding]:
    """What went wrong in all cases."""
    found = (outcome(case, arguments) for case, arguments in cases)
    return [finding for finding in found if finding is not None]
