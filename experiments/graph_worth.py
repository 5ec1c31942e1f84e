"""What a label graph is worth: corpora, shares of labelled documents, forms of labels.

    python -m experiments.graph_worth
    python -m experiments.graph_worth --corpus debtags --shares 0.1 --draws 3

Linear heads on document vectors (TF-IDF and 200 principal directions, fitted to the
training texts): a free vector per label, its name's features, messages by
co-occurrence, taxonomy and likeness of names, and all of these as separate heads;
`auto`, which `choose_graph` chooses by cross-validation inside the labelled documents.
The same draws for every row; decisions from the cross-validation too. The test split is
read once, at the end. With `--document` two rows of label attention over the words too,
without and with a graph in every document. Writes OUT/graph-worth-CORPUS.json and .md.
A cell is kept in the work folder: a call that was stopped goes on where it was.
"""

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.document_rows import ROWS, Texts, decided_rows, words_read
from experiments.pod import ALONE, Pod, whole
from experiments.store import Part, Store
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    markdown_table,
    progress,
    require_at_least_one,
    run_command,
    student_interval,
    write_record,
)
from labelgraph_jax.config import ConfigError, DataConfig
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)
from labelgraph_jax.predictors.graph_choice import (
    LEAST_DOCUMENTS,
    NONE,
    choose_graph,
    graph_ways,
)
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.graph_worth import weighed_labels

FOLDERS = ("debtags", "hallmarks_of_cancer")
"""Corpora that are files of a folder in the data folder."""
BANDS = {
    "no labelled document": (0, 0),
    "1 to 50": (1, 50),
    "more than 50": (51, np.inf),
}
"""Labels by their labelled documents."""
AUTO = "auto"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Find out what a label graph is worth on a corpus."""

    corpus: str = "reuters21578"
    """stdlib_docs, reuters21578, goemotions, eurlex57k, debtags, hallmarks_of_cancer;
    or a file of labelled texts."""
    shares: tuple[float, ...] = (0.01, 0.1)
    """Of the training documents that are labelled."""
    draws: int = 5
    """Of the labelled documents; of all of them there is one."""
    document: bool = False
    """Rows of label attention too, without and with messages that depend on the
    document; minutes a draw."""
    most_labels: int = 1_000
    """Of more labels so many are drawn, the same for every row."""
    resamples: int = 500
    """Bootstrap draws."""
    quick: bool = False
    """See that everything works: 1 share, 2 draws; file names end in -quick."""
    work: str = "workdirs/graph_worth"
    """Where vectors and cells are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (2: an argument is wrong)."""
    return run_command("graph_worth", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Compute the cells that are missing and write the table down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: the corpus cannot be read.
    """
    require_at_least_one(chosen, "draws", "resamples", "most_labels")
    if not all(0 < share <= 1 for share in chosen.shares):
        raise ConfigError(f"--shares must lie in (0, 1], got {chosen.shares}")
    if not pod.writes:
        return
    if chosen.quick:
        chosen = dataclasses.replace(chosen, shares=chosen.shares[:1], draws=2)
    record = Study(chosen, progress(pod, quiet=chosen.quiet)).record()
    record["command"] = command
    name = f"graph-worth-{Path(chosen.corpus).stem}" + "-quick" * chosen.quick
    write_record(chosen.out, name, record, page(record))


def source(chosen: Arguments) -> DataConfig:
    """Where the documents of a corpus are."""
    home = Path(chosen.data_dir or os.environ.get("LABELGRAPH_DATA", ""))
    if chosen.corpus in FOLDERS:
        folder = home / chosen.corpus
        taxonomy = folder / "taxonomy.tsv"
        train, dev, test = (
            str(folder / f"{part}.jsonl.xz") for part in ("train", "dev", "test")
        )
        return DataConfig(
            data=train,
            validation=dev,
            test=test,
            taxonomy=str(taxonomy) * taxonomy.is_file(),
        )
    if Path(chosen.corpus).is_file():
        return DataConfig(data=chosen.corpus)
    return DataConfig(corpus=chosen.corpus, data_dir=chosen.data_dir)


class Study:
    """One corpus.

    Args:
        chosen: the options.
        say: takes a line about what is going on.
    """

    def __init__(self, chosen: Arguments, say: Any) -> None:
        self.chosen, self.say = chosen, say
        self.work = Path(chosen.work)
        keep_compilations(self.work / "compiled")
        self.store = Store(self.work, say)
        self.data = self._vectors()

    def _vectors(self) -> dict[str, np.ndarray]:
        document = "words-" * self.chosen.document
        path = self.work / f"vectors-{document}{Path(self.chosen.corpus).stem}.npz"
        if not path.is_file():
            corpus = read_corpus(source(self.chosen))
            labels = LabelSpace.from_documents(
                corpus.train, corpus.label_descriptions, corpus.parents
            )
            read = weighed_labels(corpus.train, labels, corpus.test)
            parts: dict[str, Any] = {
                "train": read.vectors,
                "targets": read.targets,
                "names": read.names,
                "test": read.others,
                "truth": np.asarray(labels.targets(corpus.test)[0], np.float32),
            }
            if read.parents is not None:
                parts["parents"] = read.parents
            if document:
                texts = ([d.text for d in s] for s in (corpus.train, corpus.test))
                words = words_read(*texts)
                parts |= {"words": words.vectors, "ids": words.ids}
            self.work.mkdir(parents=True, exist_ok=True)
            with whole(path) as unfinished, unfinished.open("wb") as stream:
                np.savez_compressed(stream, **parts)
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
        total = len(found["names"])
        if total > self.chosen.most_labels:
            rng = np.random.default_rng(1)
            drawn = np.sort(rng.permutation(total)[: self.chosen.most_labels])
            for name in ("targets", "truth"):
                found[name] = found[name][:, drawn]
            found["names"] = found["names"][drawn]
            if "parents" in found:
                place = np.full(total, -1)
                place[drawn] = np.arange(len(drawn))
                pairs = place[found["parents"]]
                found["parents"] = pairs[(pairs >= 0).all(axis=1)]
        return found

    def draws(self, share: float) -> int:
        """How many draws of a share there are."""
        return 1 if share == 1 else self.chosen.draws

    def cell(self, share: float, draw: int) -> Part | None:
        """Return what every row decides of the test documents, in one draw.

        None where there are too few labelled documents.
        """
        data = self.data
        total = len(data["train"])
        order = np.random.default_rng((draw, 99)).permutation(total)
        rows = order[: round(share * total)]
        if len(rows) < LEAST_DOCUMENTS:
            return None
        identity = {
            "graph worth of": Path(self.chosen.corpus).stem,
            "sizes": [total, len(data["test"]), data["targets"].shape[1]],
            "share": share,
            "draw": draw,
        }

        def learn() -> Part:
            choice = choose_graph(
                data["train"][rows],
                data["targets"][rows],
                data["names"],
                parents=data.get("parents"),
                seed=draw,
                say=self.say,
            )
            part: Part = {"counts": data["targets"][rows].sum(axis=0)}
            for name, head in choice.heads.items():
                decided = head.decision.decide(head.predict(data["test"]))
                part[f"decided {name}"] = np.packbits(decided)
            about = {
                "auto": choice.kind,
                "sure": choice.sure,
                "strengths": choice.strengths,
                "cross-fitted": {n: g["mean_f1"] for n, g in choice.gains.items()},
            }
            part["about"] = np.asarray(json.dumps(about))
            return part

        part = self.store.part(f"{share:g} labelled, draw {draw}", identity, learn)
        if not self.chosen.document:
            return part

        def attend() -> Part:
            found = decided_rows(
                Texts(data["words"], data["ids"]),
                rows,
                data["targets"][rows],
                np.arange(total, len(data["ids"])),
                seed=draw,
            )
            return {f"decided {name}": np.packbits(d) for name, d in found.items()}

        also = identity | {"document": True}
        return {
            **self.store.part(f"{share:g}, draw {draw}, label attention", also, attend),
            **part,
        }

    def record(self) -> dict[str, Any]:
        """Every number of the table."""
        started = time.perf_counter()
        chosen, data = self.chosen, self.data
        parts: dict[float, list[Part]] = {}
        for draw, share in itertools.product(range(chosen.draws), chosen.shares):
            if draw < self.draws(share):
                part = self.cell(share, draw)
                if part is not None:
                    parts.setdefault(share, []).append(part)
        self.say(f"all cells, {time.perf_counter() - started:.0f} s; the statistics")
        return {
            "corpus": Path(chosen.corpus).stem,
            "documents": [len(data["train"]), len(data["test"])],
            "labels": data["targets"].shape[1],
            "taxonomy": "parents" in data,
            "shares": [self._share(share, own) for share, own in parts.items()],
            "seconds": round(self.store.seconds),
            "commit": commit(),
        }

    def _share(self, share: float, parts: list[Part]) -> dict[str, Any]:
        data, resamples = self.data, self.chosen.resamples
        truth = data["truth"] > 0
        # Of every row the one that differs in its messages alone, where there is one.
        ways = {
            way.name: way.without_message if way.adjacency else ""
            for way in graph_ways(names=True, taxonomy="parents" in data)
        } | ROWS
        ways = {n: base for n, base in ways.items() if f"decided {n}" in parts[0]}
        about = [json.loads(str(part["about"])) for part in parts]
        once = np.ones((1, len(truth)), int)
        draws = np.concatenate([once, document_draws(len(truth), resamples)])
        runs = run_draws(len(parts), resamples)
        values: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in ways}
        for name, part in itertools.product(ways, parts):
            packed = part[f"decided {name}"]
            decided = np.unpackbits(packed, count=truth.size).reshape(truth.shape) > 0
            found = dict(resampled_f1(decided, truth, draws))
            for band, (least, most) in BANDS.items():
                counts = part["counts"]
                columns = (least <= counts) & (counts <= most) & truth.any(axis=0)
                if columns.any():
                    cells = decided[:, columns], truth[:, columns]
                    found[band] = resampled_f1(*cells, draws)["macro_f1"]
            values[name].append(found)
        values[AUTO] = [values[one["auto"]][i] for i, one in enumerate(about)]

        def gain(name: str, base: str, metric: str) -> dict[str, Any]:
            own, other = (
                np.stack([one[metric] for one in values[n]], axis=1)
                for n in (name, base)
            )
            more = own[0] - other[0]
            interval = paired_interval(
                own[1:], other[1:], runs, difference=float(more.mean())
            )
            spread = student_interval(more) if len(more) > 1 else None
            return {
                "gain": float(more.mean()),
                "interval": [interval.low, interval.high],
                "draw_interval": spread,
                "gains": more.tolist(),
            }

        rows = []
        for name in (*ways, AUTO):
            metrics = [m for m in values[name][0] if all(m in v for v in values[name])]
            entry: dict[str, Any] = {
                "row": name,
                **{m: float(np.mean([v[m][0] for v in values[name]])) for m in metrics},
            }
            if name != NONE:
                entry["over none"] = {m: gain(name, NONE, m) for m in metrics}
            base = ways.get(name, "")
            if base not in ("", NONE):
                entry["messages"] = {m: gain(name, base, m) for m in metrics}
            rows.append(entry)
        labelled = [part["counts"] for part in parts]
        return {
            "share": share,
            "labelled": round(share * len(data["train"])),
            "draws": len(parts),
            "bands": {
                band: float(np.mean([((a <= c) & (c <= b)).sum() for c in labelled]))
                for band, (a, b) in BANDS.items()
            },
            "about": about,
            "rows": rows,
        }


def page(record: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = [
        f"# What a label graph is worth: {record['corpus']}",
        "",
        f"`{record['command']}`",
        "",
        f"{record['documents'][0]:,} training and {record['documents'][1]:,} test "
        f"documents, {record['labels']:,} labels. Linear heads on TF-IDF and 200 "
        "principal directions. F1 x 100, mean over draws; gains in points, 95 % over "
        "draws and test documents: over `none`, a free vector per label, and of "
        "messages over the same form without them.",
    ]

    def shown(gain: dict[str, Any] | None) -> str:
        if gain is None:
            return ""
        low, high = (100 * bound for bound in gain["interval"])
        return f"{100 * gain['gain']:+.1f} [{low:+.1f}, {high:+.1f}]"

    for part in record["shares"]:
        kinds = ", ".join(f"`{one['auto']}`" for one in part["about"])
        lines += [
            "",
            f"## {100 * part['share']:g} %: {part['labelled']:,} labelled documents, "
            f"{part['draws']} draw{'s' * (part['draws'] > 1)}",
            "",
            f"auto chose: {kinds}.",
            "",
        ]
        bands = [band for band in BANDS if band in part["rows"][0]]
        header = ["row", "micro", "macro", "micro, gain", "macro, gain"]
        header += ["macro, of messages"]
        header += [f"macro gain, {band} ({part['bands'][band]:.0f})" for band in bands]
        table = []
        for row in part["rows"]:
            over, messages = row.get("over none", {}), row.get("messages", {})
            cells = [row["row"]]
            cells += [f"{100 * row[m]:.1f}" for m in ("micro_f1", "macro_f1")]
            cells += [shown(over.get(m)) for m in ("micro_f1", "macro_f1")]
            cells += [shown(messages.get("macro_f1"))]
            cells += [shown(over.get(band)) for band in bands]
            table.append(cells)
        lines += markdown_table(header, table).splitlines()
    lines += ["", f"Computed in {record['seconds']:,} s at {record['commit']}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
