"""What unlabelled documents are worth where few are labelled.

    python -m experiments.few_labels
    python -m experiments.few_labels --corpus debtags --shares 0.05 --arm raw

Of the training documents a share is labelled and the others are not. Linear heads on
document vectors: `supervised`, tuned by cross-fitting inside the labelled documents,
thresholds too; the same with what each way makes of the unlabelled documents; `auto`,
which `choose_semi` chooses on the labelled ones alone; `oracle`, with all labels. The
same draws for every row. The test split is read once, at the end. Writes
OUT/few-labels-CORPUS.json and .md. A cell is kept in the work folder: a call that was
stopped goes on where it was.
"""

import dataclasses
import functools
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.few_labels_corpora import Vectors, vectors_of
from experiments.pod import ALONE, Pod
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
from labelgraph_jax.config import ConfigError
from labelgraph_jax.functional.many_labels.retrieval import Neighbours
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)
from labelgraph_jax.predictors.few_labels import KINDS, choose_semi
from labelgraph_jax.training.few_labels import document_graph

ROWS = ("none", *KINDS, "auto")
NAMES = {"none": "supervised"}
BANDS = {
    "labels on 1 % or more": (0.01, 1.1),
    "0.2 to 1 %": (0.002, 0.01),
    "below 0.2 %": (0.0, 0.002),
}
"""Of the training documents."""
ARMS = {
    "rest": "the other training documents",
    "raw": "documents that nobody labelled",
    "half": "the others, half of those with the most frequent label left out",
    "double": "the others, half of those without the most frequent label left out",
}
MOST_ORACLE = 10_000
COLUMNS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Learn from few labelled documents and many unlabelled ones."""

    corpus: str = "reuters21578"
    """reuters21578, goemotions, eurlex57k (its frequent labels), debtags, stdlib_docs;
    or a file of labelled texts."""
    shares: tuple[float, ...] = (0.01, 0.05, 0.1)
    """Of the training documents that are labelled."""
    draws: int = 5
    """Of the labelled documents."""
    arm: str = "rest"
    """What the unlabelled documents are: rest, raw, half, double."""
    most_unlabelled: int = 8_000
    """Of them, at most."""
    pretrained: str = "minilm"
    """The encoder whose vectors the token table imitates."""
    resamples: int = 500
    """Bootstrap draws."""
    oracle: bool = True
    """Also fit all labels (of 10,000 documents at most)."""
    quick: bool = False
    """See that everything works: 1 share, 2 draws; file names end in -quick."""
    work: str = "workdirs/few_labels"
    """Where vectors and cells are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (2: an argument is wrong)."""
    return run_command("few_labels", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Compute the cells that are missing and write the table down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: the corpus cannot be read.
    """
    require_at_least_one(chosen, "draws", "resamples", "most_unlabelled")
    if chosen.arm not in ARMS:
        raise ConfigError(f"--arm must be of {', '.join(ARMS)}; got {chosen.arm!r}")
    if not all(0 < share < 1 for share in chosen.shares):
        raise ConfigError(f"--shares must lie between 0 and 1, got {chosen.shares}")
    if not pod.writes:
        return
    if chosen.quick:
        chosen = dataclasses.replace(chosen, shares=chosen.shares[:1], draws=2)
    record = Study(chosen, progress(pod, quiet=chosen.quiet)).record()
    record["command"] = command
    arm = "" if chosen.arm == "rest" else f"-{chosen.arm}"
    name = f"few-labels-{Path(chosen.corpus).stem}{arm}" + "-quick" * chosen.quick
    write_record(chosen.out, name, record, page(record))


class Study:
    """One corpus and one kind of unlabelled documents.

    Args:
        chosen: the options.
        say: takes a line about what is going on.
    """

    def __init__(self, chosen: Arguments, say: Any) -> None:
        self.chosen, self.say = chosen, say
        work = Path(chosen.work)
        keep_compilations(work / "compiled")
        self.store = Store(work, say)
        self.data: Vectors = vectors_of(
            chosen.corpus,
            work,
            pretrained=chosen.pretrained,
            data_dir=chosen.data_dir,
            say=say,
        )
        if chosen.arm == "raw" and not len(self.data.raw):
            raise ConfigError(f"{chosen.corpus} has no unlabelled documents of its own")

    def _drawn(self, share: float, draw: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows that are labelled, and those that are not; None for raw ones."""
        data, arm = self.data, self.chosen.arm
        order = np.random.default_rng((draw, 99)).permutation(len(data.train))
        count = round(share * len(order))
        labelled, others = order[:count], order[count:]
        if arm == "raw":
            return labelled, None
        if arm in ("half", "double"):
            frequent = data.train_targets.sum(axis=0).argmax()
            thinned = data.train_targets[others, frequent] == (arm == "half")
            coin = np.random.default_rng((draw, 98)).random(len(others)) < 0.5
            others = others[~(thinned & coin)]
        return labelled, others[: self.chosen.most_unlabelled]

    def _graph(
        self, labelled: np.ndarray, rows: np.ndarray | None
    ) -> Neighbours | None:
        """The document graph of a draw, where it is that of all training documents."""
        total = len(self.data.train)
        if rows is None or len(labelled) + len(rows) < total:
            return None
        order = np.concatenate([labelled, rows])
        place = np.empty(total, np.int64)
        place[order] = np.arange(total)
        whole = self._whole
        return Neighbours(
            jnp.asarray(whole.similarities)[order],
            jnp.asarray(place[whole.rows][order]),
        )

    @functools.cached_property
    def _whole(self) -> Neighbours:
        return document_graph(self.data.train)

    def cell(self, share: float, draw: int) -> Part:
        """What every row decides of the test documents, one draw."""
        data, chosen = self.data, self.chosen
        identity = {
            "corpus": Path(chosen.corpus).stem,
            "vectors": [len(data.train), len(data.test), data.cosine],
            "share": share,
            "draw": draw,
            "arm": chosen.arm,
            "most": chosen.most_unlabelled,
            "kinds": KINDS,
        }

        def learn() -> Part:
            labelled, rows = self._drawn(share, draw)
            others = data.raw if rows is None else data.train[rows]
            if rows is None:
                order = np.random.default_rng((draw, 97)).permutation(len(others))
                others = others[order[: chosen.most_unlabelled]]
            targets = data.train_targets[labelled]
            present = targets.any(axis=0)
            # Labels without a labelled document are decided never. Some of them fill
            # the columns up: fewer shapes are compiled.
            order = np.argsort(~present, kind="stable")
            count = -(-int(present.sum()) // COLUMNS) * COLUMNS
            columns = np.sort(order[:count])
            choice = choose_semi(
                data.train[labelled],
                targets[:, columns],
                others,
                seed=draw,
                graph=self._graph(labelled, rows),
            )
            part: Part = {"present": present, "unlabelled": np.asarray(len(others))}
            for kind, head in choice.heads.items():
                decided = np.zeros(data.test_targets.shape, bool)
                decided[:, columns] = head.decision.decide(head.predict(data.test))
                decided &= present
                part[f"decided_{kind}"] = np.packbits(decided)
            about = {
                "auto": choice.kind,
                "apart": choice.apart,
                "strength": choice.strength,
                "sure": choice.sure,
                "gains": {k: g["mean_f1"] for k, g in choice.gains.items()},
                "precision": {
                    kind: float(
                        np.nansum(p.precision * p.positives) / max(p.positives.sum(), 1)
                    )
                    for kind, p in choice.pseudo.items()
                },
            }
            part["about"] = np.asarray(json.dumps(about))
            return part

        return self.store.part(f"{share:g} labelled, draw {draw}", identity, learn)

    def oracle(self) -> dict[str, float]:
        """F1 of the supervised head with all labels."""
        data = self.data

        def learn() -> Part:
            rows = np.random.default_rng(0).permutation(len(data.train))[:MOST_ORACLE]
            targets = data.train_targets[rows]
            head = choose_semi(data.train[rows], targets, data.raw[:0]).heads["none"]
            decided = head.decision.decide(head.predict(data.test))
            return {"decided": np.packbits(decided)}

        identity = {"corpus": Path(self.chosen.corpus).stem, "oracle": MOST_ORACLE}
        identity["vectors"] = [len(data.train), len(data.test), data.cosine]
        part = self.store.part("oracle", identity, learn)
        once = np.ones((1, len(data.test)), int)
        found = resampled_f1(self._bits(part["decided"]), data.test_targets, once)
        return {name: float(values[0]) for name, values in found.items()}

    def _bits(self, packed: np.ndarray) -> np.ndarray:
        shape = self.data.test_targets.shape
        return np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape) > 0

    def record(self) -> dict[str, Any]:
        """Every number of the table."""
        started = time.perf_counter()
        chosen, data = self.chosen, self.data
        cells = {
            (share, draw): self.cell(share, draw)
            for draw, share in itertools.product(range(chosen.draws), chosen.shares)
        }
        oracle = self.oracle() if chosen.oracle else None
        self.say(f"all cells, {time.perf_counter() - started:.0f} s; the statistics")
        frequency = data.train_targets.mean(axis=0)
        bands = {
            name: np.flatnonzero((low <= frequency) & (frequency < high))
            for name, (low, high) in BANDS.items()
        }
        return {
            "corpus": Path(chosen.corpus).stem,
            "arm": chosen.arm,
            "documents": [len(data.train), len(data.test)],
            "labels": data.test_targets.shape[1],
            "cosine": data.cosine,
            "draws": chosen.draws,
            "oracle": oracle,
            "bands": {name: len(columns) for name, columns in bands.items()},
            "shares": [self._share(share, cells, bands) for share in chosen.shares],
            "seconds": self.store.seconds,
            "commit": commit(),
        }

    def _share(
        self, share: float, cells: Any, bands: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        truth, resamples = self.data.test_targets, self.chosen.resamples
        parts = [cells[share, draw] for draw in range(self.chosen.draws)]
        about = [json.loads(str(part["about"])) for part in parts]
        draws = document_draws(len(truth), resamples)
        draws = np.concatenate([np.ones((1, len(truth)), int), draws])
        values: dict[str, list[dict[str, np.ndarray]]] = {}
        for row in ROWS[:-1]:
            for part in parts:
                decided = self._bits(part[f"decided_{row}"])
                found = dict(resampled_f1(decided, truth, draws))
                once = draws[:1]
                for name, columns in bands.items():
                    if len(columns):
                        found[name] = resampled_f1(
                            decided[:, columns], truth[:, columns], once
                        )["macro_f1"]
                seen = part["present"]
                found["macro_f1, labels with a labelled document"] = resampled_f1(
                    decided[:, seen], truth[:, seen], once
                )["macro_f1"]
                values.setdefault(row, []).append(found)
        values["auto"] = [values[one["auto"]][i] for i, one in enumerate(about)]
        rows = []
        for row in ROWS:
            entry: dict[str, Any] = {"row": NAMES.get(row, row)}
            for metric in values[row][0]:
                own = np.array([found[metric][0] for found in values[row]])
                base = np.array([found[metric][0] for found in values["none"]])
                entry[metric] = {
                    "mean": float(own.mean()),
                    "sd": statistics.stdev(own) if len(own) > 1 else None,
                    "gain": float((own - base).mean()),
                    "gains": (own - base).tolist(),
                }
                if row != "none" and metric in ("micro_f1", "macro_f1"):
                    drawn, plain = (
                        np.stack([one[metric][1:] for one in values[name]], axis=1)
                        for name in (row, "none")
                    )
                    runs = run_draws(len(own), resamples)
                    gain = float((own - base).mean())
                    interval = paired_interval(drawn, plain, runs, difference=gain)
                    entry[metric]["interval"] = [interval.low, interval.high]
                    entry[metric]["draw_interval"] = student_interval(own - base)
            rows.append(entry)
        return {
            "share": share,
            "labelled": round(share * len(self.data.train)),
            "unlabelled": int(parts[0]["unlabelled"]),
            "labels_seen": [int(part["present"].sum()) for part in parts],
            "about": about,
            "rows": rows,
        }


def page(record: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        f"# Few labels: {record['corpus']}, unlabelled: {ARMS[record['arm']]}",
        "",
        f"`{record['command']}`",
        "",
        f"{record['documents'][0]:,} training and {record['documents'][1]:,} test "
        f"documents, {record['labels']} labels, {record['draws']} draws. Static token "
        f"table (cosine {record['cosine']:.2f} to MiniLM on texts held out), linear "
        "heads. F1 x 100, mean over draws; gains over the supervised head in points, "
        "95 % over draws and test documents.",
    ]
    if record["oracle"]:
        micro, macro = (100 * record["oracle"][m] for m in ("micro_f1", "macro_f1"))
        lines += ["", f"All labels (oracle): {micro:.1f} / {macro:.1f}."]
    for part in record["shares"]:
        chosen = ", ".join(one["auto"] for one in part["about"])
        apart = statistics.fmean(one["apart"] for one in part["about"])
        lines += [
            "",
            f"## {100 * part['share']:g} %: {part['labelled']:,} labelled, "
            f"{part['unlabelled']:,} unlabelled",
            "",
            f"auto chose: {chosen}. A probe tells {100 * apart:.0f} % of unlabelled "
            "and labelled documents apart.",
            "",
        ]
        bands = [name for name in record["bands"] if name in part["rows"][0]]
        header = ["row", "micro", "macro", "gain micro", "gain macro"]
        header += [f"macro gain, {name}" for name in bands]
        table = []
        for row in part["rows"]:
            cells = [row["row"]]
            cells += [f"{100 * row[m]['mean']:.1f}" for m in ("micro_f1", "macro_f1")]
            for metric in ("micro_f1", "macro_f1"):
                gain = row[metric]
                if "interval" not in gain:
                    cells.append("")
                    continue
                low, high = (100 * bound for bound in gain["interval"])
                cells.append(f"{100 * gain['gain']:+.2f} [{low:+.2f}, {high:+.2f}]")
            cells += [f"{100 * row[name]['gain']:+.2f}" for name in bands]
            table.append(cells)
        lines += markdown_table(header, table).splitlines()
    lines += ["", f"Computed in {record['seconds']:.0f} s at {record['commit']}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
