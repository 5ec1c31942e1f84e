"""What is known of labels beside documents: does a hierarchy, or do rules, help?

    python -m experiments.label_structure --data-dir DIR --corpora hallmarks_of_cancer
    python -m experiments.label_structure --part rules --corpora eurlex57k

Documents are LSA vectors of their text (tf-idf, 200 dimensions, fitted to all training
texts without their labels); labels are learned by a linear layer, of all documents at a
time. So a row costs seconds, and rows differ in what they are told of the labels alone.

`hierarchy`: every document carries what lies above its labels, in all splits. A share
of the training documents, and the same share of those that choose, keep their labels;
every draw is another share, the same for all rows. How strong the decay of weights and
the regularisation are, how long is trained and one threshold for all labels are chosen
on the documents that choose, by the mean of micro- and macro-F1. `shuffled` is the
control: the same tree, its labels dealt out anew.

`rules`: exclusions that are mined from the training documents, or from a share of them,
are obeyed by the labels of the test documents; random pairs as many, and one in ten
replaced by labels that training documents do have together, are the controls.

`contrast`: whole runs of `labelgraph train` with its defaults, whose seed is the draw:
without the contrast by overlap, with it, and without for as many epochs as the contrast
took time.

Every cell is kept in the work folder when it is done: the same command goes on.
"""

import dataclasses
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from scipy.sparse import csr_array

import labelgraph_jax as lg
from experiments.study import commit, progress, run_command, student_interval
from labelgraph_jax.config import DataConfig
from labelgraph_jax.config.presets import preset
from labelgraph_jax.data.documents import Corpus, DataError, LabelSpace
from labelgraph_jax.data.files import write_json, write_text
from labelgraph_jax.data.labels.label_rules import LabelRules, Rule, mine_rules
from labelgraph_jax.data.labels.taxonomy import closed_documents, hierarchy_edges
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.rivals import differences
from labelgraph_jax.training.hierarchy_heads import (
    RATE,
    first_head,
    head_loss,
    label_vectors,
)

F = lg.functional
METRICS = ("micro", "macro")
ROWS = {
    "flat": "flat, ancestors added afterwards",
    "consistent": "consistent (descendant maximum and its loss)",
    "regularised": "regularised towards parents, ancestors added afterwards",
    "contrast": "contrast of HCL-MTC, ancestors added afterwards",
    "graph": "messages of parents and children (HiAGM), ancestors added afterwards",
    "consistent, shuffled": "consistent, shuffled tree",
    "regularised, shuffled": "regularised, shuffled tree, ancestors added afterwards",
    "graph, shuffled": "messages, shuffled tree, ancestors added afterwards",
}
EKMAN = {
    "anger": ("annoyance", "disapproval"),
    "fear": ("nervousness",),
    "joy": (
        *("amusement", "approval", "excitement", "gratitude", "love", "optimism"),
        *("relief", "pride", "admiration", "desire", "caring"),
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("realization", "confusion", "curiosity"),
}
"""The groups that GoEmotions' authors publish (ekman_mapping.json)."""
DIMENSIONS = 200
STEPS = (50, 100, 200, 400)
"""Steps of Adam after which a model is looked at."""
OPTIMIZER = optax.adam(RATE)
DECAYS = (1e-5, 1e-4)
WEIGHTS = {"regularised": (1e-3, 1e-2, 1e-1), "contrast": (1e-2, 1e-1, 1.0)}
CUTS = np.linspace(-4, 3, 57)
BOUND = 0.99
"""Of a mined exclusion that is obeyed: the lower end of its interval."""


@dataclass(frozen=True)
class Arguments:
    """The corpora, the shares and where results go."""

    data_dir: str = ""
    """Folder of local corpus copies; for a file of documents none is needed."""
    corpora: tuple[str, ...] = ("hallmarks_of_cancer", "debtags")
    """hallmarks_of_cancer, debtags, or corpora that `labelgraph data list` names; or
    files of documents, with --taxonomy."""
    taxonomy: str = ""
    """Of files of documents."""
    part: Literal["hierarchy", "rules", "contrast"] = "hierarchy"
    shares: tuple[float, ...] = (0.01, 0.1, 1.0)
    """Of the training documents that keep their labels."""
    draws: int = 5
    """Shares that are drawn, each with a seed of its own; of all documents one."""
    rows: tuple[str, ...] = tuple(ROWS)
    contrast: float = 0.1
    """Weight of the contrast."""
    least_expected: float = 10.0
    """Of a mined exclusion: documents that would carry both labels by chance."""
    out: str = "experiments/results"
    work: str = "work/label_structure"
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Few steps, for tests; the file is named so."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


class Task(NamedTuple):
    """A corpus as vectors and closed labels, by split."""

    vectors: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    pairs: np.ndarray
    names: tuple[str, ...]


def corpus_of(name: str, chosen: Arguments) -> Corpus:
    """Read a corpus with its taxonomy."""
    data, folder = DataConfig(data_dir=chosen.data_dir), Path(chosen.data_dir) / name
    if Path(name).is_file():
        return read_corpus(
            dataclasses.replace(data, data=name, taxonomy=chosen.taxonomy)
        )
    if name in ("hallmarks_of_cancer", "debtags"):
        files: dict[str, Any] = {
            "data": str(folder / "train.jsonl.xz"),
            "validation": str(folder / "dev.jsonl.xz"),
            "test": str(folder / "test.jsonl.xz"),
        }
        own = folder / "taxonomy.tsv"
        taxonomy = str(own) if own.is_file() else ""
        corpus = read_corpus(dataclasses.replace(data, **files, taxonomy=taxonomy))
        if taxonomy:
            return corpus
        every = {label for d in corpus.train for label in d.labels}
        return dataclasses.replace(
            corpus, parents={n: (n.split("::")[0],) for n in every if "::" in n}
        )
    corpus = read_corpus(dataclasses.replace(data, corpus=name))
    if name == "goemotions":
        parents = {child: (group,) for group, own in EKMAN.items() for child in own}
        return dataclasses.replace(corpus, parents=parents)
    return corpus


def task_of(corpus: Corpus, *, closed: bool) -> Task:
    """Vectors of the texts, and labels as given or closed upwards.

    Raises:
        DataError: labels are to be closed and none lies above another.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    splits = corpus.splits
    if closed:
        splits = {n: closed_documents(d, corpus.parents) for n, d in splits.items()}
    labels = LabelSpace.from_documents(splits["train"], parents=corpus.parents)
    pairs = labels.parent_pairs()
    if closed and not len(pairs):
        raise DataError(
            f"{corpus.name}: must have a taxonomy; no label is above another"
        )
    texts = {n: [d.text for d in documents] for n, documents in splits.items()}
    counts = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=20_000)
    rows = counts.fit_transform(texts["train"])
    size = min(DIMENSIONS, min(rows.shape) - 1)
    lsa = TruncatedSVD(size, random_state=0).fit(rows)
    vectors = {}
    for name, own in texts.items():
        found = lsa.transform(counts.transform(own))
        length = np.linalg.norm(found, axis=1, keepdims=True)
        vectors[name] = (found / np.maximum(length, 1e-9)).astype(np.float32) * 4
    targets = {n: labels.targets(d)[0] for n, d in splits.items()}
    return Task(vectors, targets, pairs, labels.names)


def read_task(name: str, chosen: Arguments) -> Task:
    """What a part reads of a corpus: closed for a hierarchy, as given for rules."""
    return task_of(corpus_of(name, chosen), closed=chosen.part == "hierarchy")


def f1(decided: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Micro-F1, and macro-F1 over the labels that some document carries."""
    hits = (decided & truth).sum(0)
    either = decided.sum(0) + truth.sum(0)
    present = truth.any(0)
    each = 2 * hits[present] / np.maximum(either[present], 1)
    return 2 * float(hits.sum()) / max(int(either.sum()), 1), float(each.mean())


Pairs = tuple[tuple[int, int], ...]


@cache
def runner(kind: str, pairs: Pairs) -> Callable[..., Any]:
    """Compile a row's `run(state, x, y, key, decays, weights, count, links)`."""
    edges = np.array(pairs, np.int64).reshape(-1, 2)

    loss = head_loss(kind, edges)

    @partial(jax.jit, static_argnames="count")
    def run(
        state: Any,
        x: Any,
        y: Any,
        key: Any,
        decays: Any,
        weights: Any,
        count: int,
        links: Any,
    ) -> Any:
        def step(state: Any, key: Any, decay: Any, weight: Any) -> tuple[Any, None]:
            params, moments = state
            gradient = jax.grad(loss)(params, x, y, None, decay, weight, key, links)
            updates, moments = OPTIMIZER.update(gradient, moments)
            return (optax.apply_updates(params, updates), moments), None

        def of_one(state: Any, decay: Any, weight: Any) -> Any:
            own = partial(step, decay=decay, weight=weight)
            return jax.lax.scan(own, state, jax.random.split(key, count))[0]

        return jax.vmap(of_one)(state, decays, weights)

    return run


def trained(
    x: np.ndarray, y: np.ndarray, kind: str, pairs: np.ndarray, steps: Sequence[int]
) -> Iterator[tuple[Any, Any]]:
    """Linear layers of every setting after some steps: weights and biases."""
    start = first_head(y, x.shape[1])
    grid = [(d, w) for d in DECAYS for w in WEIGHTS.get(kind, (0.0,))]
    decays, weights = (jnp.asarray(c) for c in zip(*grid, strict=True))
    state: Any = (start, OPTIMIZER.init(start))
    state = jax.tree.map(lambda a: jnp.stack([jnp.asarray(a)] * len(grid)), state)
    flat = kind == "flat"
    run = runner(kind, () if flat else tuple(map(tuple, pairs.tolist())))
    links = hierarchy_edges(pairs, csr_array(y)) if kind == "graph" else None
    before = 0
    for number in steps:
        key = jax.random.key(number)
        count, before = number - before, number
        state = run(state, x, y, key, decays, weights, count, links)
        vectors = jax.vmap(lambda head: label_vectors(head, links))(state[0])
        yield from zip(np.asarray(vectors), np.asarray(state[0][1]), strict=True)


def measured(
    read: Callable[[], Task], share: float, draw: int, row: str, steps: Sequence[int]
) -> dict[str, Any]:
    """Micro- and macro-F1 of the test documents, of one row and one draw.

    Where all documents keep their labels, the labels of each test document too.
    """
    task, rng = read(), np.random.default_rng((draw, int(1000 * share)))
    own = {}
    for split in ("train", "validation"):
        count = len(task.vectors[split])
        least = min(count, 20)
        own[split] = rng.permutation(count)[: max(round(share * count), least)]
    kind, _, shuffled = row.partition(", ")
    pairs = task.pairs
    if shuffled:
        pairs = np.random.default_rng(draw).permutation(len(task.names))[pairs]

    def scores(weights: np.ndarray, bias: np.ndarray, split: str) -> np.ndarray:
        x = task.vectors[split]
        found = (x[own[split]] if split in own else x) @ weights.T + bias
        if kind == "consistent":
            found = np.asarray(F.descendant_max(found, pairs))
        # The ancestors of what is decided: those above a threshold below them.
        return np.asarray(F.descendant_max(found, task.pairs))

    truth = task.targets["validation"][own["validation"]] > 0
    x, y = (values["train"][own["train"]] for values in (task.vectors, task.targets))
    best, chosen = -1.0, None
    for weights, bias in trained(x, y, kind, pairs, steps):
        cut, value = best_cut(scores(weights, bias, "validation"), truth)
        if value > best:
            best, chosen = value, (weights, bias, cut)
    assert chosen is not None
    weights, bias, cut = chosen
    labels = scores(weights, bias, "test") >= cut
    micro, macro = f1(labels, task.targets["test"] > 0)
    cell: dict[str, Any] = {"micro": 100 * micro, "macro": 100 * macro}
    if share == 1:
        cell["labels"] = [np.flatnonzero(document).tolist() for document in labels]
    return cell


def best_cut(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The one threshold with the highest sum of micro- and macro-F1, and that sum."""
    count = scores.shape[1]
    place = np.searchsorted(CUTS, scores, side="right") * count + np.arange(count)
    size = count * (len(CUTS) + 1)
    # Documents of each label from each threshold upwards, [C, N].
    every, hits = (
        np.bincount(cells.ravel(), minlength=size)
        .reshape(-1, count)[:0:-1]
        .cumsum(0)[::-1]
        for cells in (place, place[truth])
    )
    either = every + truth.sum(0)
    present = truth.any(0)
    micro = 2 * hits.sum(1) / np.maximum(either.sum(1), 1)
    macro = (2 * hits / np.maximum(either, 1))[:, present].mean(1)
    best = int(np.argmax(micro + macro))
    return float(CUTS[best]), float(micro[best] + macro[best])


def with_exclusions(
    read: Callable[[], Task], least_expected: float, share: float
) -> dict[str, Any]:
    """What obeying mined exclusions does to the labels of the test documents.

    They are mined, as the labels are learned, from a share of the documents.
    """
    task, drawn = read(), np.random.default_rng((0, int(1000 * share)))
    own = {
        split: np.sort(drawn.permutation(count)[: max(round(share * count), 20)])
        for split in ("train", "validation")
        for count in [len(task.targets[split])]
    }
    task = task._replace(
        vectors=task.vectors | {s: task.vectors[s][i] for s, i in own.items()},
        targets=task.targets | {s: task.targets[s][i] for s, i in own.items()},
    )
    train, held = (csr_array(task.targets[s]) for s in own)
    mined = mine_rules(train, held, task.names, least_expected=least_expected)
    never = [m.rule for m in mined if m.rule.kind == "never"]
    sure = [rule for rule in never if (rule.weight or 0) >= BOUND]
    rng = np.random.default_rng(0)
    together = (train.T @ train).tocoo()
    beside = np.stack([together.row, together.col], 1)[together.row < together.col]

    def pairs_of(count: int) -> list[Rule]:
        drawn = [rng.choice(len(task.names), 2, replace=False) for _ in range(count)]
        return [Rule("never", tuple(task.names[i] for i in two)) for two in drawn]

    wrong = list(never)
    for place in rng.permutation(len(never))[: len(never) // 10 if len(beside) else 0]:
        two = beside[rng.integers(len(beside))]
        wrong[place] = Rule("never", tuple(task.names[i] for i in two))
    # A ridge of all labels at once: one solution, however many they are.
    x, y = task.vectors["train"], task.targets["train"]
    inner = np.linalg.inv(x.T @ x + 4.0 * np.eye(x.shape[1]))
    weights = inner @ (x.T @ (y - y.mean(0)))
    truth = task.targets["validation"] > 0
    base = {s: task.vectors[s] @ weights + y.mean(0) for s in ("validation", "test")}
    cut = max(
        np.linspace(0.05, 0.6, 56), key=lambda c: f1(base["validation"] >= c, truth)
    )
    found = base["test"] - cut
    started = time.perf_counter()
    plain = task.vectors["test"] @ weights + y.mean(0) >= cut
    seconds = time.perf_counter() - started
    rows: dict[str, Any] = {}
    sets = {"all mined": never, f"bound {BOUND} at least": sure}
    sets |= {"random": pairs_of(len(never)), "one in ten wrong": wrong}
    for name, rules in sets.items():
        clauses = LabelRules(tuple(rules), task.names).clauses
        started = time.perf_counter()
        obeyed = F.decode_rules(found, clauses).decided
        took = time.perf_counter() - started
        test = task.targets["test"] > 0
        broken = [len(F.broken_rules(d, clauses)[0]) for d in (plain, obeyed, test)]
        over = differences(
            csr_array(obeyed), {"plain": csr_array(plain)}, csr_array(test)
        )["plain"]
        # What no rule changes has no interval.
        gain = [100 * x for x in over["macro_f1"].values()] if broken[0] else [0.0]
        rows[f"{share:.0%}: {name}" if share < 1 else name] = {
            "exclusions": len(rules),
            "broken": broken[0],
            "broken_after": broken[1],
            "broken_by_truth": broken[2],
            "micro_before": 100 * f1(plain, test)[0],
            "micro_after": 100 * f1(obeyed, test)[0],
            "macro_gain": gain,
            "seconds": took,
        }
    return {"documents": len(plain), "product_seconds": seconds, "rows": rows}


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file holds, made where it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, make())
    return json.loads(path.read_text(encoding="utf-8"))


def interval(values: Sequence[float]) -> list[float]:
    """A mean with its 95 % interval over draws (Student's t), of several."""
    found = np.array(values)
    return [float(found.mean()), *(student_interval(found) or [])]


def gains_of(
    own: list[Any], flat: list[Any], read: Callable[[], Task]
) -> dict[str, list[float]]:
    """Micro- and macro-F1 of a row over flat, with intervals.

    The intervals are over draws; for one draw that has all documents, over test
    documents.
    """
    if "labels" not in own[0]:
        both = list(zip(own, flat, strict=True))
        return {m: interval([a[m] - b[m] for a, b in both]) for m in METRICS}
    truth = csr_array(read().targets["test"] > 0)
    decided, other = (
        label_sets(cell[0]["labels"], truth.shape) for cell in (own, flat)
    )
    found = differences(decided, {"flat": other}, truth)["flat"]
    return {m: [100 * x for x in found[f"{m}_f1"].values()] for m in METRICS}


def label_sets(lists: list[list[int]], shape: tuple[int, ...]) -> csr_array:
    """Lists of label ids as rows."""
    ends = np.cumsum([0, *map(len, lists)])
    ids = np.array([n for own in lists for n in own], np.int64)
    return csr_array((np.ones(len(ids), bool), ids, ends), shape=shape)


def hierarchy_page(name: str, shares: dict[str, Any]) -> list[str]:
    """The table of one corpus."""
    lines = [
        f"| {name} | micro | macro | micro over flat | macro over flat |",
        "|---|---|---|---|---|",
    ]
    for share, rows in shares.items():
        for row, cell in rows.items():
            values = [f"{np.mean(cell[m]):.1f}" for m in METRICS]
            values += [written(cell.get("gains", {}).get(m, [])) for m in METRICS]
            lines.append(f"| {float(share):.0%}: {ROWS[row]} | {' | '.join(values)} |")
    own = "Documents carry what lies above their labels: a task of its own, never to "
    return [*lines, "", f"{own}be compared with labels as given."]


def written(found: list[float]) -> str:
    """A difference and its interval, as far as they are there."""
    numbers = [f"{x:+.2f}" for x in found]
    return (
        f"{numbers[0]} [{', '.join(numbers[1:])}]" if numbers[1:] else "".join(numbers)
    )


def rules_page(name: str, found: dict[str, Any]) -> list[str]:
    """The table of one corpus."""
    lines = [
        f"| {name}, {found['documents']:,} test documents | exclusions | broken "
        "pairs | after | by the truth | micro before | after | macro gain | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row, x in found["rows"].items():
        counts = ("exclusions", "broken", "broken_after", "broken_by_truth")
        values = [f"{x[name]:,}" for name in counts]
        values += [f"{x[name]:.2f}" for name in ("micro_before", "micro_after")]
        values += [written(x["macro_gain"]), f"{x['seconds']:.2f}"]
        lines.append(f"| {row} | {' | '.join(values)} |")
    return lines


def compute(chosen: Arguments, command: str, pod: Any) -> None:
    """Fill the cells, and write the page."""
    unknown = [row for row in chosen.rows if row not in ROWS]
    if unknown:
        raise ValueError(f"--rows must be of {', '.join(ROWS)}; got {unknown[0]!r}")
    if chosen.draws < 1 or not all(0 < share <= 1 for share in chosen.shares):
        raise ValueError(
            "--draws must be at least 1, and --shares above 0 and at most 1"
        )
    say = progress(pod, quiet=chosen.quiet)
    Path(chosen.out).mkdir(parents=True, exist_ok=True)
    for name in chosen.corpora:
        started = time.perf_counter()
        short = Path(name).name.partition(".")[0]
        work = Path(chosen.work) / f"{short}{'-quick' * chosen.quick}"
        task = cache(partial(read_task, name, chosen))
        if chosen.part == "rules":
            parts = [
                kept(
                    work / f"rules-{share:g}.json",
                    partial(with_exclusions, task, chosen.least_expected, share),
                )
                for share in chosen.shares
            ]
            rows = {name: row for part in parts for name, row in part["rows"].items()}
            found = parts[-1] | {"rows": rows}
            lines = rules_page(short, found)
        elif chosen.part == "contrast":
            found = with_contrast(name, work, chosen, say)
            lines = contrast_page(short, found)
        else:
            found = with_hierarchy(task, work, chosen, say)
            lines = hierarchy_page(short, found)
        about = (
            f"`{command}`; commit {commit()}, "
            f"{platform.machine()}, {time.perf_counter() - started:.0f} s in this call"
        )
        title = f"label-structure-{chosen.part}-{short}{'-quick' * chosen.quick}"
        write_json(Path(chosen.out) / f"{title}.json", {"about": about, "found": found})
        page = [f"# Label structure: {chosen.part}, {short}", "", *lines, "", about]
        write_text(Path(chosen.out) / f"{title}.md", "\n".join(page) + ".\n")


def with_hierarchy(
    task: Callable[[], Task], work: Path, chosen: Arguments, say: Callable[[str], None]
) -> dict[str, Any]:
    """Every row of every share: F1 of each draw, and what it gains over flat."""
    steps = (5, 10) if chosen.quick else STEPS
    found: dict[str, Any] = {}
    for share in chosen.shares:
        # All documents are one draw, whichever it is.
        draws = 1 if share == 1 else chosen.draws
        rows: dict[str, Any] = {}
        flat: list[Any] = []
        for row in chosen.rows:
            own = [
                kept(
                    work / f"{share:g}-{row.replace(', ', '-')}-{draw}.json",
                    partial(measured, task, share, draw, row, steps),
                )
                for draw in range(draws)
            ]
            rows[row] = {m: [cell[m] for cell in own] for m in METRICS}
            flat = own if row == "flat" else flat
            if flat and row != "flat":
                rows[row]["gains"] = gains_of(own, flat, task)
            say(f"{work.name}, {share:.0%}, {row}: {rows[row]}")
        found[f"{share:g}"] = rows
    return found


def with_contrast(
    name: str, work: Path, chosen: Arguments, say: Callable[[str], None]
) -> dict[str, Any]:
    """Every row of the contrast by overlap: F1 and seconds of each seed, and gains."""
    read = cache(partial(corpus_of, name, chosen))
    usual = 2 if chosen.quick else 20
    rows: dict[str, list[Any]] = {}
    for seed in range(chosen.draws):

        def cell(row: str, weight: float, epochs: int, seed: int = seed) -> Any:
            place = work / f"contrast-{weight:g}-{epochs}-{seed}.json"
            found = kept(place, partial(whole_run, read, seed, weight, epochs))
            rows.setdefault(row, []).append(found)
            say(f"{work.name}, {row}, seed {seed}: {found}")
            return found

        plain = cell("without", 0.0, usual)
        contrast = cell("with", chosen.contrast, usual)
        longer = usual * contrast["seconds"] / plain["seconds"]
        cell("without, as long", 0.0, max(usual, round(longer)))
    ours = rows["with"]
    gains = {
        row: {
            m: interval([a[m] - b[m] for a, b in zip(ours, own, strict=True)])
            for m in METRICS
        }
        for row, own in rows.items()
        if own is not ours
    }
    return {"rows": rows, "gains": gains}


def whole_run(
    read: Callable[[], Corpus], seed: int, weight: float, epochs: int
) -> dict[str, Any]:
    """F1 of the test documents of a run with the contrast, in points, and its time."""
    config = preset("default")
    training = dataclasses.replace(config.training, seed=seed, epochs=epochs)
    loss = dataclasses.replace(config.loss, contrast=weight)
    config = dataclasses.replace(config, training=training, loss=loss)
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        found = fit(config, folder, corpus=read(), progress=False, say=said.append)
    metrics = found["test"]["metrics"]
    return {
        **{m: 100 * metrics[f"{m}_f1"] for m in METRICS},
        "seconds": found["training"]["seconds"],
        "epochs": epochs,
        "pairs": [line for line in said if "share some labels" in line],
    }


def contrast_page(name: str, found: dict[str, Any]) -> list[str]:
    """The table of one corpus."""
    lines = [
        f"| {name} | epochs | seconds | micro | macro | the contrast's gain in micro "
        "| in macro |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, own in found["rows"].items():
        means = [np.mean([c[k] for c in own]) for k in ("epochs", "seconds", *METRICS)]
        gains = [written(found["gains"].get(row, {}).get(m, [])) for m in METRICS]
        values = [f"{x:.1f}" for x in means] + gains
        lines.append(f"| {row} | {' | '.join(values)} |")
    pairs = next((c["pairs"][0] for c in found["rows"]["with"] if c["pairs"]), "")
    return [*lines, "", pairs]


def main(given: Sequence[str] | None = None) -> int:
    """Run the study, or what the options leave of it; return the exit code."""
    return run_command("label_structure", Arguments, compute, given)


if __name__ == "__main__":
    sys.exit(main())
