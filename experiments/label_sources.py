"""What a classifier makes of labels that come from elsewhere: noise, and names alone.

    python -m experiments.label_sources
    python -m experiments.label_sources --corpora goemotions --seeds 1

Noise: a labeller of set precision and recall labels the training texts, a classifier
learns from it, and both are measured on test documents against the true labels.
`uniform` errs anywhere; `keywords` errs where a label's words mislead: it misses the
documents with the least evidence, by naive Bayes, and adds those with the most. Names:
documents that say a label's name have it, others not (`labelgraph weak` with names
alone); a classifier learns that, relabels the training texts for the next one by the
surest of each label, and gives each label as often as its name is said in the training
texts, where its logit, and 1 more where the name is said, is highest.

Hidden: topics with 20 training documents or more, up to 20 drawn at random, are taken
out of the labels; what `labelgraph discover` proposes for documents without a probable
label is matched with them one to one, by F1 of their documents. A topic is found again
where that is a half or more.

The classifier is a linear head on LSA vectors of the training texts (tf-idf, 300
dimensions), whose decay and one threshold are chosen on a tenth of the training texts
by the labels that it is given: no true label takes part. Writes
OUT/label-sources-CORPUS.json and .md. Cells are kept in the work folder: a call that
was stopped goes on.
"""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import logit

from experiments.pod import ALONE, Pod
from experiments.store import Part, Store
from experiments.study import (
    Options,
    commit,
    markdown_table,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.labels.labelling_functions import Rule, as_phrase, cast_rules
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.tokenizers.units import words_of
from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from labelgraph_jax.functional.few_labels.pseudo_labels import pseudo_labels
from labelgraph_jax.functional.few_labels.votes import vote_model
from labelgraph_jax.functional.metrics.agreement import pair_agreement
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.discover import Proposal, propose_labels

CORPORA = ("reuters21578", "goemotions", "debtags")
NOISE = ((0.6, 0.6), (0.8, 0.8), (0.9, 0.5))
"""Precision and recall of the labeller."""
KINDS = ("uniform", "keywords")
DECAYS = (1e-6, 1e-5)
STEPS = 120
HELD = 0.1
HIDDEN, OFTEN, PROPOSED, FOUND = 20, 20, 30, 0.5
"""Topics that are hidden, their documents at least; proposals; F1 of one found."""
SPLITS = ("train", "test")
METRICS = ("micro_f1", "macro_f1")
WAYS = ("labeller", "classifier", "relabelled", "true labels")
NAMED = ("names alone", "classifier", "relabelled", "as often as named")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Learn from noisy labels, and from the names of labels alone."""

    corpora: tuple[str, ...] = CORPORA
    """Of reuters21578, goemotions, debtags; or files of labelled texts of your own."""
    seeds: int = 3
    """Draws of the noise."""
    dimensions: int = 300
    """Of the LSA vectors."""
    resamples: int = 1000
    """Bootstrap draws of test documents."""
    work: str = "workdirs/label_sources"
    """Where cells are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("label_sources", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Computes what is missing and writes the tables down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: a corpus cannot be read.
    """
    require_at_least_one(chosen, "seeds", "dimensions", "resamples")
    if not pod.writes:
        return
    say = progress(pod, quiet=chosen.quiet)
    for name in chosen.corpora:
        store = Store(Path(chosen.work), say)
        study = Study(name, chosen, store)
        record: dict[str, Any] = {
            "command": command,
            "commit": commit(),
            "seeds": chosen.seeds,
            "noise": study.noise_rows(),
            "names": study.name_rows(),
            "hidden": study.hidden_rows(),
            "seconds": store.seconds,
        }
        file = f"label-sources-{Path(name).stem}"
        write_record(chosen.out, file, record, page(record))


class Study:
    """One corpus, read and made vectors of once.

    Args:
        name: of the corpus.
        chosen: the options.
        store: keeps cells.
    """

    def __init__(self, name: str, chosen: Arguments, store: Store) -> None:
        self.name, self.chosen, self.store = name, chosen, store
        self.descriptions: dict[str, str] = {}

    @functools.cached_property
    def documents(self) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
        """Training and test documents; those without annotation are left out."""
        if self.name == "debtags":
            root = self.chosen.data_dir or os.environ.get("LABELGRAPH_DATA", "")
            parts = [Path(root) / "debtags" / f"{s}.jsonl.xz" for s in SPLITS]
            train, test = (tuple(read_documents(part)) for part in parts)
            return train, test
        source = "data" if Path(self.name).exists() else "corpus"
        config = DataConfig(**{source: self.name}, data_dir=self.chosen.data_dir)  # type: ignore[arg-type]
        corpus = read_corpus(config)
        self.descriptions = dict(corpus.label_descriptions)
        return corpus.train + corpus.validation, corpus.test

    @functools.cached_property
    def space(self) -> LabelSpace:
        """The labels of the training documents."""
        return LabelSpace.from_documents(self.documents[0])

    @functools.cached_property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """The true labels, `[M, N]`, of training and test."""
        train, test = (self.space.targets(part)[0] > 0 for part in self.documents)
        return train, test

    @functools.cached_property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """LSA vectors of length 1, fitted to the training texts."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        tfidf = TfidfVectorizer(
            analyzer=words_of, min_df=2, max_features=20_000, sublinear_tf=True
        )
        train, test = ([d.text for d in part] for part in self.documents)
        rows = tfidf.fit_transform(train)
        self.words = rows.astype(bool), tfidf.transform(test).astype(bool)
        size = min(self.chosen.dimensions, rows.shape[1] - 1)
        svd = TruncatedSVD(size, random_state=0).fit(rows)
        found = [svd.transform(x) for x in (rows, tfidf.transform(test))]
        one, other = (
            x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9) for x in found
        )
        return one.astype(np.float32), other.astype(np.float32)

    words: tuple[Any, Any]

    @functools.cached_property
    def evidence(self) -> tuple[np.ndarray, np.ndarray]:
        """What the words of each document say for each label, by naive Bayes."""
        train = self.truth[0].astype(np.float64)
        _ = self.vectors
        counts = self.words[0].T.astype(np.float64) @ train
        every = np.asarray(self.words[0].sum(axis=0)).reshape(-1, 1)
        sizes = train.sum(axis=0)
        odds = np.log((counts + 0.5) / (sizes + 1))
        odds -= np.log((every - counts + 0.5) / (len(train) - sizes + 1))
        one, other = (
            (x.astype(np.float64) @ odds) / np.sqrt(x.sum(axis=1)).clip(1)
            for x in self.words
        )
        return np.asarray(one), np.asarray(other)

    def noise_rows(self) -> list[dict[str, Any]]:
        """The table of noise."""
        return [
            self._row(
                {"noise": kind, "precision": precision, "recall": recall},
                [
                    self._part("noise", kind, precision, recall, seed)
                    for seed in range(self.chosen.seeds)
                ],
                WAYS,
            )
            for kind in KINDS
            for precision, recall in NOISE
        ]

    def name_rows(self) -> list[dict[str, Any]]:
        """The table of names."""
        return [self._row({}, [self._part("names by share")], NAMED)]

    def hidden_rows(self) -> list[dict[str, Any]]:
        """How many hidden topics are found again, of every draw."""
        parts = [self._part("hidden", seed) for seed in range(self.chosen.seeds)]
        matches = [part["f1"] for part in parts]
        return [
            {
                "corpus": self.name,
                "hidden": [len(f1) for f1 in matches],
                "found": [int((f1 >= FOUND).sum()) for f1 in matches],
                "mean_f1": [float(f1.mean()) for f1 in matches],
            }
        ]

    def _hidden(self, seed: int) -> Part:
        generator = np.random.default_rng(seed)
        truth = self.truth[0]
        often = np.flatnonzero(truth.sum(axis=0) >= OFTEN)
        hidden = generator.permutation(often)[: min(HIDDEN, len(often) // 2)]
        kept = np.setdiff1d(np.arange(truth.shape[1]), hidden)
        _, scores, _ = self._learn(truth[:, kept].astype(np.float32), seed)
        names = [self.space.names[n] for n in kept]
        count = min(PROPOSED, 2 * len(hidden))
        found: list[Proposal] = []
        with contextlib.suppress(DataError):  # no document lacks a label
            found, _ = propose_labels(
                self.documents[0], scores, names, count, seed=seed
            )
        f1 = np.zeros((len(hidden), len(found)))
        for i, topic in enumerate(hidden):
            for j, proposal in enumerate(found):
                both = truth[list(proposal.rows), topic].sum()
                f1[i, j] = 2 * both / (truth[:, topic].sum() + proposal.documents)
        rows, columns = linear_sum_assignment(-f1)
        best = np.zeros(len(hidden))
        best[rows] = f1[rows, columns]
        return {"f1": best}

    def _part(self, kind: str, *setting: Any) -> Part:
        made: dict[str, Callable[..., Part]] = {
            "noise": self._noise,
            "names by share": self._names,
            "truth": self._truth,
            "hidden": self._hidden,
        }
        identity = {
            "study": "label_sources",
            "corpus": self.name,
            "cell": [kind, *setting],
            "dimensions": self.chosen.dimensions,
        }
        if kind == "hidden":  # cells of an older form of `discover` are not these
            identity["form"] = "words that lead"
        title = " ".join(map(str, (self.name, kind, *setting)))
        return self.store.part(title, identity, lambda: made[kind](*setting))

    def _noise(self, kind: str, precision: float, recall: float, seed: int) -> Part:
        generator = np.random.default_rng(seed)
        train, test = (
            noisy(
                truth,
                evidence if kind == "keywords" else None,
                precision,
                recall,
                generator,
            )
            for truth, evidence in zip(self.truth, self.evidence, strict=True)
        )
        first, scores, _ = self._learn(train.astype(np.float32), seed)
        again = self._learn(scores, seed)[0]
        kappa = pair_agreement(train, self.truth[0]).kappa
        best = self._part("truth")["decisions"]
        found = self._kept([test, first, again])["decisions"]
        return {
            "decisions": np.concatenate([found, best]),
            "kappa": np.asarray(np.nanmean(kappa)),
        }

    def _truth(self) -> Part:
        return self._kept([self._learn(self.truth[0].astype(np.float32), 0)[0]])

    def _names(self) -> Part:
        train, test = (self._named(part) for part in self.documents)
        ways = [test > 0.5]
        prior = (train > 0.5).mean(axis=0)
        decided, scores, on_test = self._learn(train.astype(np.float32), 0)
        sure = pseudo_labels(scores, prior.astype(np.float32))
        again = self._learn(np.asarray(sure.targets), 0, np.asarray(sure.target_mask))
        # Each label as often as its name is said, where the classifier is surest.
        joined, on_test = (
            logit(score.astype(np.float64)) + (named > 0.5)
            for score, named in ((scores, train), (on_test, test))
        )
        ranks = np.sort(joined, axis=0)[::-1]
        often = (train > 0.5).sum(axis=0)
        cuts = ranks[np.maximum(often - 1, 0), np.arange(len(often))]
        counted = (on_test >= cuts) & (often > 0)
        return self._kept([*ways, decided, again[0], counted])

    def _named(self, documents: Sequence[Document]) -> np.ndarray:
        """Probabilities by a rule a label: its name, or those it is described by."""
        rules = []
        for name in self.space.names:
            said = re.sub(r"\(.*?\)", "", self.descriptions.get(name, ""))
            texts = [name.rpartition("::")[2], *said.split("/")]
            texts = [re.sub(r"[_:/-]+", " ", text).strip() for text in texts]
            phrases = tuple(as_phrase(text) for text in texts if words_of(text))
            rules.append(Rule(name, name, any=phrases, other=-1))
        votes = cast_rules(rules, documents).votes.astype(np.int64)
        columns = range(votes.shape[1])
        return np.stack([vote_model(votes[:, [n]]).probabilities for n in columns], 1)

    def _learn(
        self, targets: np.ndarray, seed: int, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decisions on test documents; probabilities of training and test documents.

        Decay and threshold are those that suit the targets of a held-out tenth best.
        """
        train, test = self.vectors
        known = np.ones(targets.shape, np.float32) if mask is None else mask
        held = np.random.default_rng((seed, 7)).random(len(train)) < HELD
        fitted = []
        for decay in DECAYS:
            head = fit(train[~held], targets[~held], known[~held], decay)
            scores = apply(train[held], head)
            truth = (targets[held] > 0.5) & (known[held] > 0)
            cut = float(fit_global_threshold(scores, truth))
            decided = scores >= cut
            right = 2 * (decided & truth).sum() / max((decided.sum() + truth.sum()), 1)
            fitted.append((right, -decay, cut))
        _, negative, cut = max(fitted)
        head = fit(train, targets, known, -negative)
        scores = apply(test, head)
        return scores >= cut, apply(train, head), scores

    def _kept(self, decisions: Sequence[np.ndarray]) -> Part:
        return {
            "decisions": np.stack([np.packbits(d, axis=1) for d in decisions]),
        }

    def _row(
        self, setting: dict[str, Any], parts: Sequence[Part], ways: Sequence[str]
    ) -> dict[str, Any]:
        """Means over draws, and each way less the first with its 95 % interval."""
        truth = self.truth[1]
        draws = document_draws(len(truth), self.chosen.resamples)
        runs = run_draws(len(parts), self.chosen.resamples)
        once = np.ones((1, len(truth)), np.int64)
        row: dict[str, Any] = {"corpus": self.name, **setting, "ways": {}}
        if "kappa" in parts[0]:
            row["kappa"] = float(np.mean([part["kappa"] for part in parts]))
        first: dict[str, np.ndarray] = {}
        base: dict[str, float] = {}
        for number, way in enumerate(ways):
            cells = [
                np.unpackbits(p["decisions"][number], axis=1, count=truth.shape[1]) > 0
                for p in parts
            ]
            drawn = [resampled_f1(cell, truth, draws) for cell in cells]
            plain = [resampled_f1(cell, truth, once) for cell in cells]
            found: dict[str, Any] = {}
            for metric in METRICS:
                values = np.stack([one[metric] for one in drawn], axis=1)
                mean = float(np.mean([one[metric][0] for one in plain]))
                found[metric] = {"mean": mean}
                if number:
                    interval = paired_interval(
                        values, first[metric], runs, difference=mean - base[metric]
                    )
                    found[metric]["difference"] = interval._asdict()
                else:
                    first[metric], base[metric] = values, mean
            row["ways"][way] = found
        return row


def noisy(
    truth: np.ndarray,
    evidence: np.ndarray | None,
    precision: float,
    recall: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Labels of a precision and recall, wrong anywhere or where evidence misleads."""
    given = np.zeros(truth.shape, bool)
    for n in range(truth.shape[1]):
        score = generator.gumbel(size=len(truth))
        if evidence is not None:
            spread = evidence[:, n].std() or 1.0
            score += 2 * (evidence[:, n] - evidence[:, n].mean()) / spread
        for wanted, rows in (
            (recall, np.flatnonzero(truth[:, n])),
            (0.0, np.flatnonzero(~truth[:, n])),
        ):
            count = wanted * len(rows)
            if not wanted:
                count = given[:, n].sum() * (1 - precision) / precision
            count = int(count + generator.random())
            given[rows[np.argsort(-score[rows])[:count]], n] = True
    return given


@jax.jit
def fit(
    vectors: jax.Array, targets: jax.Array, known: jax.Array, decay: float
) -> tuple[jax.Array, jax.Array]:
    """A linear head by full-batch Adam on the cross-entropy of known cells."""
    share = (targets * known).sum(0) / jnp.maximum(known.sum(0), 1.0)
    start = jnp.log((share + 1e-4) / (1 - share + 1e-4))
    head = jnp.zeros((vectors.shape[1], targets.shape[1])), start

    def loss(head: tuple[jax.Array, jax.Array]) -> jax.Array:
        logits = vectors @ head[0] + head[1]
        cells = jax.nn.softplus(logits) - targets * logits
        mean = (cells * known).sum() / jnp.maximum(known.sum(), 1.0)
        return mean + decay * jnp.square(head[0]).sum() / targets.shape[1]

    def step(i: jax.Array, state: Any) -> Any:
        head, first, second = state
        gradient = jax.grad(loss)(head)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)
        rate = 0.2 * (1 - i / STEPS)

        def move(x: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            m, v = m / (1 - 0.9 ** (i + 1)), v / (1 - 0.99 ** (i + 1))
            return x - rate * m / (jnp.sqrt(v) + 1e-9)

        return jax.tree.map(move, head, first, second), first, second

    zeros = jax.tree.map(jnp.zeros_like, head)
    return jax.lax.fori_loop(0, STEPS, step, (head, zeros, zeros))[0]


def apply(vectors: np.ndarray, head: tuple[jax.Array, jax.Array]) -> np.ndarray:
    """Probabilities of a head."""
    scores = jax.nn.sigmoid(vectors @ head[0] + head[1])
    return np.asarray(jnp.clip(scores, 1e-6, 1 - 1e-6))


def page(record: dict[str, Any]) -> str:
    """The tables as Markdown."""
    parts = [
        f"`{record['command']}`, commit {record['commit']}, "
        f"{record['seconds']:.0f} s, seeds {record['seeds']}.\n"
    ]
    for title, ways in (("noise", WAYS), ("names", NAMED)):
        setting = ["noise", "precision", "recall", "kappa"] if title == "noise" else []
        rows = []
        for row in record[title]:
            cells = [row["corpus"]]
            cells += [
                row[name] if isinstance(row[name], str) else f"{row[name]:.2f}"
                for name in setting
            ]
            rows.append([*cells, *(_cell(row["ways"][way]) for way in ways)])
        parts.append(markdown_table(["corpus", *setting, *ways], rows))
    hidden = [
        [row["corpus"], str(row["hidden"]), str(row["found"]), _listed(row["mean_f1"])]
        for row in record["hidden"]
    ]
    header = ["corpus", "topics hidden", "found again, by seed", "mean F1 of the match"]
    parts.append(markdown_table(header, hidden))
    return "\n".join(parts) + "\n"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _cell(found: dict[str, Any]) -> str:
    """Micro and macro, with the difference to the first way in points."""
    texts = []
    for metric in METRICS:
        text = f"{found[metric]['mean']:.3f}"
        if "difference" in found[metric]:
            d = found[metric]["difference"]
            value, low, high = (100 * d[k] for k in ("difference", "low", "high"))
            text += f" ({value:+.1f} [{low:+.1f}, {high:+.1f}])"
        texts.append(text)
    return " / ".join(texts)


if __name__ == "__main__":
    raise SystemExit(main())
