"""A configuration -> a network over texts and labels."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.functional.structure.rules import Clauses
from labelgraph_jax.modules.encoder_settings import read_pooling, read_shape
from labelgraph_jax.modules.label_attention import LabelAttention
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.modules.text_encoder import TextEncoder
from labelgraph_jax.modules.transformer import TransformerShape
from labelgraph_jax.predictors.frozen_encoder import chunk_tokens
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.many_labels import EDGES_FROM, free_bytes
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.task_network import build_task_magnet

MAX_HEADS = 8


LENGTH_MULTIPLE = 8
"""Batches are padded to a multiple of this, so a window may grow by that much."""


def build_classifier(
    config: Config,
    graph: LabelGraphArrays,
    *,
    vocabulary_size: int,
    transformer: TransformerShape | None = None,
    features: int | None = None,
    tasks: Mapping[str, np.ndarray] = MappingProxyType({}),
    parents: np.ndarray | None = None,
    shield: Clauses | None = None,
) -> Classifier:
    """The model that a configuration describes.

    Args:
        config: the run's settings.
        graph: what the label graph starts from.
        vocabulary_size: rows of a learned token table.
        transformer: sizes of the pretrained encoder, where there is one.
        features: width of word vectors read from a file.
        tasks: the columns of each label set where there are several; a mixture reads
            them.
        parents: (child, parent) of the labels, which a consistent hierarchy reads.
        shield: rules that logits obey.

    Raises:
        ConfigError: the settings ask for what the label sets do not allow.
    """
    text, labels = config.resolved().text, config.graph
    head = config.head
    # The text encoder: a vector for every token where labels attend to tokens.
    encoder = _text_encoder(
        text,
        vocabulary_size,
        transformer,
        features or text.dim,
        token_level=head.kind == "label_attention",
        dtype=jnp.dtype(config.training.compute_dtype),
        rematerialise=config.training.rematerialise,
    )
    # A decoder of labels has no label graph.
    if head.kind == "recurrent":
        return Classifier(LabelDecoder(encoder, head.hidden, head.max_labels), graph)

    def label_graph(width: int) -> LabelGraph:
        return LabelGraph(
            output_dim=width,
            hidden_dim=labels.hidden,
            layers=labels.layers,
            heads=labels.heads,
            role=labels.role,
            learned=labels.is_learned,
            residual=labels.residual,
            negative_slope=labels.negative_slope,
            dropout_rate=labels.dropout,
            attention=labels.attention,
            gated=labels.gated,
            skip=labels.skip,
            rank=labels.rank,
            method="auto" if labels.attention == "convolution" else labels.method,
            attention_dropout_rate=labels.attention_dropout,
            free_bytes=known_free_bytes(len(graph.counts)),
            gated_senders=config.hierarchy.kind == "graph",
        )

    # Label vectors meet documents: by task, by product, or by attention.
    if config.mixture.kind != "none":
        return Classifier(build_task_magnet(config, encoder, label_graph, tasks), graph)
    parts = encoder, label_graph(encoder.output_features)
    module: Magnet | LabelAttention = Magnet(*parts)
    if head.kind == "label_attention":
        module = LabelAttention(*parts, messages=labels.kind == "document")
    return Classifier(
        module,
        graph,
        parents if config.hierarchy.kind == "consistent" else None,
        shield,
    )


def _text_encoder(
    text: TextConfig,
    vocabulary_size: int,
    pretrained: TransformerShape | None,
    features: int,
    *,
    token_level: bool,
    dtype: DTypeLike,
    rematerialise: bool,
) -> TextEncoder:
    assert text.dropout is not None and text.token_dropout is not None
    shape: TransformerShape | None = None
    if text.vectors == "pretrained":
        assert pretrained is not None
        features = pretrained.features
        if text.trainable:
            shape = dataclasses.replace(
                pretrained,
                dropout_rate=text.dropout,
                attention_dropout_rate=text.attention_dropout,
            )
    elif text.encoder == "transformer":
        heads = max(h for h in range(1, MAX_HEADS + 1) if features % h == 0)
        shape = TransformerShape(
            vocabulary_size=vocabulary_size,
            features=features,
            layers=text.layers,
            heads=heads,
            hidden_features=4 * features,
            max_positions=padded_length(text.max_length),
            dropout_rate=text.dropout,
            attention_dropout_rate=text.attention_dropout,
        )
    pooling: str = text.pooling
    if pooling == "default":
        pooling = pretrained.pooling if pretrained else ""
    # A transformer has no layer after its pooling; a bag's sum of embeddings is one.
    sequence = text.encoder in ("cnn", "bilstm", "blocks")
    hidden = text.hidden if sequence else 0
    return TextEncoder(
        kind="bag" if text.encoder == "bag+static" else text.encoder,
        vocabulary_size=vocabulary_size,
        features=features,
        hidden_features=hidden,
        fused=text.encoder == "bag+static",
        rectify=text.encoder in ("bag", "bag+static") and text.vectors != "static",
        # A static table's mean, of length 1, is the vector that it was fitted to.
        damping="none" if text.vectors == "static" else "log",
        norm="l2" if text.vectors == "static" else "tfidf",
        # A batch that is split over devices cannot be run in chunks.
        chunk_tokens=chunk_tokens() if jax.device_count() == 1 else 0,
        transformer=shape,
        first_layer=first_trained_layer(text, pretrained),
        # Of a transformer that is not pretrained only the table can be frozen.
        frozen=not text.trainable
        and (text.encoder != "transformer" or text.vectors == "pretrained"),
        pooling=pooling or None,
        window_pooling=text.window_pooling,
        token_level=token_level,
        token_dropout_rate=text.token_dropout,
        input_dropout_rate=text.dropout if sequence else 0.0,
        dropout_rate=text.dropout,
        dtype=dtype,
        rematerialise=rematerialise,
    )


def own_pooling(config: Config, folder: Path) -> str:
    """The pooling that a pretrained encoder's folder names.

    Empty where the settings do not leave it to the folder.

    Raises:
        PretrainedError: the folder names a pooling that is not to be had.
    """
    text = config.text
    pools = text.encoder == "transformer" and config.head.kind != "label_attention"
    if not pools or text.pooling != "default":
        return ""
    return read_pooling(folder, read_shape(folder).features)


def first_trained_layer(text: TextConfig, pretrained: TransformerShape | None) -> int:
    """The lowest layer of a pretrained encoder that training changes, if not all do.

    Raises:
        ConfigError: more layers are to be trained than there are below which something
            could stay as it is.
    """
    if text.trained_layers is None or pretrained is None:
        return 0
    if text.trained_layers >= pretrained.layers:
        raise ConfigError(
            f"text.trained_layers must be less than the encoder's {pretrained.layers} "
            f"layers, got {text.trained_layers}; leave it out to train them all"
        )
    return pretrained.layers - text.trained_layers


def known_free_bytes(labels: int) -> int | None:
    """Memory that attention over many labels may count on.

    None where that is no question, or where several processes would have to agree on
    it.
    """
    if labels <= EDGES_FROM or jax.process_count() > 1:
        return None
    return free_bytes() or None


def padded_length(length: int) -> int:
    """The longest row that a window of `length` tokens is padded to."""
    return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
