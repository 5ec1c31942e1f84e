"""A memory in its work directory.

    memory/memory.json    settings, what validation chose, and what it measured
    memory/keys.npz       the vectors that are compared, float16, and their labels
    memory/encoder/       pretrained: the sentence encoder with its tokenizer
    memory/added.npz      labels added after training: names, texts, vectors

Without memory.json, which is written last, there is no memory.
"""

import dataclasses
import filecmp
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labelgraph_jax.config import ConfigError, MemoryConfig
from labelgraph_jax.config.settings import from_values
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.files import (
    make_folder,
    parse_json,
    read_json,
    read_npz,
    replacing,
    write_json,
    write_npz,
)
from labelgraph_jax.predictors.memory.memory import (
    AddedLabels,
    Choice,
    Keys,
    Memory,
    Reader,
    TextRule,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

ENCODER_FILES = ("*.json", "*.txt", "*.safetensors*")


def memory_folder(place: Workdir) -> Path:
    """Folder of a work directory that keeps its memory."""
    return place.path / "memory"


def encoder_folder(place: Workdir) -> Path:
    """Folder of the sentence encoder that a memory reads documents with."""
    return memory_folder(place) / "encoder"


def has_memory(place: Workdir) -> bool:
    """Return True if a memory stands beside the classifier."""
    return (memory_folder(place) / "memory.json").is_file()


def stored_settings(place: Workdir) -> MemoryConfig:
    """Return the settings that a work directory's memory was made with.

    Raises:
        WorkdirError: memory.json is damaged.
    """
    path = memory_folder(place) / "memory.json"
    try:
        settings = read_json(path, error=WorkdirError)["settings"]
        return from_values(settings, MemoryConfig, where="memory")
    except (ConfigError, KeyError, TypeError) as error:
        raise WorkdirError(
            f"{path}: must hold the settings of a memory: {error}"
        ) from None


def save_memory(place: Workdir, memory: Memory) -> None:
    """Write all but the encoder and the added labels; effective at its end."""
    folder = memory_folder(place)
    make_folder(folder)
    (folder / "memory.json").unlink(missing_ok=True)
    kept = dataclasses.asdict(memory.keys)
    for name in ("documents", "labels"):
        kept[name] = kept[name].astype(np.float16)
    write_npz(folder / "keys.npz", kept)
    write_json(
        folder / "memory.json",
        {
            "settings": dataclasses.asdict(memory.config),
            "choice": dataclasses.asdict(memory.choice),
            "text_rule": dataclasses.asdict(memory.text_rule),
            "about": memory.about,
        },
    )


def load_memory(place: Workdir, reader: Reader, labels: LabelSpace) -> Memory:
    """Restore a memory.

    Args:
        place: the work directory.
        reader: documents -> vectors.
        labels: the classifier's.

    Raises:
        WorkdirError: a file is damaged, or belongs to other labels.
    """
    # What was chosen.
    path = memory_folder(place) / "memory.json"
    config, stored = stored_settings(place), read_json(path, error=WorkdirError)
    try:
        choice = Choice(**_numbers(stored["choice"]))
        rule, about = TextRule(**_numbers(stored["text_rule"])), dict(stored["about"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WorkdirError(f"{path}: must say what was chosen: {error}") from None
    # Keys of the documents and labels that the model was trained on.
    with read_npz(memory_folder(place) / "keys.npz", error=WorkdirError) as arrays:
        of_labels = widened(arrays.take("labels", "f", "N", "D"))
        if len(of_labels) != len(labels):
            raise WorkdirError(
                f"{path}: holds {len(of_labels):,} labels and the model "
                f"{len(labels):,}; make it again with `labelgraph memory {place.path}`"
            )
        keys = Keys(
            centre=arrays.take("centre", "f", "D"),
            label_centre=arrays.take("label_centre", "f", "D"),
            documents=widened(arrays.take("documents", "f", "M", "D")),
            document_labels=arrays.take(
                "document_labels", "iu", "M", "P", low=-1, below=len(labels)
            ),
            labels=of_labels,
            seen=arrays.take("seen", "b", "N"),
        )
    # Labels that were added later.
    added = read_added(place)
    if len(added) and added.keys.shape[1:] != of_labels.shape[1:]:
        raise WorkdirError(
            f"{memory_folder(place) / 'added.npz'}: vectors must have "
            f"{of_labels.shape[1]} numbers, got {added.keys.shape[1]}"
        )
    return Memory(config, reader, keys, choice, rule, added, about)


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    """The same, all of them finite numbers."""
    found = {name: float(value) for name, value in values.items()}
    if wrong := [name for name, value in found.items() if not math.isfinite(value)]:
        raise ValueError(f"{wrong[0]} must be finite")
    return found


def widened(array: np.ndarray) -> np.ndarray:
    """Return a float16 array as float32, any other as it is."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def remove_memory(place: Workdir) -> None:
    """Take the memory away; the added labels, which live in it, too."""
    (memory_folder(place) / "memory.json").unlink(missing_ok=True)
    shutil.rmtree(memory_folder(place), ignore_errors=True)


def copy_encoder(source: Path, place: Workdir) -> None:
    """Put a sentence encoder into the work directory, each file whole or not."""
    folder = encoder_folder(place)
    make_folder(folder)
    for pattern in ENCODER_FILES:
        for path in sorted(source.glob(pattern)):
            target = folder / path.name
            # Encoders of one shape have files of one size: their bytes tell.
            if not target.is_file() or not filecmp.cmp(path, target, shallow=False):
                with replacing(target) as partial:
                    shutil.copyfile(path, partial)


def save_added(place: Workdir, added: AddedLabels) -> None:
    """Write the added labels, whole or not at all."""
    write_npz(
        memory_folder(place) / "added.npz",
        {
            "names": np.array(added.names, dtype=np.str_),
            "descriptions": np.array(added.descriptions, dtype=np.str_),
            "parents": np.array(json.dumps(added.parents)),
            "keys": added.keys.astype(np.float32),
        },
    )


def read_added(place: Workdir) -> AddedLabels:
    """The labels that were added; none where there never were any.

    Raises:
        WorkdirError: their file is damaged.
    """
    path = memory_folder(place) / "added.npz"
    if not path.is_file():
        return AddedLabels()
    with read_npz(path, error=WorkdirError) as arrays:
        names = arrays.take("names", "U", "A")
        parents = parse_json(arrays.text("parents"))
        added = AddedLabels(
            names=tuple(map(str, names)),
            descriptions=tuple(map(str, arrays.take("descriptions", "U", "A"))),
            parents=tuple(tuple(map(str, above)) for above in parents),
            keys=arrays.take("keys", "f", "A", "D"),
        )
    if len(added.parents) != len(added):
        raise WorkdirError(f"{path}: must hold as many lists of parents as labels")
    return added


def with_added_labels(labels: LabelSpace, added: AddedLabels) -> LabelSpace:
    """The label space with the added labels behind its own."""
    described = zip(added.names, added.descriptions, strict=True)
    above = zip(added.names, added.parents, strict=True)
    return dataclasses.replace(
        labels,
        names=(*labels.names, *added.names),
        descriptions={**labels.descriptions, **{n: d for n, d in described if d}},
        parents={**labels.parents, **{name: p for name, p in above if p}},
    )
