"""Models of every kind that were made and not trained: mathematics needs no more."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax

from labelgraph_jax.config import Config, DataConfig, HeadConfig, MixtureConfig
from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.decision import at_half
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.labels import prepare
from tests.tiny import tiny_config

TEXT = "Maize cob, the new silo and a barrel of today!"


def untrained(config: Config, folder: Path) -> Model:
    """The model that a run with these settings would start from."""
    config = config.resolved()
    prepared = prepare(config)
    batch = evaluation_batches(prepared.train, batch_size=1)[0]
    key = jax.random.key(0)
    init = partial(prepared.classifier.init, batch=batch, **prepared.initial_values)
    params = jax.jit(init)(key)
    encoder = None
    if config.text.vectors == "pretrained" and config.text.trained_layers:
        layers = 2 - config.text.trained_layers
        source = find_pretrained(config.text.pretrained)
        encoder = FrozenEncoder.load(source, layers=layers)
    elif config.text.vectors == "pretrained" and not config.text.trainable:
        encoder = FrozenEncoder.load(find_pretrained(config.text.pretrained))
    return LabelModel(
        Workdir(folder),
        config,
        prepared.labels,
        prepared.tokenizer,
        prepared.classifier,
        params,
        at_half(len(prepared.labels)),
        encoder,
    )


def settings_of(
    kind: str, data: DataConfig, bert: Path, vectors: Path, sets: DataConfig
) -> Config:
    """One configuration of each kind of reader and head."""
    pretrained = {"vectors": "pretrained", "pretrained": str(bert)}
    text: dict[str, dict[str, Any]] = {
        "bag": {},
        "n-grams": {"ngrams": True},
        "bag of windows": {"long_documents": "windows", "max_length": 4},
        "cnn": {"encoder": "cnn"},
        "bilstm of a file": {
            "encoder": "bilstm",
            "vectors": "file",
            "vectors_file": str(vectors),
        },
        "transformer": {"encoder": "transformer"},
        "windows of a transformer": {
            "encoder": "transformer",
            "long_documents": "windows",
            "max_length": 4,
        },
        "published transformer": {**pretrained, "encoder": "transformer"},
        "upper layers": {**pretrained, "encoder": "transformer", "trained_layers": 1},
        "frozen": {**pretrained, "encoder": "cnn", "trainable": False},
        "label attention": {"encoder": "cnn"},
        "decoder": {"encoder": "cnn"},
    }
    if kind == "mixture":
        mixture = MixtureConfig(kind="mmoe", experts=3, hidden=(6,))
        return dataclasses.replace(tiny_config(sets), mixture=mixture)
    config = tiny_config(data, text=text.get(kind, {}))
    if kind == "label attention":
        config = dataclasses.replace(config, head=HeadConfig(kind="label_attention"))
    if kind == "decoder":
        config = dataclasses.replace(
            config, head=HeadConfig(kind="recurrent", hidden=6)
        )
    if kind == "chunks":
        config = dataclasses.replace(
            config, head=HeadConfig(label_chunk=2, kept_labels=3)
        )
    return config


KINDS = (
    "bag",
    "n-grams",
    "bag of windows",
    "cnn",
    "bilstm of a file",
    "transformer",
    "windows of a transformer",
    "published transformer",
    "upper layers",
    "frozen",
    "label attention",
    "decoder",
    "mixture",
    "chunks",
)
