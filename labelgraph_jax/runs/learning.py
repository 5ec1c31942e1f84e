"""A model that learns block by block, and what it keeps."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from labelgraph_jax.config import ConfigError
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.files import file_digest, read_npz, write_npz
from labelgraph_jax.data.readers.labelled_stream import Entry, LabelledStream, Position
from labelgraph_jax.data.terminal import json_line
from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.predictors.decision import log_odds
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.learned import (
    STATE,
    Version,
    current_version,
    extend_log,
    learned_folder,
    next_beginning,
    publish,
    version_name,
)
from labelgraph_jax.predictors.manifest import FILE
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.changed_labels import PlacedLabels
from labelgraph_jax.training.signals import Stop, StoppedError, StopRequestedError
from labelgraph_jax.training.stream_block import BATCH
from labelgraph_jax.training.streams import (
    StreamLearner,
    bytes_of_a_document,
    places_for,
)

Say = Callable[[str], None]
Arrays = Mapping[str, np.ndarray]
MIB = 1 << 20
SHOWN = 20
"""New labels that a line names."""
CERTAINTY = 30.0
"""Squared error, in units of p (1 - p), of the steps that a trained label has taken: as
of many passes over the training documents, so that the first blocks do not undo them.
Chosen on a stream of Reuters."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Settings of learning from a stream.

    Attributes:
        memory_mib: for documents that are learned from again.
        block: documents that are scored, then learned, together.
        rate: of learning.
        distil: weight of what was known.
        save_every: blocks from one saved version to the next.
        start_over: forget what was learned before.
    """

    memory_mib: float = 16.0
    block: int = 500
    rate: float = 1.0
    distil: float = 0.0
    save_every: int = 20
    start_over: bool = False

    def __post_init__(self) -> None:
        for name, least in (("block", 1), ("save_every", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be at least {least}, got "
                    f"{getattr(self, name)}"
                )
        for name in ("memory_mib", "distil"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be at least 0 and finite, got "
                    f"{getattr(self, name):g}"
                )
        if not 0 < self.rate < float("inf"):
            raise ConfigError(f"--rate must be above 0 and finite, got {self.rate:g}")


def document_vectors(model: LabelModel, texts: Sequence[str]) -> np.ndarray:
    """Vectors of texts, as the network reads them, float32 `[M, D]`."""
    documents = [Document(str(i), text, ()) for i, text in enumerate(texts)]
    examples = model.encode(documents).examples
    if model.on_host is not None and examples.token_vectors is None:
        return model.on_host.vectors(examples)
    return np.asarray(model.read(documents, examples), np.float32)


class Session:
    """A run that learns: its head, its labels by place, and what was told so far.

    Args:
        model: the run's network.
        how: see `Learning`.
        say: takes remarks.

    Attributes:
        read: how far the stream was read: bytes, and their SHA-256.
    """

    def __init__(self, model: LabelModel, how: Learning, say: Say) -> None:
        self.model, self.how, self.say = model, how, say
        self.folder = learned_folder(model.workdir)
        self.sealed = _sealed(model.workdir)
        self.read: Position = {"offset": 0, "sha256": ""}
        self.documents = self.unlabelled = self.changes = self._since_saved = 0
        self._logged, self.scale = 0, 1.0
        vectors, bias = map(np.asarray, model.label_side)
        self.trained = _training_documents(model)
        kept = None if how.start_over else self._kept()  # by an earlier call
        places = places_for(len(model.labels)) if kept is None else kept[0]["places"]
        rows_bytes = bytes_of_a_document(vectors.shape[1])
        memory = int(how.memory_mib * MIB)
        if 0 < memory < BATCH * rows_bytes:
            raise ConfigError(
                f"--memory-mib must be 0, or hold {BATCH} documents of {rows_bytes:,} "
                f"bytes: {BATCH * rows_bytes / MIB:.2g}; got {how.memory_mib:g}"
            )
        self.learner = StreamLearner(
            vectors.shape[1],
            places=places,
            memory_bytes=memory,
            block=how.block,
            rate=how.rate,
            distil=how.distil,
            at_least_one=model.decision.at_least_one,
        )
        self.labels = PlacedLabels(self.learner, model.labels)
        if kept is None:
            self._begun = False
            self._start = vectors, bias
            self.beginning = next_beginning(model.workdir)
        else:
            self._go_on(*kept)

    def _kept(self) -> tuple[dict[str, Any], Arrays] | None:
        """Return the state that an earlier call left."""
        path = self.folder / STATE
        if not path.is_file():
            return None
        try:
            with read_npz(path, error=WorkdirError) as stored:
                arrays = dict(stored)
        except WorkdirError as error:
            raise WorkdirError(f"{error}; --start-over begins anew") from None
        about = json.loads(arrays.pop("about").tobytes())
        if about["sealed"] != self.sealed:
            raise WorkdirError(
                f"{self.folder}: was learned from a run that has changed since; give "
                "--start-over to begin anew"
            )
        mine = {"memory_mib": self.how.memory_mib, "distil": self.how.distil > 0}
        for name, value in mine.items():
            if about[name] != value:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"{option} must be what learning began with, {about[name]}, got "
                    f"{value}; --start-over begins anew"
                )
        return about, arrays

    def _go_on(self, about: Mapping[str, Any], arrays: Arrays) -> None:
        self.learner.restore(arrays)
        self.labels = PlacedLabels(self.learner, about["names"])
        self.labels.totals = np.array(arrays["totals"])
        before = about.get("logged", 0)
        self._logged = extend_log(self.model.workdir, before, about["log"])
        self._begun = True
        self.read, self.scale = about["read"], about["scale"]
        self.beginning = about.get("beginning", 0)
        for name in ("documents", "unlabelled", "changes"):
            setattr(self, name, about[name])
        self.say(f"goes on after {counted(self.documents, 'document')}")

    def _begin(self, vectors: np.ndarray) -> None:
        """Take the run's head, on the scale of its first documents."""
        rows, bias = self._start
        self.scale = float(np.linalg.norm(vectors, axis=1).mean()) or 1.0
        counts = np.asarray(self.model.classifier.graph.counts)
        share = np.clip(counts / max(self.trained, 1), 1e-6, 0.5)
        # The squared gradients that so many steps would have left.
        steps = self.trained / BATCH
        error = (CERTAINTY * steps * share * (1 - share) / BATCH)[:, None]
        squares = np.square(vectors / self.scale).mean(axis=0)
        self.learner.set_places(
            range(len(rows)),
            vectors=rows * self.scale,
            bias=bias,
            vector_squares=error * squares,
            bias_squares=error[:, 0],
            active=True,
            cuts=np.clip(log_odds(self.model.decision.thresholds), -3, 3),
            positives=np.round(counts).astype(int),
        )
        self.learner.hold()
        self._begun = True

    def run(self, stream: LabelledStream, stop: Stop, write: Say) -> int:
        """Learn from all of a stream; see `learn`."""
        before, held = self.documents - self.unlabelled, []
        failure: Exception | None = None
        ended = False
        while not ended:
            at = stream.position  # to come back to, should the entry fail
            try:
                with stop.during():
                    entry = stream.take()
            except StopRequestedError:
                entry, ended = None, True
            except DataError as error:
                entry, ended, failure = None, True, error
            ended = ended or entry is None
            changes = entry is not None and entry.change is not None
            if entry is not None and not changes:
                held.append(entry)
            if held and (ended or changes or len(held) == self.how.block):
                write(json_line(self._block(held)))
                held = []
            if entry is not None and changes:
                try:
                    self._change(entry)
                except DataError as error:
                    ended, failure = True, error
            if not held:  # what failed was not read
                self.read = stream.position if failure is None else at
            if not ended and self._since_saved >= self.how.save_every:
                self.save()
        self.save()
        if failure is not None:
            raise failure
        learned = self.documents - self.unlabelled - before
        if not self.documents and not stop.requested:
            raise DataError(f"{stream.name}: must hold at least one document; got none")
        if stop.requested:
            raise StoppedError(
                stop.by, f"after {counted(learned, 'document')}, which are saved"
            )
        return learned

    def _block(self, entries: Sequence[Entry]) -> dict[str, object]:
        """Score a block, then learn from it; what is to be told of it."""
        started = time.perf_counter()
        compiled = self.learner.compilations
        labelled = [entry for entry in entries if entry.labels is not None]
        self.unlabelled += len(entries) - len(labelled)
        self.documents += len(entries)
        self._since_saved += 1
        if not labelled:
            return {"documents": len(entries), "total": self.documents, "labelled": 0}
        vectors = document_vectors(self.model, [entry.text for entry in labelled])
        read = time.perf_counter() - started
        if not self._begun:
            self._begin(vectors)
        # Give every label its place, then score the documents and learn from them.
        new: list[str] = []
        labels = [
            [self.labels.place(name, new) for name in entry.labels or ()]
            for entry in labelled
        ]
        self.labels.widen()
        found = self.learner.learn(vectors / self.scale, labels)
        counts = np.stack([found.hits, found.wrong, found.missed, found.unborn])
        self.labels.totals += counts
        for name in new:
            self.labels.note(self.documents, name, "new")
        seconds = time.perf_counter() - started
        return {
            "documents": len(entries),
            "total": self.documents,
            "labelled": len(labelled),
            **f1_scores(counts),
            "so_far": f1_scores(self.labels.totals),
            "loss": round(found.loss, 5),
            "labels": sum(name is not None for name in self.labels.names),
            "new_labels": len(new),
            "new": new[:SHOWN],
            "drift": list(found.drift),
            "places": self.learner.places,
            "compilations": self.learner.compilations - compiled,
            "remembered": self.learner.remembered,
            "bytes": self.learner.bytes,
            "seconds": round(seconds, 4),
            "seconds_of_vectors": round(read, 4),
            "documents_per_second": round(len(labelled) / seconds, 1),
        }

    def _change(self, entry: Entry) -> None:
        if not self._begun:
            raise DataError(
                f"{entry.where}: labels change once a document has been learned; put "
                "one before this line"
            )
        self.labels.change(entry, self.documents)
        self.changes += 1
        self._since_saved += 1

    def save(self) -> None:
        """Write the state, then the version that it is, and the log of labels."""
        if not self._begun:
            return
        name = version_name(self.documents, self.changes, self.beginning)
        current = current_version(self.model.workdir)
        if not self._since_saved and current is not None and current.name == name:
            return
        if not all(np.isfinite(part).all() for part in self.learner.state.head):
            raise WorkdirError(
                f"{self.folder}: what was learned must be finite numbers, and is not "
                f"after {counted(self.documents, 'document')}; what was saved before "
                f"stays; give a smaller --rate than {self.how.rate:g}"
            )
        about = {
            "names": self.labels.names,
            "logged": self._logged,
            "log": self.labels.log,
            "read": self.read,
            "scale": self.scale,
            "documents": self.documents,
            "unlabelled": self.unlabelled,
            "changes": self.changes,
            "sealed": self.sealed,
            "beginning": self.beginning,
            "places": self.learner.places,
            "memory_mib": self.how.memory_mib,
            "distil": self.how.distil > 0,
        }
        self.folder.mkdir(exist_ok=True)
        arrays = self.learner.arrays() | {"totals": self.labels.totals}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        write_npz(self.folder / STATE, arrays, compressed=False)
        self._logged = extend_log(self.model.workdir, self._logged, self.labels.log)
        self.labels.log.clear()
        publish(self.model, self._version(), name)  # last: it is what others read
        self._since_saved = 0

    def _version(self) -> Version:
        places = [i for i, name in enumerate(self.labels.names) if name is not None]
        rows = self.labels.rows(places)
        column = np.full(self.learner.places + 1, -1)
        column[places] = np.arange(len(places))
        to, by, weights = map(np.asarray, self.learner.state.edges)
        held = (weights > 0) & (column[to] >= 0) & (column[by] >= 0)
        to, by, weights = column[to[held]], column[by[held]], weights[held]
        order = np.lexsort((by, to))
        edges = Edges(to[order], by[order], weights[order])
        about = {
            "documents": self.documents,
            "unlabelled": self.unlabelled,
            **f1_scores(self.labels.totals),
        }
        return Version(
            tuple(name for name in self.labels.names if name is not None),
            rows["vectors"] / self.scale,
            rows["bias"],
            expit(rows["cuts"].astype(np.float64)),
            self.model.decision.at_least_one,
            rows["positives"],
            edges,
            self.trained + self.documents,
            about,
        )


def f1_scores(counts: np.ndarray) -> dict[str, float]:
    """Micro and macro F1 of `[4, N]` counts as of `Learned`.

    Each is with and without those whose label was new; macro is the mean over labels
    that a document has, or got.
    """
    hits, wrong, missed, unborn = counts
    found = {}
    for name, lost in (("", missed), ("known_", missed - unborn)):
        each = 2 * hits + wrong + lost
        there = each > 0
        every = max(int(each.sum()), 1)
        found[f"{name}micro_f1"] = round(float(2 * hits.sum() / every), 5)
        shares = 2 * hits[there] / each[there]
        found[f"{name}macro_f1"] = round(float(shares.mean() if len(shares) else 0), 5)
    return found


def _training_documents(model: LabelModel) -> int:
    """Documents that a run was trained on."""
    known = model.workdir.results().get("documents", {})
    counts = model.classifier.graph.counts
    return int(known.get("train", counts.max(initial=1)))


def _sealed(place: Workdir) -> str:
    path = place.path / FILE
    return file_digest(path) if path.is_file() else ""
