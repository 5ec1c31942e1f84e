"""What a static encoder keeps of the transformer that it imitates, on labelled texts.

    python -m experiments.static_encoder
    python -m experiments.static_encoder --corpus goemotions --rows minilm static

Rows: frozen MiniLM (the mean of 128 token vectors, length 1); the table distilled from
it and fitted to the training texts; the same table over 512 tokens, which cost a lookup
nothing; every token alone, without the fit; the bag of n-grams of `--preset
reuters-bag`; `bag+static`, the logits of two runs weighed on validation, as `labelgraph
ensemble` joins them. The four that are one vector per document have the same head, with
the learning rate and dropout that are best on validation with seed 0: label graph and
all, or, of more than 128 labels, a linear one. Writes
OUT/static-encoder-CORPUS.json and .md. Reuters, three seeds: MiniLM takes about 5
minutes to read the texts on two cores, once; every row of vectors 5, the bag 7 a seed.
Runs are kept in the work folder: a call that was stopped goes on where it was.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from experiments.pod import ALONE, Pod, end
from experiments.store import Part, Store
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    markdown_table,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from experiments.tables.corpus import Arrays, TableCorpus
from experiments.tables.running import (
    Laboratory,
    train_alone,
    train_together,
    with_seed,
)
from experiments.tables.store import SeedRun
from experiments.text.runs import TextRun
from experiments.text.statistics import differences, f1_rows
from labelgraph_jax.config import Config, ConfigError, DataConfig, TextConfig, to_dict
from labelgraph_jax.config.presets import preset
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.documents import encode_documents
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.measure import validation_metrics
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.static_encoder import StaticEncoder, token_shares
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.distil import tokens_alone, weighed
from labelgraph_jax.runs.encoders import static_encoder
from labelgraph_jax.runs.label_graph import label_graph_arrays
from labelgraph_jax.runs.labels import prepare

ROWS = {
    "minilm": "frozen MiniLM, mean of 128 tokens",
    "static": "static, fitted to the training texts",
    "static-long": "the same, read to 512 tokens",
    "alone": "static, every token alone",
    "bag": "bag of words, pairs and parts of words",
    "bag+static": "bag and static, logits joined",
}
REFERENCE = "minilm"
RATES, DROPOUTS = (3e-3, 1e-2, 3e-2), (0.1, 0.3)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the static run's logits beside the bag's."""
LENGTH, LONG = 128, 512
EPOCHS, BATCH_SIZE = 30, 64
MANY_LABELS, FEWER_EPOCHS = 1_000, 10
"""Of so many labels a head is trained for fewer epochs."""
LINEAR_RATES = (1e-2, 3e-2, 1e-1)
"""Of a head without a label graph."""
GRAPH_LABELS = 128
"""Of more labels the heads have no label graph: a step of one would cost many times
what the vectors do, which are what differs."""
TIMED = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Compare a static encoder with its transformer and with a bag of words."""

    corpus: str = "reuters21578"
    """A named corpus, or a file of labelled texts of your own."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows; minilm is always there, and with bag+static the bag and static."""
    pretrained: str = "minilm"
    """The transformer: local folder, installed package, or hub id."""
    seeds: int = 3
    """Seeds 0, 1, ... of every row."""
    resamples: int = 1000
    """Bootstrap draws."""
    quick: bool = False
    """See that everything works: 1 epoch, one head; file names end in -quick."""
    work: str = "workdirs/static_encoder"
    """Where runs are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("static_encoder", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Trains what is missing and writes the table down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: the corpus cannot be read.
    """
    require_at_least_one(chosen, "seeds", "resamples")
    for row in chosen.rows:
        if row not in ROWS:
            raise ConfigError(f"--rows must be of {', '.join(ROWS)}; got {row!r}")
    if not pod.writes:
        return
    record = Study(chosen, progress(pod, quiet=chosen.quiet)).record()
    record["command"] = command
    name = f"static-encoder-{Path(chosen.corpus).stem}" + "-quick" * chosen.quick
    write_record(chosen.out, name, record, page(record))


@dataclasses.dataclass(frozen=True)
class VectorCorpus(TableCorpus):
    """A corpus of which every document is one vector.

    Attributes:
        vectors: `[M, D]` of every split.
        reader: reads the names of labels.
    """

    vectors: dict[str, np.ndarray]
    reader: FrozenEncoder | StaticEncoder

    @functools.cached_property
    def arrays(self) -> dict[str, Arrays]:
        """Documents of one token, whose mean is the vector itself."""
        parts = {
            "train": self.prepared.train_documents,
            "validation": self.prepared.validation_documents,
            "test": self.test,
        }
        found: dict[str, Arrays] = {}
        for name, part in parts.items():
            targets, mask = part.examples.multi_hot, part.examples.target_mask
            vectors = self.vectors[name][:, None]
            found[name] = {
                "targets": targets,
                "token_vectors": vectors,
                "token_mask": np.ones(vectors.shape[:2], bool),
            } | ({} if mask is None else {"target_mask": np.asarray(mask)})
        return found

    def label_graph(self, config: Config) -> LabelGraphArrays:
        """What the label graph starts from: label names as this row reads them."""
        prepared = self.prepared
        examples = prepared.train_documents.examples
        return label_graph_arrays(
            config,
            prepared.labels,
            examples.targets,
            prepared.tokenizer,
            self.reader,
            examples.target_mask,
        )


class Study:
    """One corpus, read and encoded once.

    Args:
        chosen: the options.
        say: takes a line about what is going on.
    """

    def __init__(self, chosen: Arguments, say: Any) -> None:
        self.chosen, self.say = chosen, say
        self.store = Store(Path(chosen.work), say)
        keep_compilations(Path(chosen.work) / "compiled")
        named = not Path(chosen.corpus).exists()
        fraction = {"validation_fraction": 0.06} if "reuters" in chosen.corpus else {}
        source = {"corpus" if named else "data": chosen.corpus}
        self.data = DataConfig(**source, data_dir=chosen.data_dir, **fraction)  # type: ignore[arg-type]
        folder = find_pretrained(chosen.pretrained)
        self.teacher = FrozenEncoder.load(folder, cache=cache_folder("encodings"))
        self.length = min(LENGTH, self.teacher.shape.max_positions // 8 * 8)
        train = read_corpus(self.data).train
        self.label_count = len({label for one in train for label in one.labels})
        self.config = self.configuration(RATES[0], DROPOUTS[0])
        prepared = prepare(self.config, say)
        text = self.config.text
        test = encode_documents(
            prepared.corpus.test, prepared.labels, prepared.tokenizer, text
        )
        static = static_encoder(text, prepared.corpus.train)
        assert static is not None and isinstance(prepared.tokenizer, Tokenizer)
        self.static, self.tokenizer = static, prepared.tokenizer
        # Vectors are given: there is no table to put values in.
        prepared = dataclasses.replace(prepared, initial_values={})
        self.base = TableCorpus(self.config, prepared, test, None, Path(chosen.work))
        self.sequences = {
            name: [windows[0] for windows in part.examples.windows or ()]
            for name, part in (
                ("train", prepared.train_documents),
                ("validation", prepared.validation_documents),
                ("test", test),
            )
        }

    def configuration(self, rate: float, dropout: float, width: int = 256) -> Config:
        """The head over one vector per document of that width, resolved."""
        plain = preset("reuters-bag")
        epochs = EPOCHS if self.label_count < MANY_LABELS else FEWER_EPOCHS
        layers = plain.graph.layers if self.label_count <= GRAPH_LABELS else 0
        return dataclasses.replace(
            plain,
            data=self.data,
            graph=dataclasses.replace(plain.graph, layers=layers),
            text=TextConfig(
                vectors="static",
                pretrained=self.chosen.pretrained,
                trainable=False,
                max_length=self.length,
                dim=width,
                dropout=dropout,
                token_dropout=0.0,
            ),
            training=dataclasses.replace(
                plain.training,
                epochs=1 if self.chosen.quick else epochs,
                batch_size=BATCH_SIZE,
                learning_rate=rate,
            ),
        ).resolved()

    def corpus(self, row: str) -> VectorCorpus:
        """The vectors of a row."""
        reader: FrozenEncoder | StaticEncoder = self.static
        if row == "minilm":
            reader = self.teacher
        elif row == "alone":
            reader = self._alone()
        sequences = self.sequences
        if row == "static-long":
            splits = self.base.prepared.corpus.splits
            for name, documents in splits.items():
                texts = [document.text for document in documents]
                windows = self.tokenizer.encode(texts, max_length=LONG).windows
                sequences = sequences | {name: [one[0] for one in windows]}
        vectors = {n: reader.sequence_vectors(s) for n, s in sequences.items()}
        parts = {
            f.name: getattr(self.base, f.name) for f in dataclasses.fields(self.base)
        }
        return VectorCorpus(**parts, vectors=vectors, reader=reader)

    def _alone(self) -> StaticEncoder:
        """The start of the fit, whole."""
        size = self.tokenizer.vocabulary_size
        shares = token_shares(self.sequences["train"], size)
        targets = self.teacher.sequence_vectors(self.sequences["train"])
        alone = self.teacher.sequence_vectors(tokens_alone(self.tokenizer))
        return StaticEncoder(weighed(alone, shares, targets), self.tokenizer, {})

    def runs(self, row: str) -> tuple[list[SeedRun], dict[str, Any]]:
        """The finished runs of a row, trained if missing, and what was tried."""
        seeds = list(range(self.chosen.seeds))
        if row == "bag":
            return self._bag(seeds), {}
        corpus = self.corpus(row)
        width = corpus.vectors["train"].shape[1]
        rates = RATES if self.label_count <= GRAPH_LABELS else LINEAR_RATES
        grid = list(itertools.product(rates, DROPOUTS))
        tried = {}
        for rate, dropout in grid[:1] if self.chosen.quick else grid:
            title = f"{row}, rate {rate:g}, dropout {dropout:g}"
            config = self.configuration(rate, dropout, width)
            (run,) = self._trained(title, corpus, config, [0])
            tried[rate, dropout] = run.best_validation
        best = max(tried, key=lambda pair: tried[pair])
        title = f"{row}, {len(seeds)} seeds"
        found = self._trained(title, corpus, self.configuration(*best, width), seeds)
        settings = {"learning_rate": best[0], "dropout": best[1]}
        values = {f"{r:g}, {d:g}": value for (r, d), value in tried.items()}
        return found, settings | {"tried": values}

    def _trained(
        self, title: str, corpus: VectorCorpus, config: Config, seeds: list[int]
    ) -> list[SeedRun]:
        vectors = hashlib.sha256()
        for array in corpus.vectors.values():
            vectors.update(np.ascontiguousarray(array).tobytes())
        identity = {
            "settings": to_dict(config) | {"data": None},
            "seeds": seeds,
            "data": corpus.fingerprints,
            "vectors": vectors.hexdigest(),
        }

        def train() -> Part:
            found = train_together(corpus, config, seeds)
            about = [
                {f.name: getattr(run, f.name) for f in dataclasses.fields(run)}
                | {"validation": None, "test": None}
                for run in found
            ]
            return {
                "validation": np.stack([run.validation for run in found]),
                "test": np.stack([run.test for run in found]),
                "about": np.asarray(json.dumps(about)),
            }

        part = self.store.part(title, identity, train)
        probabilities = zip(part["validation"], part["test"], strict=True)
        about = json.loads(str(part["about"]))
        return [
            SeedRun(**run | {"validation": v, "test": t})
            for run, (v, t) in zip(about, probabilities, strict=True)
        ]

    def _bag(self, seeds: list[int]) -> list[SeedRun]:
        plain = preset("reuters-bag")
        training = plain.training
        if self.chosen.quick:
            training = dataclasses.replace(training, epochs=1)
        config = dataclasses.replace(plain, data=self.data, training=training)
        laboratory = Laboratory(Path(self.chosen.work), self.say)
        return [train_alone(laboratory, with_seed(config.resolved(), s)) for s in seeds]

    def joined(self, bags: list[SeedRun], statics: list[SeedRun]) -> list[SeedRun]:
        """The logits of two runs of a seed, weighed as validation likes best."""
        truth = self.base.arrays["validation"]["targets"]

        def mix(one: np.ndarray, other: np.ndarray, weight: float) -> np.ndarray:
            low, high = 1e-7, 1 - 1e-7
            parts = [logit(np.clip(p, low, high)) for p in (one, other)]
            mixed: np.ndarray = expit((1 - weight) * parts[0] + weight * parts[1])
            return mixed.astype(np.float32)

        found = []
        for bag, static in zip(bags, statics, strict=True):
            scores = {
                weight: validation_metrics(
                    Predictions.of_all(
                        mix(bag.validation, static.validation, weight), truth
                    )
                )["micro_f1"]
                for weight in WEIGHTS
            }
            best = max(scores, key=lambda weight: scores[weight])
            found.append(
                dataclasses.replace(
                    bag,
                    validation=mix(bag.validation, static.validation, best),
                    test=mix(bag.test, static.test, best),
                    parameters=bag.parameters + static.parameters,
                    seconds=bag.seconds + static.seconds,
                    best_validation=scores[best],
                )
            )
        return found

    def decided(self, run: SeedRun, config: Config) -> TextRun:
        """Test documents decided by a rule fitted on validation documents."""
        arrays = self.base.arrays
        validation, test = arrays["validation"], arrays["test"]
        mask = test.get("target_mask", np.ones(test["targets"].shape, bool))
        decision = choose_decision(
            config.threshold,
            Predictions.of_all(
                run.validation, validation["targets"], validation.get("target_mask")
            ),
            self.base.prepared.graph.counts,
        )
        results = {"parameters": run.parameters, "seconds": round(run.seconds, 1)}
        return TextRun(
            seed=run.seed,
            decisions=decision.decide(run.test),
            targets=test["targets"] > 0,
            mask=mask,
            gates={},
            results=results | {"best_validation": run.best_validation},
        )

    def speed(self) -> dict[str, float]:
        """Documents a second of processor time: tokens, the transformer, the table."""
        texts = [d.text for d in self.base.prepared.corpus.train]
        few = self.sequences["train"][:TIMED]
        alone = dataclasses.replace(self.teacher, cache=None)
        alone.sequence_vectors(few)  # compiles
        every = self.sequences["train"]
        self.static.sequence_vectors(every)

        def rate(count: int, work: Any) -> float:
            started = time.process_time()
            work()
            return count / max(time.process_time() - started, 1e-9)

        found = {
            "tokenizer": rate(
                len(texts), lambda: self.tokenizer.encode(texts, max_length=self.length)
            ),
            "minilm": rate(len(few), lambda: alone.sequence_vectors(few)),
            "static": rate(len(every), lambda: self.static.sequence_vectors(every)),
        }
        return found | {"ratio": found["static"] / found["minilm"]}

    def record(self) -> dict[str, Any]:
        """All numbers."""
        from experiments.collect import hardware

        wanted = {REFERENCE, *self.chosen.rows}
        if "bag+static" in wanted:
            wanted |= {"bag", "static"}
        trained: dict[str, list[SeedRun]] = {}
        settings: dict[str, dict[str, Any]] = {}
        for row in ROWS:
            if row in wanted and row != "bag+static":
                trained[row], settings[row] = self.runs(row)
        if "bag+static" in wanted:
            trained["bag+static"] = self.joined(trained["bag"], trained["static"])
            settings["bag+static"] = {}
        cells = {
            row: [self.decided(run, self.config) for run in runs]
            for row, runs in trained.items()
        }
        prepared = self.base.prepared
        columns = {"labels": np.arange(len(prepared.labels))}
        splits = prepared.corpus.splits
        return {
            "experiment": "static_encoder",
            "corpus": prepared.corpus.name,
            "documents": {name: len(part) for name, part in splits.items()},
            "labels": len(prepared.labels),
            "encoder": self.static.about,
            "commit": commit(),
            "hardware": hardware(),
            "seeds": self.chosen.seeds,
            "resamples": self.chosen.resamples,
            "speed": self.speed(),
            "rows": [
                {
                    "row": row,
                    "title": ROWS[row],
                    **settings[row],
                    "parameters": runs[0].results["parameters"],
                    "seconds": [run.results["seconds"] for run in runs],
                    "validation": [run.results["best_validation"] for run in runs],
                    "f1": f1_rows(runs, columns),
                }
                for row, runs in cells.items()
            ],
            "differences": differences(
                cells, REFERENCE, columns, resamples=self.chosen.resamples
            ),
        }


def page(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    head = ["row", "learning rate, dropout", "validation", "micro-F1", "macro-F1"]
    lines = []
    for row in record["rows"]:
        means = {one["metric"]: one for one in row["f1"]}
        rate = row.get("learning_rate")
        lines.append(
            [
                row["title"],
                "-" if rate is None else f"{rate:g}, {row['dropout']:g}",
                f"{statistics.fmean(row['validation']):.4f}",
                *(_spread(means[name]) for name in ("micro_f1", "macro_f1")),
            ]
        )
    below = [
        [
            ROWS[one["way"]],
            one["metric"].replace("_f1", "-F1"),
            f"{100 * one['difference']:+.2f}",
            _bracket(one["interval"]),
            _bracket(one["seed_interval"]),
        ]
        for one in record["differences"]
    ]
    cosine, speed = record["encoder"]["cosine"], record["speed"]
    counts = record["documents"]
    parts = [
        f"# A static encoder beside its transformer: {record['corpus']}",
        f"`{record['command']}`, commit {record['commit']}, {record['hardware']}. "
        f"{counts['train']:,} documents to train on, {counts['validation']:,} for "
        f"validation, {counts['test']:,} for the test, {record['labels']:,} labels; "
        f"{record['seeds']} seeds, mean ± standard deviation. Rows of vectors share "
        "one head, its learning rate and dropout chosen on validation with seed 0; "
        "epochs and the rule that decides from validation too.",
        markdown_table(head, lines),
        f"## Less {ROWS[REFERENCE]}",
        "In points. First bracket: 95 % when test documents and seeds are drawn again, "
        "paired. Second: Student's over the paired seeds.",
        markdown_table(["row", "metric", "points", "drawn", "seeds"], below),
        "## The encoder",
        f"Distilled from the training texts alone. Cosine to the transformer on texts "
        f"held out: {cosine['start']:.3f} of every token alone, {cosine['fitted']:.3f} "
        f"fitted. Documents a second of processor time: transformer "
        f"{speed['minilm']:,.0f}, table {speed['static']:,.0f} "
        f"({speed['ratio']:,.0f} times), tokenizer, which both need, "
        f"{speed['tokenizer']:,.0f}.",
    ]
    return "\n\n".join(parts) + "\n"


def _spread(row: dict[str, Any]) -> str:
    spread = "" if row["sd"] is None else f" ± {row['sd']:.4f}"
    return f"{row['mean']:.4f}{spread}"


def _bracket(pair: Sequence[float] | None) -> str:
    return "-" if pair is None else f"[{100 * pair[0]:+.2f}, {100 * pair[1]:+.2f}]"


if __name__ == "__main__":
    end(main)
