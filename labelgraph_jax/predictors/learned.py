"""Files of a work directory on what it has learned from a stream, beside the run.

    learned/state.npz     all that learning goes on from, written whole or not at all,
                          with the end of the log of labels
    learned/labels.jsonl  that log: new, removed, renamed, merged, split
    learned/v<documents>/ the model after so many documents: a run in its own right;
                          behind it the number of changes to labels, if there were
                          any, and of times that learning was started over
    learned/current       a link to the newest of them

A version gets its name when it is on the disk, and `current` moves in one step: whoever
reads it sees the whole of one version. The one before it stays, for whoever reads that.
"""

import dataclasses
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from labelgraph_jax.config import MemoryConfig, RulesConfig, to_dict
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.files import (
    is_leftover,
    link_or_copy,
    make_folder,
    naming,
    sync,
    sync_tree,
    write_json,
)
from labelgraph_jax.data.terminal import json_line
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.predictors.decision import Decision, save_decision
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.manifest import seal
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.checkpoint import CheckpointStore

FOLDER, STATE, LOG, CURRENT = "learned", "state.npz", "labels.jsonl", "current"
COPIED = ("data.json", "layout.json", "tokenizer", "encoder")


@dataclasses.dataclass(frozen=True)
class Version:
    """A head that has learned, and what a run says beside it.

    Attributes:
        names: of the labels.
        vectors, bias: of each label.
        thresholds: probabilities.
        at_least_one: a document without a label gets its most probable one.
        counts: documents with each label, in training and in the stream.
        edges: labels that came together, by decayed counts.
        documents: in training and in the stream.
        about: of the stream, for results.json.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    bias: np.ndarray
    thresholds: np.ndarray
    at_least_one: bool
    counts: np.ndarray
    edges: Edges
    documents: int
    about: Mapping[str, Any]


def learned_folder(place: Workdir) -> Path:
    """Folder of a work directory that keeps what was learned after training."""
    return place.path / FOLDER


def current_version(place: Workdir) -> Path | None:
    """Return the newest version; None where there is none."""
    link = learned_folder(place) / CURRENT
    return link.resolve() if link.is_dir() else None


def version_name(documents: int, changes: int, beginning: int) -> str:
    """`v400`, `v400-2` after two changes to labels, `v400-2.1` once started over."""
    behind = f"-{changes}" if changes else ""
    return f"v{documents}{behind}" + (f".{beginning}" if beginning else "")


def next_beginning(place: Workdir) -> int:
    """Number of a learning that begins now: no version that is there has it."""
    versions = learned_folder(place).glob("v*")
    return max((int(old.suffix[1:] or 0) for old in versions), default=-1) + 1


def publish(model: LabelModel, version: Version, name: str) -> Path:
    """Write a version and let `current` be it.

    Args:
        model: the run that it began from.
        version: what was learned.
        name: of its folder.
    """
    home = learned_folder(model.workdir)
    make_folder(home)
    target = home / name
    before = current_version(model.workdir)
    if target.is_dir():  # whole, as every folder with such a name
        return _point(home, target)
    unfinished = home / f".{name}.{uuid.uuid4().hex[:12]}"
    try:
        _write(model, version, Workdir(unfinished), name)
        sync_tree(unfinished)
        unfinished.rename(target)
        sync(home)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _point(home, target)
    for old in home.glob("v*"):
        if old.is_dir() and old not in (target, before):
            shutil.rmtree(old, ignore_errors=True)
    return target


def extend_log(
    place: Workdir, size: int, events: Sequence[Mapping[str, object]]
) -> int:
    """Let the log of labels end with `events`, behind its first bytes.

    It may be done twice: what a process wrote that was killed is written again.

    Args:
        place: of the run.
        size: bytes that stay.
        events: an object a line.

    Returns:
        Bytes of the log.
    """
    path = learned_folder(place) / LOG
    with naming(path), path.open("r+b" if path.is_file() else "wb") as log:
        log.truncate(min(size, log.seek(0, os.SEEK_END)))
        log.seek(0, os.SEEK_END)
        log.write("".join(json_line(event) + "\n" for event in events).encode())
        log.flush()
        os.fsync(log.fileno())
        return log.tell()


def remove_unfinished(place: Workdir) -> None:
    """Remove what a killed process left of a version, or of a file beside it."""
    for left in filter(is_leftover, learned_folder(place).glob(".*")):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _point(home: Path, target: Path) -> Path:
    link = home / f".{CURRENT}.{uuid.uuid4().hex[:12]}"
    link.symlink_to(target.name)
    link.replace(home / CURRENT)
    sync(home)
    return target


def _write(model: LabelModel, version: Version, place: Workdir, name: str) -> None:
    """A run whose labels have a free vector each, and no graph between them."""
    # Files that stay what they were.
    origin, labels = model.workdir, model.label_space
    make_folder(place.path)
    for part in COPIED:
        source = origin.path / part
        if source.is_dir():
            shutil.copytree(source, place.path / part, copy_function=link_or_copy)
        elif source.is_file():
            shutil.copyfile(source, place.path / part)
    # Settings: free label vectors, without graph, memory and rules.
    graph = dataclasses.replace(
        model.config.graph, layers=0, residual=True, gated=False, skip=False, rank=0
    )
    config = dataclasses.replace(
        model.config, graph=graph, memory=MemoryConfig(), rules=RulesConfig()
    )
    write_json(place.config_path, to_dict(config))
    # The labels of this version, and their prior.
    names = version.names
    place.save_labels(
        LabelSpace(
            names,
            {n: labels.descriptions[n] for n in names if n in labels.descriptions},
            labels.parents,
            labels.tasks,
        )
    )
    counts = version.counts.astype(np.float32)
    place.save_label_graph(
        LabelGraphArrays(
            np.zeros((len(names), 1), np.float32),
            version.edges,
            counts / max(version.documents, 1),
            counts,
        )
    )
    # How it decides.
    kind = "label" if len(set(version.thresholds.tolist())) > 1 else "global"
    decision = Decision(
        kind=kind,
        thresholds=version.thresholds.astype(np.float64),
        at_least_one=version.at_least_one,
    )
    save_decision(place, decision, names)
    # Parameters: the origin's, and the vectors learned from the stream.
    params = {
        **jax.tree.map(np.asarray, model.params),
        "label_graph": {"free_vectors": np.asarray(version.vectors, np.float32)},
        "label_bias": np.asarray(version.bias, np.float32),
    }
    step = max(int(version.about["documents"]), 1)
    metric = float(version.about["micro_f1"])
    with CheckpointStore(place.checkpoints, metric="stream_micro_f1") as store:
        store.save(step, params, {}, config=to_dict(config), metric=metric)
        store.wait()
        store.keep_parameters()
    # Results, without those that were measured of the origin.
    results = {
        **origin.results(),
        "workdir": str(place.path.parent / name),
        "labels": len(names),
        "model": "head learned from a stream",
        "test": None,
        "baseline": None,
        "memory": None,
        "stream": dict(version.about),
    }
    seal(place)
    place.save_results(results)


def require_outside(place: Workdir) -> None:
    """Refuse a version as the run to learn with: its folder goes when others come.

    Raises:
        WorkdirError: it is one.
    """
    if place.path.parent.name == FOLDER:
        run = place.path.parent.parent
        raise WorkdirError(
            f"{place.path}: is a version that was learned from a stream; name its run, "
            f"{run}, and learning goes on from there"
        )
