"""EURLEX57K: European Union laws with EuroVoc concepts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgraph_jax.data.corpora.sources import (
    DAMAGES,
    Download,
    Files,
    Layout,
    Source,
    damaged,
)
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.readers.fields import (
    check_id,
    check_labels,
    check_text,
    json_object,
    read_objects,
)
from labelgraph_jax.data.readers.lines import open_bytes, read_lines

SPLITS = ("train", "dev", "test")
# The concepts that some law carries, one a line.
LABELS = "labels.txt"
# The published name of the concepts, and the name it has beside the JSONL files.
CONCEPTS = ("eurovoc_en.json", "eurovoc_concepts.json")

SOURCE = Source(
    name="eurlex57k",
    home="http://nlp.cs.aueb.gr/software_and_datasets/EURLEX57K/",
    protocols=("published",),
    layouts=(
        Layout(("dataset.zip",), optional=(*CONCEPTS, LABELS)),
        Layout(("datasets.zip",), optional=(*CONCEPTS, LABELS)),
        Layout(
            tuple(f"{split}.jsonl" for split in SPLITS), optional=(*CONCEPTS, LABELS)
        ),
    ),
    downloads=(
        Download(
            "dataset.zip",
            "https://archive.org/download/EURLEX57K/dataset.zip",
            "dc6830ce8ea49aea049989c4a8253b12d0fb3665fc336d830cb07b9bd28c0f92",
        ),
        Download(
            "eurovoc_en.json",
            "http://nlp.cs.aueb.gr/software_and_datasets/EURLEX57K/eurovoc_en.json",
        ),
    ),
    sizes={"published": (45_000, 6_000, 6_000)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The published splits; labels are EuroVoc numbers, described by their names.

    The text is the title and, after a blank line, the law: header, recitals and main
    body. Descriptions and parents stand in the concepts file, where it is there;
    parents lead on from a label through concepts that no law carries. The candidate
    labels are those of labels.txt, or else of all laws: 163 of the 4,271 published ones
    have no training law.
    """
    splits: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for split, where, law in _laws(files):
        splits[split].append(_document(law, where))
    concepts = _concepts(files)
    note = "text is title, header, recitals and main body"
    return Corpus(
        SOURCE.name,
        train=tuple(splits["train"]),
        validation=tuple(splits["dev"]),
        test=tuple(splits["test"]),
        label_descriptions={id: _description(c) for id, c in concepts.items()},
        parents={id: tuple(c["parents"]) for id, c in concepts.items() if c["parents"]},
        notes=(note,) if concepts else (note, "no concepts file: labels have no names"),
        candidate_labels=_candidates(files, splits),
    )


def _candidates(
    files: Files, splits: Mapping[str, Sequence[Document]]
) -> tuple[str, ...]:
    carried = {n for laws in splits.values() for law in laws for n in law.labels}
    if LABELS not in files:
        return tuple(sorted(carried))
    names = [line.strip() for _, line in read_lines(files[LABELS])]
    missing = sorted(carried.difference(names))
    if missing:
        raise DataError(
            f"{files[LABELS]}: must list every label that a law carries; it lacks "
            f"{len(missing):,}, such as {missing[0]!r}"
        )
    return check_labels(names, str(files[LABELS]))


def _laws(files: Files) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (split, file:line, law)."""
    if "train.jsonl" in files:
        for split in SPLITS:
            path = files[f"{split}.jsonl"]
            for number, law in read_objects(path):
                yield split, f"{path.name}:{number}", law
        return
    path = files["dataset.zip" if "dataset.zip" in files else "datasets.zip"]
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                yield from _zipped_laws(archive, name)
    except DAMAGES as error:
        raise damaged(path, error) from None


def _zipped_laws(
    archive: zipfile.ZipFile, name: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The laws of one member: `.../train.jsonl`, or `.../train/NUMBER.json`."""
    path = Path(name)
    if path.suffix == ".jsonl" and path.stem in SPLITS:
        with archive.open(name) as stream:
            for number, line in enumerate(stream, start=1):
                where = f"{name}:{number}"
                yield path.stem, where, json_object(line, where)
    elif path.suffix == ".json" and path.parent.name in SPLITS:
        yield path.parent.name, f"{name}:1", json_object(archive.read(name), name)


def _document(law: Mapping[str, Any], where: str) -> Document:
    id = law.get("id", law.get("celex_id"))
    labels = law.get("labels", law.get("eurovoc_concepts", law.get("concepts")))
    text = law.get("text")
    if text is None:
        body = law.get("main_body") or ()
        text = _joined((law.get("header"), law.get("recitals"), *body))
    return Document(
        id=check_id(id, where),
        text=check_text(_joined((law.get("title"), text)), where),
        labels=check_labels(labels, where),
        source=where,
    )


def _joined(parts: Iterable[Any]) -> str:
    return "\n\n".join(part.strip() for part in parts if isinstance(part, str) and part)


def _concepts(files: Files) -> dict[str, Mapping[str, Any]]:
    """EuroVoc number -> {label, alt_labels, parents}; empty without the file."""
    path = next((files[name] for name in CONCEPTS if name in files), None)
    if path is None:
        return {}
    try:
        with open_bytes(path) as stream:
            concepts = parse_json(stream.read())
        for number, concept in concepts.items():
            check_labels(concept["parents"], f"{path}: {number}", "parents")
            check_text(concept["label"], f"{path}: {number}", "label")
    except DataError:
        raise
    except (*DAMAGES, ValueError) as error:
        raise damaged(path, error) from None
    except (AttributeError, KeyError, TypeError):
        raise DataError(
            f"{path}: must be an object of concepts with label and parents"
        ) from None
    return concepts


def _description(concept: Mapping[str, Any]) -> str:
    return "; ".join((concept["label"], *concept.get("alt_labels", ())))
