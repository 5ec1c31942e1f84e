"""Runs of several label sets that share a text encoder, each kept once finished."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from experiments.store import Part, Store
from experiments.tables.corpus import TableCorpus
from experiments.tables.running import TRUTH, train_together
from labelgraph_jax.config import (
    Config,
    DataConfig,
    GraphConfig,
    MixtureConfig,
    TextConfig,
    TrainingConfig,
    to_dict,
)
from labelgraph_jax.functional.mixture.experts import (
    GateStatistics,
    gate_statistics,
    gate_sums,
)
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.training.gates import gate_warnings

GATE_VALUES = ("mean_weights", "spread", "similarity")
WIDTH = 256
EXPERTS = 8
MATCHED = 1280
"""Hidden units that give the shared bottom as many parameters as the experts and their
gates have, over vectors of 384 features."""
TWO_LEVELS = 176
"""Hidden units of experts in two levels, of as many parameters."""
_MMOE = MixtureConfig(kind="mmoe", experts=EXPERTS, hidden=(WIDTH,))
WAYS: dict[str, MixtureConfig] = {
    "joint": MixtureConfig(),
    "single_task": MixtureConfig(kind="single_task", hidden=(WIDTH,)),
    "shared_bottom": MixtureConfig(kind="shared_bottom", hidden=(MATCHED, WIDTH)),
    "mmoe": _MMOE,
    "cgc": MixtureConfig(kind="ple", levels=1, hidden=(WIDTH,)),
    "ple": MixtureConfig(kind="ple", levels=2, hidden=(TWO_LEVELS,)),
    "uncertainty": dataclasses.replace(_MMOE, weighting="uncertainty"),
    "gradnorm": dataclasses.replace(_MMOE, weighting="gradnorm"),
    "project": dataclasses.replace(_MMOE, weighting="project"),
}
TITLES = {
    "joint": "one label graph over all sets, no mixture",
    "single_task": "a layer per set on the shared encoder",
    "shared_bottom": "shared bottom",
    "mmoe": "MMoE, 8 experts",
    "cgc": "CGC (PLE of 1 level), an expert a set of 8",
    "ple": "PLE, 2 levels, an expert a set of 8",
    "uncertainty": "MMoE, losses weighed by uncertainty",
    "gradnorm": "MMoE, gradients of one norm",
    "project": "MMoE, conflicts projected away",
}
RATES = (3e-3, 1e-2, 3e-2)
"""Learning rates that every way is tried with, seed 0, on validation."""
STUDIES: dict[str, tuple[DataConfig, TrainingConfig]] = {
    "sets": (
        DataConfig(corpus="reuters21578", task="all"),
        TrainingConfig(epochs=16, batch_size=128),
    ),
    "corpora": (
        DataConfig(corpus="reuters21578+goemotions"),
        TrainingConfig(epochs=3, batch_size=256),
    ),
}
"""The five category sets of Reuters-21578; Reuters topics and GoEmotions."""
SETS = {"sets": 5, "corpora": 2}
"""Label sets of each study."""


@dataclass(frozen=True)
class TextRun:
    """One run of a way with a seed.

    Attributes:
        seed: of the run.
        decisions: which label each test document gets, bool `[M, N]`.
        targets, mask: of the test documents, bool `[M, N]`.
        gates: mean weights `[T, E]`, spread `[T, E]` and similarity `[T, T]` over the
            test documents; nothing without gates.
        results: parameters, seconds, best epoch and what validation gave.
    """

    seed: int
    decisions: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    gates: dict[str, np.ndarray]
    results: dict[str, Any]


ENCODERS: dict[str, TextConfig] = {
    "minilm": TextConfig(
        encoder="transformer",
        vectors="pretrained",
        trainable=False,
        max_length=128,
        dropout=0.3,
    ),
    "bag": TextConfig(max_length=128, vocabulary_size=20_000, dim=WIDTH),
}
"""Mean-pooled vectors of a frozen encoder, so that what is shared and learned is the
mixture alone; or a bag of n-grams, which the sets share and learn."""


def configuration(
    study: str,
    way: str,
    *,
    learning_rate: float,
    encoder: str = "minilm",
    quick: bool = False,
) -> Config:
    """The settings of one run."""
    data, training = STUDIES[study]
    training = dataclasses.replace(training, learning_rate=learning_rate)
    if quick:
        training = dataclasses.replace(training, epochs=1)
    mixture = WAYS[way]
    if mixture.kind == "ple":
        mixture = dataclasses.replace(mixture, experts=EXPERTS - SETS[study])
    return Config(
        data=data,
        text=ENCODERS[encoder],
        graph=GraphConfig(heads=2, hidden=64),
        mixture=mixture,
        training=training,
    ).resolved()


def find_or_train(
    store: Store, corpus: TableCorpus, config: Config, seeds: Sequence[int], title: str
) -> list[TextRun]:
    """The finished runs with these settings on these documents; trained if missing."""
    settings = to_dict(config)
    settings["data"].pop("data_dir")
    identity = {
        "settings": settings,
        "seeds": list(seeds),
        "data": corpus.fingerprints,
    }
    part = store.part(title, identity, lambda: _train(corpus, config, seeds))
    test = corpus.arrays["test"]
    return [
        TextRun(
            seed=seed,
            decisions=part["decisions"][run],
            targets=test["targets"] > 0,
            mask=_mask(test),
            gates={n: part[n][run] for n in GATE_VALUES if n in part},
            results=json.loads(str(part["results"]))[run],
        )
        for run, seed in enumerate(seeds)
    ]


def _mask(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return arrays.get("target_mask", np.ones(arrays["targets"].shape, bool))


def _train(corpus: TableCorpus, config: Config, seeds: Sequence[int]) -> Part:
    """All seeds together; decided as validation documents say."""
    gates: list[GateStatistics] = []
    test = {n: a for n, a in corpus.arrays["test"].items() if n not in TRUTH}

    def look(classifier: Classifier, params: Any) -> None:
        if classifier.has_gates:
            sums = jax.jit(
                jax.vmap(lambda p: gate_sums(classifier.gate_weights(p, test)))
            )(params)
            gates.append(jax.tree.map(np.asarray, jax.vmap(gate_statistics)(sums)))

    runs = train_together(corpus, config, seeds, look=look)
    validation = corpus.arrays["validation"]
    counts = corpus.prepared.graph.counts
    decided, results = [], []
    for number, run in enumerate(runs):
        decision = choose_decision(
            config.threshold,
            Predictions.of_all(
                run.validation, validation["targets"], validation.get("target_mask")
            ),
            counts,
        )
        decided.append(decision.decide(run.test))
        warnings = []
        if gates:
            one = jax.tree.map(lambda leaf, n=number: leaf[n], gates[0])
            warnings = gate_warnings(one, corpus.prepared.labels.tasks)
        results.append(
            {
                "parameters": run.parameters,
                "seconds": round(run.seconds, 1),
                "best_epoch": run.best_epoch,
                "best_validation": run.best_validation,
                "decision": decision.summary(),
                "warnings": warnings,
            }
        )
    values = {n: getattr(gates[0], n) for n in GATE_VALUES} if gates else {}
    return {
        "decisions": np.stack(decided),
        "results": np.asarray(json.dumps(results)),
        **values,
    }
