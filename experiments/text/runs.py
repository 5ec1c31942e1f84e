"""Runs of several label sets that share a text encoder, each kept once finished."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.video.store import Part, Store
from labelgraph_jax.config import (
    Config,
    DataConfig,
    GraphConfig,
    MixtureConfig,
    TextConfig,
    TrainingConfig,
    to_dict,
)

WIDTH = 256
EXPERTS = 8
MATCHED = 1280
"""Hidden units that give the shared bottom as many parameters as the experts and their
gates have, over vectors of 384 features."""
WAYS: dict[str, MixtureConfig] = {
    "joint": MixtureConfig(),
    "single_task": MixtureConfig(kind="single_task", hidden=(WIDTH,)),
    "shared_bottom": MixtureConfig(kind="shared_bottom", hidden=(MATCHED, WIDTH)),
    "mmoe": MixtureConfig(kind="mmoe", experts=EXPERTS, hidden=(WIDTH,)),
}
TITLES = {
    "joint": "one label graph over all sets, no mixture",
    "single_task": "a layer per set on the shared encoder",
    "shared_bottom": "shared bottom",
    "mmoe": "MMoE, 8 experts",
}
RATES = (3e-3, 1e-2, 3e-2)
"""Learning rates that every way is tried with, seed 0, on validation."""
STUDIES: dict[str, tuple[DataConfig, TrainingConfig]] = {
    "sets": (
        DataConfig(corpus="reuters21578", task="all"),
        TrainingConfig(epochs=8, batch_size=64),
    ),
    "corpora": (
        DataConfig(corpus="reuters21578+goemotions"),
        TrainingConfig(epochs=5, batch_size=128),
    ),
}
"""The five category sets of Reuters-21578; Reuters topics and GoEmotions."""


@dataclass(frozen=True)
class TextRun:
    """One run of a way with a seed.

    Attributes:
        seed: of the run.
        decisions: which label each test document gets, bool `[M, N]`.
        targets, mask: of the test documents, bool `[M, N]`.
        gates: mean weights `[T, E]`, spread `[T, E]` and similarity `[T, T]`; empty
            arrays without gates.
        results: parameters, seconds, best step and what validation gave.
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
    seed: int,
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
    return Config(
        data=data,
        text=ENCODERS[encoder],
        graph=GraphConfig(heads=2, hidden=64),
        mixture=WAYS[way],
        training=dataclasses.replace(training, seed=seed),
    ).resolved()


def find_or_train(
    store: Store, config: Config, fingerprints: Mapping[str, str], title: str
) -> TextRun:
    """The finished run with these settings on these documents; trained if missing."""
    settings = to_dict(config)
    settings["data"].pop("data_dir")
    identity = {"settings": settings, "data": dict(fingerprints)}
    part = store.part(title, identity, lambda: _train(store.folder, config))
    return TextRun(
        seed=config.training.seed,
        decisions=part["decisions"],
        targets=part["targets"],
        mask=part["mask"],
        gates={n: part[n] for n in ("mean_weights", "spread", "similarity")},
        results=json.loads(str(part["results"])),
    )


def _train(folder: Path, config: Config) -> Part:
    """A run in a work directory of its own, which is deleted when it has ended."""
    from labelgraph_jax.fit import cache_folder, fit
    from labelgraph_jax.predict import load
    from labelgraph_jax.prepare import read_corpus

    workdir = folder / f"run-{config.mixture.kind}-{config.training.seed}"
    results = fit(config, workdir, progress=False)
    model = load(workdir, cache=cache_folder())
    documents = read_corpus(config.data).test
    encoded, probabilities = model.score_documents(documents)
    targets = np.asarray(encoded.examples.targets) > 0
    mask = encoded.examples.target_mask
    gates = results["gates"] or {}
    kept = {
        "parameters": results["parameters"],
        "training": results["training"],
        "decision": results["test"]["decision"],
        "warnings": gates.get("warnings", []),
    }
    shutil.rmtree(workdir)
    return {
        "decisions": model.decision.decide(probabilities),
        "targets": targets,
        "mask": np.ones(targets.shape, bool) if mask is None else np.asarray(mask),
        "results": np.asarray(json.dumps(kept)),
        **{
            name: np.asarray(gates.get(name, []))
            for name in ("mean_weights", "spread", "similarity")
        },
    }
