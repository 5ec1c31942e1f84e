"""The checksums of whatever decides an answer in a finished run: manifest.json.

    {"format": 1, "sha256": {"labels.json": "...", "tokenizer/ngrams.json": "...", ...}}

Of the parameters it has the checksum of their checksums, which every load compares with
the files; of config.json that of the settings without those of the data, whose files
may move: data.json tells whether they are the same. A run that has not finished, and
one of an earlier version, has no manifest, and nothing is compared.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from labelgraph_jax.data.files import (
    file_digest,
    parse_json,
    read_json,
    write_json,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

FILE = "manifest.json"
PARTS = (
    *("config.json", "data.json", "layout.json", "labels.json", "label_graph.npz"),
    *(
        "table.json",
        "thresholds.json",
        "prior_shift.json",
        "structure.json",
        "ensemble.json",
        "checkpoints/best.json",
    ),
    *("tokenizer", "encoder", "memory", "members/*/manifest.json"),
)
FORMAT = 1


def seal(place: Workdir) -> None:
    """Write down what a finished run, or a verb that changes one, leaves."""
    write_json(place.path / FILE, {"format": FORMAT, "sha256": checksums(place)})


def checksums(place: Workdir) -> dict[str, str]:
    """Return the SHA-256 of every file that decides an answer, by its name."""
    found = {
        path.relative_to(place.path).as_posix(): (
            _of_settings(path) if path == place.config_path else file_digest(path)
        )
        for path in _files(place)
    }
    for checkpoint in sorted(place.checkpoints.glob("*/checksums.json")):
        step = checkpoint.parent.name
        if step.isdecimal() and (digest := _of_parameters(place, step)):
            found[f"checkpoints/{step}/params"] = digest
    return found


def changes(place: Workdir) -> dict[str, str] | None:
    """Return what has changed since a run was sealed: the files, and how.

    None where it never was sealed.

    Raises:
        WorkdirError: the manifest cannot be read.
    """
    path = place.path / FILE
    if not path.is_file():
        return None
    stored = read_json(path, error=WorkdirError)
    sealed = stored.get("sha256") if isinstance(stored, dict) else None
    if not isinstance(sealed, dict) or stored.get("format") != FORMAT:
        raise WorkdirError(
            f"{path}: must hold the checksums of the run, in format {FORMAT}"
            + _accept(place)
        )
    now = checksums(place)
    # Of several checkpoints those go, which were kept to go on with.
    best = f"checkpoints/{_best_step(place)}/params"
    names = [n for n in sealed if n in now or not n.endswith("/params") or n == best]
    found = {
        name: "is missing" if name not in now else "has changed since"
        for name in names
        if now.get(name) != sealed[name]
    }
    return found | {name: "was not there" for name in now if name not in sealed}


def require_unchanged(place: Workdir, *, remade: Iterable[str] = ()) -> None:
    """Refuse a directory in which something that decides an answer has changed.

    Args:
        place: of a run; one that was never sealed passes.
        remade: beginnings of names that the caller is about to write anew.

    Raises:
        WorkdirError: names the file, and the command that accepts a change.
    """
    for name, what in (changes(place) or {}).items():
        if not name.startswith(tuple(remade)):
            raise WorkdirError(
                f"{place.path / name}: must be as the run left it, and {what}; bring "
                f"it back{_accept(place)}"
            )


def _accept(place: Workdir) -> str:
    return (
        ", or accept what was changed on purpose with `labelgraph doctor "
        f"{place.path} --accept`"
    )


def _files(place: Workdir) -> Iterator[Path]:
    for part in PARTS:
        for path in sorted(place.path.glob(part)):
            inner = sorted(path.rglob("*")) if path.is_dir() else [path]
            # What begins with a dot is being written, or was.
            yield from (p for p in inner if p.is_file() and p.name[0] != ".")


def _best_step(place: Workdir) -> object:
    try:
        return parse_json((place.checkpoints / "best.json").read_text("utf-8"))["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_settings(path: Path) -> str:
    try:
        values = parse_json(path.read_text("utf-8"))
        settings = {name: part for name, part in values.items() if name != "data"}
    except (ValueError, AttributeError, RecursionError):
        return file_digest(path)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _of_parameters(place: Workdir, step: str) -> str:
    """One checksum of the checksums of a checkpoint's parameters."""
    path = place.checkpoints / step / "checksums.json"
    try:
        known = sorted(parse_json(path.read_text("utf-8")).items())
        lines = [f"{n} {value}\n" for n, value in known if n.startswith("params/")]
    except (OSError, ValueError, AttributeError):
        return ""
    return hashlib.sha256("".join(lines).encode()).hexdigest()
