"""What learning from a stream is worth: frozen, online, with a memory, retrained.

    python -m experiments.streams
    python -m experiments.streams --corpora reuters21578

The documents of a corpus come in the order of their dates: EURLEX57K by the year of the
act, Reuters-21578 (whole, with a topic) by the second, KuaiRand's videos by the moment
they were shown. The first fifth is there before the stream and trains every row's first
head; then blocks of 500 are scored first and learned from afterwards, as `labelgraph
learn` does. Every row reads the same document vectors (LSA of 256 dimensions, fitted to
the first fifth; KuaiRand's are its 41 inputs, hashed, and its labels the seven things
that a user may do with a video) and learns the same kind of head. A label is new in the
block that shows it first; `known` leaves its cells of that block out.

Rows: frozen; online; the same with a memory of 1, 4, 16 or 64 MiB; with distillation,
alone and beside the memory; retrained at the beginning of every period (year, month,
day) on all documents before it, in as many passes as the first head had; scikit-learn's
`SGDClassifier.partial_fit`, a classifier per label. Settings were chosen on the first
quarter of EURLEX57K's stream and on the first half of Reuters', not on what follows;
none on KuaiRand.

Backward transfer: mean over periods of micro F1 of the last head on the period's
documents, less what was measured when they came. Young: labels whose first document
came less than a year (EURLEX57K), a month or a day before. New: labels that the first
fifth lacks, with 20 documents or more; macro F1 of their documents after the tenth.

Writes OUT/streams-CORPUS.json and .md. Rows are kept in the work folder.
"""

import dataclasses
import functools
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.pod import ALONE, Pod
from experiments.store import Part, Store
from experiments.streams_corpora import CORPORA, DIMENSIONS, Stream, stream_of
from experiments.study import (
    Options,
    commit,
    markdown_table,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from labelgraph_jax.config import ConfigError
from labelgraph_jax.training.stream_block import (
    BATCH,
    CUT,
    CUT_RATE,
    HIGHEST,
    LOWEST,
    Documents,
    Head,
    padded,
    stream_step,
)
from labelgraph_jax.training.streams import Learned, StreamLearner, places_for

BLOCK, FIT, PASSES, ENOUGH, POSITIVES = 500, 2_000, 2, 20, 10
DISTIL = 0.5
ROWS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "online": {},
    **{f"memory {mib} MiB": {"mib": mib} for mib in (1, 4, 16, 64)},
    "distillation": {"distil": DISTIL},
    "memory 16 MiB, distillation": {"mib": 16, "distil": DISTIL},
    "retrained": {},
    "scikit-learn partial_fit": {},
}
UPPER = "retrained"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Learn from streams of documents."""

    corpora: tuple[str, ...] = CORPORA
    """Of reuters21578, eurlex57k, kuairand."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Of the table."""
    retrain_every: int = 1
    """Periods from one retraining to the next."""
    work: str = "workdirs/streams"
    """Where vectors and rows are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("streams", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Computes what is missing and writes the tables down.

    Raises:
        ConfigError: no such corpus or row.
        DataError: a corpus cannot be read.
    """
    for option, known in (("corpora", CORPORA), ("rows", tuple(ROWS))):
        for name in getattr(chosen, option):
            if name not in known:
                raise ConfigError(
                    f"--{option} must be of {', '.join(known)}, got {name}"
                )
    require_at_least_one(chosen, "retrain_every")
    if not pod.writes:
        return
    every = chosen.retrain_every
    say = progress(pod, quiet=chosen.quiet)
    folder = Path(chosen.work)
    store = Store(folder, say)
    for name in chosen.corpora:
        stream = stream_of(name, folder, data_dir=chosen.data_dir, say=say)
        rows = {}
        for row in chosen.rows:
            identity: dict[str, Any] = {"study": "streams", "corpus": name}
            identity["row"] = [row, ROWS[row]]
            if row == UPPER and every > 1:
                identity["every"] = every
            make = functools.partial(measured, stream, row, every)
            part = store.part(f"{name} {row}", identity, make)
            rows[row] = {key: float(value) for key, value in part.items()}
        record = {
            "command": command,
            "commit": commit(),
            "corpus": name,
            "dimensions": DIMENSIONS,
            "block": BLOCK,
            "retrain_every": every,
            "documents": len(stream.vectors),
            "first": stream.first,
            "labels": len(stream.names),
            "rows": rows,
        }
        write_record(chosen.out, f"streams-{name}", record, page(record))


class Tally:
    """Counts of a row, block by block.

    Args:
        stream: of the row.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        count = len(stream.names)
        self.born = np.full(count, -1)  # document that showed a label first
        self.counts = np.zeros(count, int)
        self._show(range(stream.first))
        self.late = self.born < 0
        self.total = np.zeros((4, count))
        self.young, self.tenth = np.zeros((3, count)), np.zeros((3, count))
        self.periods: dict[int, np.ndarray] = {}
        self.rss: list[tuple[int, float]] = []

    def add(self, rows: range, found: "list[np.ndarray] | Learned") -> None:
        """Take what the documents of a block got: columns of each, or their counts."""
        cells = np.zeros((4, len(self.stream.names)))
        hits, wrong, missed, unborn = cells
        if isinstance(found, Learned):
            counts = np.stack([found.hits, found.wrong, found.missed, found.unborn])
            known = min(counts.shape[1], cells.shape[1])
            cells[:, :known] = counts[:, :known]
        else:
            hits[:], wrong[:], missed[:] = self._counts(rows, found)
            unborn[:] = np.where(self.born < 0, missed, 0)
        self.total += cells
        period = self.stream.periods[rows[0]]
        held = self.periods.setdefault(int(period), np.zeros(3))
        held += cells[:3].sum(axis=1)
        when = self.stream.periods[self.born]
        is_young = self.late & (self.born >= 0) & (period - when < 1)
        self.young[:, is_young] += cells[:3, is_young]
        ready = self.late & (self.counts >= POSITIVES)
        self.tenth[:, ready] += cells[:3, ready]
        self._show(rows)
        self.rss.append((rows[-1] - self.stream.first, resident_mib()))

    def _show(self, rows: range) -> None:
        labels = self.stream.labels[rows.start : rows.stop]
        every = np.concatenate(labels)
        own, first = np.unique(every, return_index=True)
        by = np.repeat(rows, [len(each) for each in labels])
        new = self.born[own] < 0
        self.born[own[new]] = by[first[new]]
        self.counts += np.bincount(every, minlength=len(self.counts))

    def _counts(self, rows: range, decided: Sequence[np.ndarray]) -> np.ndarray:
        """Hits, wrong and missed of each label, `[3, N]`."""
        count = len(self.stream.names)
        labels = self.stream.labels[rows.start : rows.stop]
        own, got = (
            np.concatenate([row * count + each for row, each in enumerate(given)])
            for given in (labels, decided)
        )
        hits, shown, has = (
            np.bincount(cells % count, minlength=count)
            for cells in (np.intersect1d(own, got, assume_unique=True), got, own)
        )
        return np.stack([hits, shown - hits, has - hits])

    def results(self, last: Callable[[range], list[np.ndarray]]) -> dict[str, float]:
        """Metrics, with those of the last head on the documents of old periods."""
        hits, wrong, missed, unborn = self.total
        known = np.stack([hits, wrong, missed - unborn])
        often = self.late & (self.counts >= ENOUGH)
        transfer = []
        for period, cells in self.periods.items():
            rows = np.flatnonzero(self.stream.periods == period)
            rows = rows[rows >= self.stream.first]
            again = self._counts(every := range(rows[0], rows[-1] + 1), last(every))
            transfer.append(f1(again.sum(axis=1)) - f1(cells))
        early = [mib for seen, mib in self.rss if seen <= 5_000]
        return {
            "micro": f1(self.total[:3].sum(axis=1)),
            "macro": macro(self.total[:3]),
            "known_micro": f1(known.sum(axis=1)),
            "known_macro": macro(known),
            "young_micro": f1(self.young.sum(axis=1)),
            "new_macro": macro(self.tenth, often),
            "new_labels": float(often.sum()),
            "backward_transfer": float(np.mean(transfer)),
            "rss_mib": max(mib for _, mib in self.rss),
            "rss_growth": max(mib for _, mib in self.rss) / max(early) - 1,
        }


def f1(counts: np.ndarray) -> float:
    """F1 of hits, wrong and missed."""
    hits, wrong, missed = counts
    return float(2 * hits / max(2 * hits + wrong + missed, 1))


def macro(counts: np.ndarray, among: np.ndarray | None = None) -> float:
    """Mean F1 of labels: of some, or of those with a document or a guess."""
    there = counts.sum(axis=0) > 0 if among is None else among
    hits, wrong, missed = counts[:, there]
    found = 2 * hits / np.maximum(2 * hits + wrong + missed, 1)
    return float(found.mean()) if len(found) else 0.0


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measured(stream: Stream, row: str, every: int) -> Part:
    """Metrics and seconds of a row of the table."""
    way = Partial(stream) if row.startswith("scikit") else Online(stream, row)
    tally, spent, each = Tally(stream), 0.0, []
    period = int(stream.periods[stream.first])
    for rows in blocks(stream):
        now = int(stream.periods[rows[0]])
        started = time.perf_counter()
        if row == UPPER and now - period >= every:
            way = Online(stream, row, rows[0], way)  # type: ignore[arg-type]
            period = now
        got = way.block(rows)
        took = time.perf_counter() - started
        spent += took
        each.append((len(rows), len(rows) / took))
        tally.add(rows, got)
    found = tally.results(way.decide)
    longest = max(each)[0]
    found |= {
        "seconds": spent,
        "documents_per_second": float(np.median([s for n, s in each if n == longest])),
        "compilations": float(way.compilations),
        "doublings": float(np.log2(way.places / way.first_places)),
    }
    return {name: np.asarray(value) for name, value in found.items()}


def blocks(stream: Stream) -> Iterator[range]:
    """The documents after the first, in blocks that do not cross periods."""
    changes = np.flatnonzero(np.diff(stream.periods)) + 1
    ends = [*changes[changes > stream.first].tolist(), len(stream.vectors)]
    start = stream.first
    for end in ends:
        for first in range(start, end, BLOCK):
            yield range(first, min(first + BLOCK, end))
        start = end


@functools.partial(jax.jit, static_argnames="rate")
def fitted(head: Head, documents: Documents, rate: float) -> Head:
    """The head after steps over documents."""
    parts = [x.reshape(-1, BATCH, *x.shape[1:]) for x in documents]

    def step(head: Head, given: Documents) -> tuple[Head, None]:
        return stream_step(head, given, rate=rate), None

    return jax.lax.scan(step, head, Documents(*parts))[0]


class Online:
    """A head that is fitted to what is there, and then learns or stays as it is.

    Args:
        stream: of the row.
        row: of the table.
        until: documents that are there.
        before: whose thresholds go on.
    """

    def __init__(
        self, stream: Stream, row: str, until: int = 0, before: "Online | None" = None
    ) -> None:
        how = ROWS[row]
        self.stream, until = stream, until or stream.first
        self.learns = row not in ("frozen", UPPER)
        self.moves = row == UPPER
        known = 1 + max(int(own.max(initial=0)) for own in stream.labels[:until])
        self.first_places = self.places = places_for(known)
        if before is not None:
            self.first_places = before.first_places
        self.learner = StreamLearner(
            DIMENSIONS,
            places=self.places,
            memory_bytes=how.get("mib", 0) << 20,
            block=BLOCK,
            distil=how.get("distil", 0.0),
        )
        self.learner.set_places(range(known), active=True)
        self._fit(until)
        if before is not None:
            cuts = np.asarray(self.learner.state.head.cuts).copy()
            old = np.asarray(before.learner.state.head.cuts)
            cuts[: len(old)] = old
            head = self.learner.state.head._replace(cuts=jnp.array(cuts))
            self.learner.state = self.learner.state._replace(head=head)
        self.learner.hold()

    @property
    def compilations(self) -> int:
        """Number of programs that the learner has compiled."""
        return self.learner.compilations

    def _fit(self, until: int) -> None:
        rng, head = np.random.default_rng(0), self.learner.state.head
        for _ in range(PASSES):
            order = rng.permutation(until)
            for start in range(0, until, FIT):
                rows = order[start : start + FIT]
                labels = [self.stream.labels[row].tolist() for row in rows]
                given = padded(
                    self.stream.vectors[rows], labels, room=FIT, places=self.places
                )
                head = fitted(head, given, 1.0)
        self.learner.state = self.learner.state._replace(head=head)

    def block(self, rows: range) -> list[np.ndarray] | Learned:
        """What documents get: columns, or counts where it learns from them then."""
        labels = [self.stream.labels[row].tolist() for row in rows]
        if self.learns:
            most = 1 + max(max(own, default=0) for own in labels)
            if most > self.places:
                self.places = places_for(most)
                self.learner.grow(self.places)
            vectors = self.stream.vectors[rows.start : rows.stop]
            return self.learner.learn(vectors, labels)
        decided = self.decide(rows)
        if self.moves:  # as a stream's thresholds do
            head = self.learner.state.head
            shown, has = np.zeros((2, self.places))
            for own, got in zip(labels, decided, strict=True):
                shown[got] += 1
                has[[n for n in own if n < self.places]] += 1
            move = CUT_RATE * (shown - has) / (1 + CUT_RATE * (shown + has))
            cuts = np.asarray(head.cuts) + move
            cuts = np.clip(cuts, LOWEST, HIGHEST).astype(np.float32)
            head = head._replace(cuts=jnp.array(cuts))
            self.learner.state = self.learner.state._replace(head=head)
        return decided

    def decide(self, rows: range) -> list[np.ndarray]:
        """Columns that documents get, by the head as it is."""
        head = jax.device_get(self.learner.state.head)
        found: list[np.ndarray] = []
        for start in range(rows.start, rows.stop, BLOCK):
            part = self.stream.vectors[start : min(start + BLOCK, rows.stop)]
            logits = part @ head.vectors.T + head.bias
            decided = (logits >= head.cuts) & head.active
            found += [np.flatnonzero(row) for row in decided]
        return found


class Partial:
    """scikit-learn's logistic regression by stochastic steps, one for each label."""

    compilations = 0
    places = first_places = 1

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.models: dict[int, Any] = {}
        self._learn(range(stream.first))

    def _learn(self, rows: range) -> None:
        from sklearn.linear_model import SGDClassifier

        vectors = self.stream.vectors[rows.start : rows.stop]
        truth: dict[int, list[int]] = {column: [] for column in self.models}
        for row in rows:
            for column in self.stream.labels[row].tolist():
                truth.setdefault(column, []).append(row - rows.start)
        for column, places in truth.items():
            if column not in self.models:
                self.models[column] = SGDClassifier(
                    loss="log_loss", alpha=1e-6, random_state=0
                )
            target = np.zeros(len(rows), int)
            target[places] = 1
            self.models[column].partial_fit(vectors, target, classes=[0, 1])

    def block(self, rows: range) -> list[np.ndarray]:
        """Columns that documents get; then every model learns from them."""
        decided = self.decide(rows)
        self._learn(rows)
        return decided

    def decide(self, rows: range) -> list[np.ndarray]:
        """Columns that documents get."""
        columns = np.array(list(self.models))
        weights = np.concatenate([m.coef_ for m in self.models.values()])
        bias = np.concatenate([m.intercept_ for m in self.models.values()])
        logits = self.stream.vectors[rows.start : rows.stop] @ weights.T + bias
        return [columns[row >= CUT] for row in logits]


def page(found: dict[str, Any]) -> str:
    """The table, as Markdown."""
    head = ["", "micro", "macro", "known micro", "known macro", "young micro"]
    head += ["new macro", "transfer", "seconds", "documents/s", "RSS MiB", "RSS growth"]
    keys = ("micro", "macro", "known_micro", "known_macro", "young_micro", "new_macro")
    table = []
    for row, part in found["rows"].items():
        some = {"new_macro": part["new_labels"]}
        scores = [f"{100 * part[k]:.1f}" if some.get(k, 1) else "-" for k in keys]
        cells = [f"{100 * part['backward_transfer']:+.1f}"]
        cells += [f"{part['seconds']:.0f}", f"{part['documents_per_second']:,.0f}"]
        cells += [f"{part['rss_mib']:,.0f}", f"{100 * part['rss_growth']:+.1f} %"]
        table.append([row, *scores, *cells])
    lines = [
        f"# Learning from a stream: {found['corpus']}",
        "",
        f"`{found['command']}`",
        "",
        f"{found['documents']:,} documents, of which {found['first']:,} are there "
        f"before the stream; {found['labels']:,} labels in the end; retrained every "
        f"{found['retrain_every']} periods.",
        "",
        markdown_table(head, table),
    ]
    upper, some = found["rows"].get(UPPER), found["rows"].get("memory 16 MiB")
    if upper and some:
        share = 100 * some["seconds"] / upper["seconds"]
        reached = 100 * some["micro"] / upper["micro"]
        lines += [
            f"A memory of 16 MiB reaches {reached:.1f} % of retraining's micro F1 in "
            f"{share:.1f} % of its time, with {some['compilations']:.0f} compilations "
            f"for {some['doublings']:.0f} doublings of the labels.",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
