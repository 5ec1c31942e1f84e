"""How well `auto` chooses how labels are decided: planted corpora, seeds fixed.

    python -m experiments.benchmarks.decisions [--corpora 30] [--first 0] [--fewest 5]

Every corpus has 1 to 40 labels that stand on 2 to 60 % of its documents, 30 to 3,000
validation documents, and scores that are calibrated, or scaled and shifted, all labels
alike or each one by itself. Validation documents with fewer than five labels in all are
drawn again (`--fewest 0` keeps them): nothing can be chosen on them. Every kind of
decision, with and without a label for every document, is fitted on the validation
documents and measured on 20,000 others. What `auto` loses there against the best kind
in hindsight is printed in points of micro-F1.
Targets: 0.5 points at most on average, and 5 on the worst corpus.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import measure
from experiments.study import markdown_table
from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.predictions import Predictions

TEST_DOCUMENTS = 20_000
MEAN_LOSS, WORST_LOSS = 0.5, 5.0
KINDS = ("half", "global", "sloped", "label", "top_k")


class Planted(NamedTuple):
    """Scores and truth of validation and test documents, `[M, N]`, and what they are.

    Attributes:
        calibration: calibrated, shifted (all labels alike) or scattered (each label).
        coverage: the share of the documents that have a label.
        label_counts: training documents with each label, `[N]`.
    """

    calibration: str
    coverage: float
    label_counts: np.ndarray
    validation: Predictions
    test: Predictions


def planted(seed: int, fewest: int = 5) -> Planted:
    """The corpus of a seed, with so many labels of validation documents at least.

    A score is the posterior of its label given one normal number whose mean tells the
    label's documents from the others; scaled and shifted as logits where it is not to
    be calibrated.
    """
    random = np.random.default_rng((77, seed))
    labels = round(np.exp(random.uniform(0, np.log(40))))
    documents = round(np.exp(random.uniform(np.log(30), np.log(3000))))
    coverage = np.exp(random.uniform(np.log(0.02), np.log(0.6)))
    more = random.uniform(0, 1)
    frequency = (1 + np.arange(labels)) ** -random.uniform(0, 1.2)
    distance = random.uniform(1.5, 4) * np.exp(random.normal(0, 0.2, labels))
    calibration = ("calibrated", "shifted", "scattered")[seed % 3]
    scale, shift, own = 1.0, 0.0, 0.0
    if calibration != "calibrated":
        scale, shift = np.exp(random.uniform(-1, 1)), random.uniform(-3, 3)
    if calibration == "scattered":
        own = random.normal(0, 1, labels)

    def draw(count: int) -> np.ndarray:
        """Which documents have which labels: the frequent ones more often."""
        some = random.random(count) < coverage
        size = np.where(some, 1 + random.poisson(more, count), 0)
        keys = np.log(frequency) + random.gumbel(size=(count, labels))
        rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
        return rank < size[:, None]

    prior = draw(TEST_DOCUMENTS).mean(axis=0).clip(1e-5, 1 - 1e-5)

    def predictions(truth: np.ndarray) -> Predictions:
        number = random.normal(size=truth.shape) + distance * truth
        logits = np.log(prior / (1 - prior)) + distance * number - distance**2 / 2
        scores = 1 / (1 + np.exp(-(scale * logits + shift + own)))
        return Predictions.of_all(scores.astype(np.float32), truth)

    counts = np.maximum(np.round(8 * documents * prior), 1)
    first = draw(documents)
    while first.sum() < fewest:
        first = draw(documents)
    second = draw(TEST_DOCUMENTS)
    return Planted(
        calibration, coverage, counts, predictions(first), predictions(second)
    )


def micro_f1(corpus: Planted, config: ThresholdConfig) -> float:
    """The micro-F1 on test documents of what is fitted on validation documents."""
    decision = choose_decision(config, corpus.validation, corpus.label_counts)
    decided = decision.decide(corpus.test.probabilities)
    truth = corpus.test.targets > 0
    return float(2 * (decided & truth).sum() / max(decided.sum() + truth.sum(), 1))


def of_every_kind(corpus: Planted) -> dict[str, float]:
    """The micro-F1 of every kind, of those with one label at least, and of `auto`."""
    f1 = {
        kind: micro_f1(corpus, ThresholdConfig(kind=kind))  # type: ignore[arg-type]
        for kind in KINDS
    }
    f1["one"] = max(
        micro_f1(corpus, ThresholdConfig(kind=kind, at_least_one=True))  # type: ignore[arg-type]
        for kind in KINDS[:-1]
    )
    return {**f1, "auto": micro_f1(corpus, ThresholdConfig())}


def benchmark(seeds: Sequence[int], fewest: int) -> dict[str, Any]:
    """A row per corpus, and the mean and the worst of what `auto` loses."""
    rows = []
    for seed in seeds:
        corpus = planted(seed, fewest)
        truth, f1 = corpus.validation.targets, of_every_kind(corpus)
        rows.append(
            {
                "seed": seed,
                "scores": corpus.calibration,
                "labels": truth.shape[1],
                "covered": corpus.coverage,
                "documents": len(truth),
                "positives": int(truth.sum()),
                "micro_f1": f1,
                "loss": 100 * (max(f1.values()) - f1["auto"]),
            }
        )
    losses = [row["loss"] for row in rows]
    return {
        "machine": measure.machine_facts(),
        "rows": rows,
        "mean": {"loss": float(np.mean(losses)), "target": MEAN_LOSS},
        "worst": {"loss": max(losses), "target": WORST_LOSS},
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    names = list(result["rows"][0]["micro_f1"])
    rows = [
        [
            str(row["seed"]),
            row["scores"],
            str(row["labels"]),
            f"{row['covered']:.0%}",
            str(row["documents"]),
            str(row["positives"]),
            *(f"{100 * row['micro_f1'][name]:.1f}" for name in names),
            f"{row['loss']:.1f}",
        ]
        for row in result["rows"]
    ]
    head = ["seed", "scores", "labels", "covered", "documents", "positives"]
    table = markdown_table([*head, *names, "loss"], rows)
    mean, worst = result["mean"]["loss"], result["worst"]["loss"]
    return (
        f"{table}\n\n`auto` loses {mean:.2f} points on average (target {MEAN_LOSS:g}), "
        f"{worst:.2f} on the worst corpus (target {WORST_LOSS:g})."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the ways to decide on planted corpora, print the report and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--fewest", type=int, default=5, help="labels on validation")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.corpora)
    result = benchmark(seeds, options.fewest)
    print(report(result))
    measure.save(options.out, "decisions", result, report(result))


if __name__ == "__main__":
    main()
