"""Several files -> a corpus: shards, folders of splits or classes, Hugging Face.

train-0.parquet, train-1.parquet     shards of one file, as `train-*.parquet`
folder/train.csv, folder/test.csv    splits, by the names of files or folders
folder/train/class/1.txt             a text a file, by class; or folder/class/1.txt
folder/dataset_dict.json             what `save_to_disk` of datasets leaves
hf:owner/name, hf:owner/name:config  from the hub, where datasets is installed
"""

from __future__ import annotations

import dataclasses
import glob
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.columns import FORMATS, arrow_rows
from labelgraph_jax.data.readers.fields import check_text
from labelgraph_jax.data.readers.lines import Complain, read_lines, refuse, split_suffix
from labelgraph_jax.data.readers.roles import Mode
from labelgraph_jax.data.readers.row_documents import read_table_rows
from labelgraph_jax.data.readers.texts import read_files

if TYPE_CHECKING:
    from pyarrow import Table

HUB = "hf:"
_SPLITS = {
    "train": re.compile(r"(^|[^a-z])(train|training|trn)([^a-z]|$)", re.IGNORECASE),
    "validation": re.compile(
        r"(^|[^a-z])(validation|valid|val|dev)([^a-z]|$)", re.IGNORECASE
    ),
    "test": re.compile(r"(^|[^a-z])(test|tst)([^a-z]|$)", re.IGNORECASE),
}
_NO_CLASS = {"unsup", "unlabeled", "unlabelled"}
_SAVED = ("dataset_dict.json", "dataset_info.json")


def is_source(source: str) -> bool:
    """Return whether this names a file, a folder, a pattern, or the hub."""
    return source.startswith(HUB) or Path(source).exists() or bool(matches(source))


def matches(pattern: str) -> list[Path]:
    """The files that a pattern with `*`, `?` or `[` means, in order of their names."""
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return []
    found = sorted(glob.glob(pattern))  # noqa: PTH207, the pattern may be absolute
    return [path for path in map(Path, found) if path.is_file()]


def paths_of(source: str) -> list[Path]:
    """The file that is meant, or the shards that a pattern means.

    Raises:
        DataError: the pattern means no file.
    """
    if not glob.has_magic(source) or Path(source).exists():
        return [Path(source)]
    if not (found := matches(source)):
        raise DataError(f"{source}: no file has such a name")
    return found


def read_splits(
    source: str,
    options: ReadingConfig,
    *,
    labels: Mode = "required",
    layout: Layout | None = None,
    complain: Complain = refuse,
) -> Corpus:
    """The corpus of a folder or of the hub.

    Args:
        source: see the module.
        options: how its files are read.
        labels: see `Mode`.
        layout: of the training files, where it is known.
        complain: is told of a document that cannot be read.

    Raises:
        DataError: the folder holds nothing that can be read, or datasets is missing.
    """
    if source.startswith(HUB):
        return _arrow_corpus(source, _from_hub(source), options, labels)
    folder = Path(source)
    if any((folder / name).is_file() for name in _SAVED):
        return _arrow_corpus(folder.name, _saved(folder), options, labels)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    ]
    shards = [path for path in files if split_suffix(path)[0] in FORMATS]
    if shards:
        return _shards(folder, shards, options, labels, layout, complain)
    classes = _texts([path for path in files if path.parent != folder])
    if classes:
        return _classes(folder, classes, options, complain)
    listed = ", ".join(path.name for path in files[:6]) or "nothing"
    raise DataError(
        f"{folder}: a folder must hold train.txt, or trn.json and lbl.json, or "
        "trn_X_Y.txt or Y.trn.npz beside trn_X.txt or X.trn.txt; or files such as "
        "train.csv or train-*.parquet; or texts as class/1.txt; it holds "
        f"{listed}"
    )


def by_split(
    folder: Path, paths: Sequence[Path], *, below: int = 0
) -> dict[str, list[Path]]:
    """Files by the split that their names, or their folders', say.

    Where none is said to be for training, those of no split are; and all of them where
    there is none of these either.

    Args:
        folder: what is read.
        paths: the files.
        below: so many names at the end of a path say no split, as a class's.
    """
    found: dict[str, list[Path]] = {name: [] for name in ("", *_SPLITS)}
    for path in paths:
        parts = path.relative_to(folder).parts
        said = (
            name
            for part in parts[: len(parts) - below]
            for name, pattern in _SPLITS.items()
            if pattern.search(part)
        )
        found[next(said, "")].append(path)
    rest = found.pop("")
    if found["train"]:
        return found
    return {**found, "train": rest} if rest else {"train": list(paths)}


def _shards(
    folder: Path,
    paths: Sequence[Path],
    options: ReadingConfig,
    labels: Mode,
    layout: Layout | None,
    complain: Complain,
) -> Corpus:
    divided = by_split(folder, paths)
    for split, files in divided.items():
        if len({split_suffix(path)[0] for path in files}) > 1:
            raise DataError(
                f"{folder}: the shards of a split must have one format; {split} has "
                f"{', '.join(path.name for path in files[:6])}"
            )
    corpus = read_in_turn(
        folder.name, divided, options, labels=labels, layout=layout, complain=complain
    )
    return _noting(corpus, folder, paths, divided)


def _noting(
    corpus: Corpus,
    folder: Path,
    paths: Sequence[Path],
    by_split: Mapping[str, Sequence[Path]],
) -> Corpus:
    """The corpus with a note about files that belong to none of its splits."""
    note = left_over(folder, paths, by_split)
    return dataclasses.replace(corpus, notes=(*corpus.notes, note)) if note else corpus


def left_over(
    folder: Path, paths: Sequence[Path], by_split: Mapping[str, Sequence[Path] | str]
) -> str:
    """A sentence on files that belong to none of a folder's splits; "" without any.

    Args:
        folder: what is read.
        paths: all of its files.
        by_split: those of each split.
    """
    read = {path for files in by_split.values() for path in files}
    left = [str(path.relative_to(folder)) for path in paths if path not in read]
    if not left:
        return ""
    shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
    return (
        f"{counted(len(left), 'file')} not read, whose names say neither train, "
        f"validation nor test: {shown}"
    )


def read_in_turn(
    name: str,
    by_split: Mapping[str, Sequence[Path]],
    options: ReadingConfig,
    *,
    labels: Mode,
    layout: Layout | None,
    known: Collection[str] = (),
    complain: Complain,
) -> Corpus:
    """Read the files of every split; arguments as of `read_files`.

    Training's, which come first, settle the layout and the labels of the others.
    """
    splits: dict[str, tuple[Document, ...]] = {}
    seen: Layout | None = None
    for split, files in by_split.items():
        if not files:
            continue
        documents, read = read_files(
            files,
            options,
            labels=labels,
            layout=layout,
            known=known,
            complain=complain,
        )
        splits[split] = tuple(documents)
        seen = seen or read
        if split == "train":
            layout = layout or read
            known = known or {label for d in documents for label in d.labels}
    return Corpus.of_splits(name, splits, seen)


def _texts(paths: Sequence[Path]) -> list[Path]:
    """Return the texts of files by class.

    They are those called .txt, or else all that hold no zero byte; none in the folder
    of what has no class.
    """
    paths = [path for path in paths if path.parent.name.lower() not in _NO_CLASS]

    def is_text(path: Path) -> bool:
        with path.open("rb") as file:
            start = file.read(4_096)
        return b"\0" not in start or start.startswith((b"\xff\xfe", b"\xfe\xff"))

    named = [path for path in paths if split_suffix(path)[0] == ".txt"]
    return named or [path for path in paths if split_suffix(path)[1] or is_text(path)]


def _classes(
    folder: Path, paths: Sequence[Path], options: ReadingConfig, complain: Complain
) -> Corpus:
    """A text a file, whose folder is its label; in two folders it has two."""
    names = {path.parent.name for path in paths}
    if all(any(said.search(name) for said in _SPLITS.values()) for name in names):
        raise DataError(
            f"{folder}: texts must stand in folders of their classes, as "
            f"train/class/1.txt; they stand in {', '.join(sorted(names))}"
        )
    splits: dict[str, tuple[Document, ...]] = {}
    divided = by_split(folder, paths, below=2)
    for split, files in divided.items():
        found: dict[tuple[str, str], Document] = {}
        for path in files:
            lines = read_lines(path, encoding=options.encoding)
            try:
                text = check_text("\n".join(line for _, line in lines), str(path))
            except DataError as error:
                complain(error)
                continue
            label, key = path.parent.name, (path.name, text)
            labels = (*(found[key].labels if key in found else ()), label)
            id = f"{label}/{path.name}" if key not in found else found[key].id
            found[key] = Document(id, text, labels, source=str(path))
        splits[split] = tuple(found.values())
    kept = Layout(format="folders", label_style="lists", encoding=options.encoding)
    corpus = Corpus.of_splits(folder.name, splits, kept)
    return _noting(corpus, folder, paths, divided)


def _arrow_corpus(
    name: str, tables: dict[str, "Table"], options: ReadingConfig, labels: Mode
) -> Corpus:
    splits: dict[str, tuple[Document, ...]] = {}
    layout: Layout | None = None
    for split, table in tables.items():
        rows = arrow_rows(table, f"{name}/{split}")
        # The test split of a competition has no labels, -1 in their place.
        documents, read = read_table_rows(rows, options, labels)
        splits[split], layout = tuple(documents), layout or read
    return Corpus.of_splits(name, splits, layout)


def _saved(folder: Path) -> dict[str, "Table"]:
    """The Arrow tables of a folder that `save_to_disk` left."""
    import pyarrow

    names = {"train": folder}
    path = folder / _SAVED[0]
    try:
        if path.is_file():
            splits = parse_json(path.read_text(encoding="utf-8"))["splits"]
            names = {split: folder / split for split in splits}
        tables = {}
        for split, place in names.items():
            path = place / "state.json"
            state = parse_json(path.read_text(encoding="utf-8"))
            parts = []
            for part in state["_data_files"]:
                path = place / part["filename"]
                with pyarrow.OSFile(str(path)) as file:
                    parts.append(pyarrow.ipc.open_stream(file).read_all())
            tables[split] = pyarrow.concat_tables(parts)
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: must be what save_to_disk of datasets leaves; {reason}"
        ) from None
    return _named_splits(tables, str(folder))


def _from_hub(source: str) -> dict[str, "Table"]:
    """The Arrow tables of a data set of the hub.

    Raises:
        DataError: datasets is not installed, or does not load it.
    """
    name, _, config = source.removeprefix(HUB).partition(":")
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{source}: reading from the Hugging Face hub needs the package datasets: "
            "pip install datasets; or give a folder of its files"
        ) from None
    try:
        read = datasets.load_dataset(name, config or None)
    except Exception as error:  # of many kinds: network, name, script, format
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{source}: datasets cannot load it; {reason}") from None
    return _named_splits({n: part.data.table for n, part in read.items()}, source)


def _named_splits(tables: dict[str, "Table"], name: str) -> dict[str, "Table"]:
    """Tables under the names of splits."""
    found = {
        split: table
        for split, said in _SPLITS.items()
        for given, table in tables.items()
        if said.search(given)
    }
    if "train" not in found:
        raise DataError(
            f"{name}: must have a split called train; it has {', '.join(tables)}"
        )
    return found
