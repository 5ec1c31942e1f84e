"""Gains of adapting to documents of another distribution, on real shifts.

    python -m experiments.shifts --data-dir ../shared/data

Shifts: EURLEX57K Regulation -> Decision and until 1995 -> from 2008 (the 100 labels
frequent on both sides), debtags sections utils, admin, net -> games, x11, science (60
labels), and the 12 pairs of four domains of Amazon reviews (one label, positive).
Document vectors: the first 128 tokens by a static table that is distilled from MiniLM
with 2,000 texts of the corpus, labels unread (EURLEX57K, debtags), or by frozen MiniLM
(Amazon); of both the first 128 principal directions. Of each side up to 1,500 source
documents, 1,200 target documents to read and 1,000 to measure are drawn for each seed;
five seeds, of the twelve pairs three.

Rows: `none`, the source alone; every way to adapt; `auto`, which chooses without a
target label; `oracle`, learned from the labels of the target documents that the others
read without. One linear head each; its strength and the one threshold are those that
are best on source documents held out (of the oracle: on target documents held out).
Measured on other target documents. Writes OUT/shifts.json and .md; parts are kept in
the work folder, and a call that was stopped goes on where it was. About 30 minutes on
two busy cores, after MiniLM has read the texts (about 15).
"""

import dataclasses
import itertools
import json
import lzma
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import t as student

from experiments.pod import ALONE, Pod, end
from experiments.store import Part, Store
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    markdown_table,
    progress,
    run_command,
    write_record,
)
from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.static_encoder import (
    StaticEncoder,
    is_static,
    of_length_one,
)
from labelgraph_jax.runs.distil import distil
from labelgraph_jax.training.adaptation import KINDS, Head, fit_adapted
from labelgraph_jax.training.adaptation_choice import DECAYS, choose_adaptation
from labelgraph_jax.training.domains import domain_probe

ROWS = (*KINDS, "auto", "oracle")
DOMAINS = ("books", "dvd", "electronics", "kitchen")
SOURCE, TARGET, TEST = 1_500, 1_200, 1_000
"""Documents that are drawn for each seed, at most."""
LENGTH, DISTILLED, DIM = 128, 2_000, 128
HELD_OUT = 5
PAIR_SEEDS = 3
"""Of the twelve pairs, at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Measure what adapting to other documents gives."""

    data_dir: str = "../shared/data"
    """Folder with eurlex57k, debtags and amazon_reviews."""
    shifts: tuple[str, ...] = ("types", "years", "sections", "amazon")
    """Which of them."""
    seeds: int = 5
    """Seeds 0, 1, ... of the documents drawn, and of all else."""
    work: str = "workdirs/shifts"
    """Where vectors and finished parts are kept."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A document: text, labels, and what says on which side of a shift it stands."""

    text: str
    labels: tuple[str, ...]
    kind: str
    year: int = 0


@dataclasses.dataclass(frozen=True)
class Shift:
    """A shift between two sets of documents with vectors.

    Attributes:
        title: in words.
        source, target: rows of the vectors.
        labels: how many are learned.
    """

    title: str
    vectors: np.ndarray
    items: Sequence[Item]
    source: np.ndarray
    target: np.ndarray
    labels: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("shifts", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Computes what is missing and writes the table down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: a corpus is not there.
    """
    if chosen.seeds < 2:
        raise ConfigError(f"--seeds must be at least 2, got {chosen.seeds}")
    known = ("types", "years", "sections", "amazon")
    for name in chosen.shifts:
        if name not in known:
            raise ConfigError(f"--shifts must be of {', '.join(known)}; got {name!r}")
    if not pod.writes:
        return
    say = progress(pod, quiet=chosen.quiet)
    store = Store(Path(chosen.work), say)
    keep_compilations(Path(chosen.work) / "compiled")
    found = {
        name: [
            {"shift": shift.title, "seed": seed, **measured(shift, seed, store)}
            for seed in range(min(chosen.seeds, PAIR_SEEDS if len(shifts) > 1 else 99))
            for shift in shifts
        ]
        for name, shifts in ((n, shifts_of(n, chosen, say)) for n in chosen.shifts)
    }
    record = {
        "command": command,
        "commit": commit(),
        "seeds": chosen.seeds,
        "seconds": round(store.seconds),
        "cells": found,
        "table": {name: summary(cells) for name, cells in found.items()},
    }
    write_record(chosen.out, "shifts", record, page(record))


def shifts_of(name: str, chosen: Arguments, say: Callable[[str], None]) -> list[Shift]:
    """The shifts of a name: one, or the twelve pairs of Amazon's domains."""
    folder = Path(chosen.data_dir)
    if name == "amazon":
        items = [
            Item(d["text"], tuple(x for x in d["labels"] if x == "positive"), domain)
            for domain in DOMAINS
            for d in _lines(folder / "amazon_reviews" / f"{domain}.jsonl.xz")
        ]
        vectors = _minilm(items)
        kinds = np.array([item.kind for item in items])
        return [
            Shift(f"{a} -> {b}", vectors, items, _of(kinds == a), _of(kinds == b), 1)
            for a, b in itertools.permutations(DOMAINS, 2)
        ]
    corpus = "debtags" if name == "sections" else "eurlex57k"
    items = [
        _item(d)
        for split in ("train", "dev", "test")
        for d in _lines(folder / corpus / f"{split}.jsonl.xz")
    ]
    vectors = _static(corpus, items, Path(chosen.work), say)
    kinds = np.array([item.kind for item in items])
    years = np.array([item.year for item in items])
    if name == "sections":
        near, far = ("utils", "admin", "net"), ("games", "x11", "science")
        sides, title = (
            [np.isin(kinds, side) for side in (near, far)],
            ("debtags utils, admin, net -> games, x11, science"),
        )
    elif name == "types":
        sides = [kinds == "Regulation", kinds == "Decision"]
        title = "EURLEX Regulation -> Decision"
    else:
        sides, title = [years <= 1995, years >= 2008], "EURLEX <= 1995 -> >= 2008"
    labels = 60 if name == "sections" else 100
    return [Shift(title, vectors, items, _of(sides[0]), _of(sides[1]), labels)]


def _of(mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(mask)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataError(f"{path}: must be there; --data-dir names its folder")
    with lzma.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _item(d: dict[str, Any]) -> Item:
    labels = tuple(d["labels"] or ())
    if "section" in d:
        return Item(d["text"], labels, d["section"])
    text = (d["title"] + "\n\n" + d["text"])[:1500]
    return Item(text, labels, d["type"], int(d["id"][1:5]))


def _minilm(items: Sequence[Item]) -> np.ndarray:
    """Vectors of frozen MiniLM, domain by domain, from the cache where they are."""
    folder = find_pretrained("minilm")
    encoder = FrozenEncoder.load(folder, cache=cache_folder("encodings"))
    tokenizer = Tokenizer.from_pretrained(folder)
    parts = [
        encoder.document_vectors(
            [item.text for item in items if item.kind == domain],
            tokenizer,
            max_length=LENGTH,
        )
        for domain in DOMAINS
    ]
    return principal(np.concatenate(parts))


def principal(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1 in their first principal directions."""
    axes = np.linalg.eigh(vectors.T @ vectors)[1][:, : -DIM - 1 : -1]
    return of_length_one(vectors @ axes).astype(np.float32)


def _static(
    corpus: str, items: Sequence[Item], work: Path, say: Callable[[str], None]
) -> np.ndarray:
    """Vectors by a table that is distilled with some of the texts."""
    folder = work / f"static-{corpus}"
    if not is_static(folder):
        rows = np.random.default_rng(0).permutation(len(items))[:DISTILLED]
        distil("minilm", [items[i].text for i in rows], say=say).save(folder)
    static = StaticEncoder.load(folder)
    texts = [item.text for item in items]
    return principal(
        static.document_vectors(texts, static.tokenizer, max_length=LENGTH)
    )


def measured(shift: Shift, seed: int, store: Store) -> dict[str, Any]:
    """Scores of every row for one draw of documents."""
    identity = {
        "shift": shift.title,
        "seed": seed,
        "documents": [len(shift.source), len(shift.target), len(shift.items)],
        "sizes": [SOURCE, TARGET, TEST, shift.labels],
        "vectors": round(float(np.abs(shift.vectors[::97]).sum()), 2),
    }

    def compute() -> Part:
        return {"found": np.asarray(json.dumps(_measure(shift, seed)))}

    title = f"{shift.title}, seed {seed}"
    return dict(json.loads(str(store.part(title, identity, compute)["found"])))


def _measure(shift: Shift, seed: int) -> dict[str, Any]:
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    source = rng.permutation(shift.source)[:SOURCE]
    drawn = rng.permutation(shift.target)
    size = min(TARGET, len(drawn) * 4 // 7)
    target, test = drawn[:size], drawn[size : size + TEST]
    names = frequent(shift, source, target)
    near, far, seen = (shift.vectors[rows] for rows in (source, target, test))
    labels, hidden, truth = (
        np.array(
            [[name in shift.items[i].labels for name in names] for i in rows],
            np.float32,
        )
        for rows in (source, target, test)
    )

    # Source documents that choose strength and threshold, and those that are learned.
    choice = choose_adaptation(near, labels, far, key, seed=seed)
    held, decay = choice.held, choice.decay
    rows = (~held).astype(np.float32)
    found: dict[str, Any] = {"choice": choice.kind, "reason": choice.reason}
    threshold = 0.5
    accuracy = {"before": choice.accuracy}
    for kind in KINDS:
        head = choice.heads.get(kind) or fit_adapted(
            kind, near, labels, far, key, decay=decay, rows=rows
        )
        if kind != "prior":
            threshold = _cut(head, near[held], labels[held])
        cut = found["none"][2] if kind == "prior" else threshold
        found[kind] = [*_f1(head, seen, truth, cut), cut]
        if kind in ("coral", "adversarial"):
            accuracy[kind] = (
                choice.left.get(kind)
                or domain_probe(head.features(near), head.features(far), key)[0]
            )
    found["auto"] = found[choice.kind]

    # The same from the labels of the target.
    held, rows = _held(len(far), rng)
    tried = []
    for decay in DECAYS:
        head = fit_adapted("none", far, hidden, far, key, decay=decay, rows=rows)
        cut = _cut(head, far[held], hidden[held])
        tried.append((_f1(head, far[held], hidden[held], cut)[0], decay, head, cut))
    _, _, head, cut = max(tried, key=lambda one: one[0])
    found["oracle"] = [*_f1(head, seen, truth, cut), cut]
    return found | {"accuracy": accuracy}


def frequent(shift: Shift, source: np.ndarray, target: np.ndarray) -> list[str]:
    """The labels most frequent on the side where each is rarer: the task."""
    counts = [
        Counter(name for i in rows for name in shift.items[i].labels)
        for rows in (source, target)
    ]
    both = sorted(set(counts[0]) & set(counts[1]))
    least = {
        name: min(
            c[name] / len(rows)
            for c, rows in zip(counts, (source, target), strict=True)
        )
        for name in both
    }
    return sorted(both, key=lambda name: (-least[name], name))[: shift.labels]


def _held(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    held = np.zeros(count, bool)
    held[rng.permutation(count)[: count // HELD_OUT]] = True
    return held, (~held).astype(np.float32)


def _cut(head: Head, vectors: np.ndarray, truth: np.ndarray) -> float:
    return fit_global_threshold(head.probabilities(vectors), truth)


def _f1(
    head: Head, vectors: np.ndarray, truth: np.ndarray, threshold: float
) -> tuple[float, float]:
    """Micro-F1 and macro-F1 over the labels that occur, in points."""
    decided, true = head.probabilities(vectors) >= threshold, truth > 0
    hits, either = (decided & true).sum(axis=0), decided.sum(axis=0) + true.sum(axis=0)
    present = true.any(axis=0)
    macro = (2 * hits[present] / either[present]).mean()
    return 100 * float(2 * hits.sum() / max(either.sum(), 1)), 100 * float(macro)


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each row the mean scores, and the share of the gap that is closed."""
    seeds = sorted({cell["seed"] for cell in cells})

    def means(row: str, part: int) -> np.ndarray:  # over the pairs of a seed
        return np.array(
            [np.mean([c[row][part] for c in cells if c["seed"] == s]) for s in seeds]
        )

    found: dict[str, Any] = {}
    gap = [means("oracle", part) - means("none", part) for part in (0, 1)]
    for row in ROWS:
        gains = [means(row, part) - means("none", part) for part in (0, 1)]
        found[row] = {
            "micro": float(means(row, 0).mean()),
            "macro": float(means(row, 1).mean()),
            "gain": interval(gains[0]),
            "macro_gain": interval(gains[1]),
            "closed": interval(100 * gains[0] / gap[0]),
        }
    found["chosen"] = dict(Counter(cell["choice"] for cell in cells))
    for name in ("before", "coral", "adversarial"):
        found[f"accuracy_{name}"] = float(
            np.mean([cell["accuracy"][name] for cell in cells])
        )
    return found


def interval(values: np.ndarray) -> list[float]:
    """Mean and 95 % interval of the mean, by Student's over seeds."""
    mean, count = float(values.mean()), len(values)
    error = (
        float(values.std(ddof=1)) / count**0.5 * float(student.ppf(0.975, count - 1))
    )
    return [mean, mean - error, mean + error]


def page(record: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows, probes = [], []
    for name, table in record["table"].items():
        titles = {cell["shift"] for cell in record["cells"][name]}
        title = titles.pop() if len(titles) == 1 else "Amazon, mean of 12 pairs"
        for row in ROWS:
            found = table[row]
            gain, closed = (
                "-" if row in ("none", "oracle") else _bracket(found[part])
                for part in ("gain", "closed")
            )
            rows.append(
                [
                    *(title, row, f"{found['micro']:.1f}", f"{found['macro']:.1f}"),
                    *(gain, closed),
                ]
            )
        chosen = ", ".join(f"{k} {n}" for k, n in table["chosen"].items())
        probes.append(
            [title, *(f"{table[f'accuracy_{k}']:.2f}" for k in PROBED), chosen]
        )
    heading = ["shift", "row", "micro-F1", "macro-F1", "gain, micro", "gap closed, %"]
    parts = [
        "# Other distributions",
        f"`{record['command']}`, {record['seeds']} seeds, {record['seconds']} s of "
        f"computation, commit {record['commit']}.",
        (__doc__ or "").split("\n\n", 2)[2].split("Writes OUT")[0].strip(),
        markdown_table(heading, rows),
        "Brackets: 95 % interval by Student's over the paired seeds. Below, accuracy "
        "of a fresh classifier of domains on vectors it was not fitted on, before and "
        "after projections are learned; and how often `auto` chose what.",
        markdown_table(["shift", *PROBED, "auto chose"], probes),
    ]
    return "\n\n".join(parts) + "\n"


PROBED = ("before", "coral", "adversarial")


def _bracket(values: Sequence[float]) -> str:
    return f"{values[0]:+.1f} [{values[1]:+.1f}, {values[2]:+.1f}]"


if __name__ == "__main__":
    end(main)
