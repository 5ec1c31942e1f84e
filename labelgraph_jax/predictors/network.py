"""A configuration -> a model: pure `init` and `apply` over a pytree of parameters."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.modules.label_attention import LabelAttention
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import Factors, Magnet, TaskMagnet
from labelgraph_jax.modules.mixture import GATES, gate_weights_of
from labelgraph_jax.modules.seams import LOOKED_UP, looked_up
from labelgraph_jax.modules.text_encoder import TextEncoder, place_params
from labelgraph_jax.modules.transformer import TransformerShape
from labelgraph_jax.predictors.frozen_encoder import chunk_tokens
from labelgraph_jax.predictors.many_labels import EDGES_FROM, MANY, free_bytes
from labelgraph_jax.predictors.task_network import build_task_magnet
from labelgraph_jax.predictors.workdir import LabelGraphArrays
from labelgraph_jax.training.objectives import LossFn, LossSum

MAX_HEADS = 8
MODEL_INPUTS = ("token_mask", "token_ids", "token_vectors", "token_values")
INPUT_VECTORS = "input_vectors"
"""Of a batch: vectors that are read in the place of those of its token ids."""
LENGTH_MULTIPLE = 8
"""Batches are padded to a multiple of this, so a window may grow by that much."""


@dataclass(frozen=True)
class Classifier:
    """A classifier's module and the constants of its label graph.

    Attributes:
        module: the Flax module; it holds no parameters.
        graph: label features, adjacency and label prior, from the training split.
    """

    module: Magnet | TaskMagnet | LabelAttention | LabelDecoder
    graph: LabelGraphArrays

    def init(self, key: jax.Array, batch: Mapping[str, Any], **values: Any) -> Any:
        """Initial parameters, with published or counted values put in.

        Args:
            key: randomness.
            batch: any batch, for its shapes.
            **values: `transformer`, `embedding`, `token_weight` for
                `modules.text_encoder.place_params`.
        """
        arguments, options = self._inputs(batch, whole=True)
        start = self.module.init
        if len(self.graph.counts) > MANY:
            # Compiled, what does not reach a parameter is never computed.
            start = jax.jit(start)
        variables = start({"params": key}, *arguments, **options)
        params = dict(variables["params"])
        # A frozen encoder's vectors that are only pooled leave nothing to learn here.
        encoder = dict(params.get("text_encoder", {}))
        if "transformer" in encoder and "embedding" in values:
            table = {"embedding": np.asarray(values.pop("embedding"), np.float32)}
            values["transformer"] = {**encoder["transformer"], "token": table}
        if encoder or values:
            params["text_encoder"] = place_params(encoder, **values)
        return params

    def apply(
        self,
        params: Any,
        batch: Mapping[str, Any],
        *,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Logits `[B, N]` of a batch; with `train`, dropout from `key`."""
        arguments, options = self._inputs(batch)
        logits = self.module.apply(
            self._variables(params, batch),
            *arguments,
            **options,
            deterministic=not train,
            rngs={"dropout": key} if train and key is not None else None,
        )
        assert isinstance(logits, jax.Array)
        return logits

    def factors(
        self,
        params: Any,
        batch: Mapping[str, Any],
        *,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> Factors:
        """What the logits of a batch are made of, of a `Magnet` alone."""
        arguments, options = self._inputs(batch)
        found = self.module.apply(
            self._variables(params, batch),
            *arguments,
            **options,
            factored=True,
            deterministic=not train,
            rngs={"dropout": key} if train and key is not None else None,
        )
        assert isinstance(found, Factors)
        return found

    def label_side(self, params: Any) -> tuple[jax.Array, jax.Array]:
        """Label vectors `[N, D]` and biases `[N]` of a `Magnet`, for any document."""
        constants = self._constants()
        vectors = self.module.apply(
            {"params": params}, *constants[:2], method="label_vectors"
        )
        assert isinstance(vectors, jax.Array)
        return vectors, jnp.asarray(params["label_bias"])

    def document_side(self, params: Any, batch: Mapping[str, Any]) -> jax.Array:
        """Document vectors `[B, D]` of a `Magnet`, float32, without dropout."""
        (*_, token_mask), options = self._inputs(batch)
        vectors = self.module.apply(
            self._variables(params, batch),
            token_mask,
            **options,
            method="document_vectors",
        )
        assert isinstance(vectors, jax.Array)
        return vectors

    def text_vectors(self, params: Any, batch: Mapping[str, Any]) -> jax.Array:
        """What the text encoder makes of a batch: document vectors `[B, D]`, or of a
        head that reads tokens theirs `[B, S, D]`; float32, without dropout."""
        (*_, token_mask), options = self._inputs(batch)
        token_ids = options.pop("token_ids", None)
        encoder = self.module.text_encoder
        variables = self._variables(params, batch, "text_encoder")
        vectors = encoder.apply(variables, token_ids, token_mask, **options)
        assert isinstance(vectors, jax.Array)
        return vectors.astype(jnp.float32)

    def looked_up(self, params: Any, batch: Mapping[str, Any]) -> jax.Array:
        """The vectors `[B, *W, S, D]` that the token ids of a batch are looked up as.

        Put back into the batch as `input_vectors`, changed or not, they are what the
        model reads: `apply`, `document_side` and `gate_weights` give what follows.
        """
        (*_, token_mask), options = self._inputs(batch)
        ids = options.pop("token_ids")
        variables = {"params": params.get("text_encoder", {})}
        encoder = self.module.text_encoder
        _, left = encoder.apply(
            variables, ids, token_mask, **options, mutable=LOOKED_UP
        )
        vectors = looked_up(left)
        return vectors.reshape(*ids.shape, vectors.shape[-1])

    @property
    def has_gates(self) -> bool:
        """Whether the label sets go through a mixture that has gates."""
        return isinstance(self.module, TaskMagnet) and self.module.mixture.has_gates

    def gate_weights(self, params: Any, batch: Mapping[str, Any]) -> jax.Array:
        """The gates' weights `[B, T, E]` for a batch, of a model that `has_gates`."""
        arguments, options = self._inputs(batch)
        _, left = self.module.apply(
            self._variables(params, batch), *arguments, **options, mutable=GATES
        )
        weights = gate_weights_of(left)
        assert weights is not None
        return weights

    @property
    def own_loss(self) -> LossFn | None:
        """`loss(params, batch, key)` -> `(loss_sum, weight_sum)` of a model whose
        objective is not a loss over (document, label) cells; else None."""
        return self._sequence_loss if isinstance(self.module, LabelDecoder) else None

    def _sequence_loss(
        self, params: Any, batch: Mapping[str, Any], key: jax.Array
    ) -> LossSum:
        arguments, options = self._inputs(batch)
        sums: Any = self.module.apply(
            self._variables(params, batch),
            *arguments,
            **options,
            label_counts=jnp.asarray(self.graph.counts),
            targets=batch["targets"],
            target_mask=batch.get("target_mask"),
            example_mask=batch.get("example_mask"),
            deterministic=False,
            rngs={"dropout": key},
            method="loss",
        )
        return sums

    def _variables(
        self, params: Any, batch: Mapping[str, Any], part: str = ""
    ) -> dict[str, Any]:
        """Parameters of the model, or of a part of it, and what a batch puts in the
        place of its token vectors."""
        own = params.get(part, {}) if part else params
        if INPUT_VECTORS not in batch:
            return {"params": own}
        vectors = jnp.asarray(batch[INPUT_VECTORS])
        given = self.module.text_encoder.substitutes(vectors)
        if not part:
            given = {name: {"text_encoder": tree} for name, tree in given.items()}
        return {"params": own, **given}

    def _inputs(
        self, batch: Mapping[str, Any], *, whole: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        inputs = {
            name: jnp.asarray(batch[name]) for name in MODEL_INPUTS if name in batch
        }
        return (*self._constants(whole=whole), inputs.pop("token_mask")), inputs

    def _constants(self, *, whole: bool = False) -> tuple[Any, Any, Any]:
        """Label features, adjacency and prior as the module takes them.

        Where a parameter starts from them, a trained `Magnet` reads their shapes
        alone; of very many labels they would be a part of the compiled program, so
        that it gets zeros there, unless `whole`.
        """
        graph = self.graph
        constants = (graph.features, graph.adjacency, graph.prior)
        features, adjacency, prior = jax.tree.map(jnp.asarray, constants)
        many = len(graph.counts) > MANY and isinstance(self.module, Magnet)
        if many and not whole:
            features, prior = jnp.zeros_like(features), jnp.zeros_like(prior)
        return features, adjacency, prior


def build_classifier(
    config: Config,
    graph: LabelGraphArrays,
    *,
    vocabulary_size: int,
    transformer: TransformerShape | None = None,
    features: int | None = None,
    tasks: Mapping[str, np.ndarray] = MappingProxyType({}),
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

    Raises:
        ConfigError: the settings ask for what the label sets do not allow.
    """
    text, labels = config.resolved().text, config.graph
    head = config.head
    encoder = _text_encoder(
        text,
        vocabulary_size,
        transformer,
        features or text.dim,
        token_level=head.kind == "label_attention",
        dtype=jnp.dtype(config.training.compute_dtype),
        rematerialise=config.training.rematerialise,
    )
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
        )

    if config.mixture.kind != "none":
        return Classifier(build_task_magnet(config, encoder, label_graph, tasks), graph)
    classifier = LabelAttention if head.kind == "label_attention" else Magnet
    return Classifier(
        classifier(
            text_encoder=encoder, label_graph=label_graph(encoder.output_features)
        ),
        graph,
    )


def _text_encoder(
    text: TextConfig,
    vocabulary_size: int,
    pretrained: TransformerShape | None,
    features: int,
    *,
    token_level: bool,
    dtype: Any,
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
    # A transformer has no layer after its pooling; a bag's sum of embeddings is one.
    hidden = text.hidden if text.encoder in ("cnn", "bilstm") else 0
    sequence = text.encoder in ("cnn", "bilstm")
    return TextEncoder(
        kind=text.encoder,
        vocabulary_size=vocabulary_size,
        features=features,
        hidden_features=hidden,
        rectify=text.encoder == "bag",
        # A batch that is split over devices cannot be run in chunks.
        chunk_tokens=chunk_tokens() if jax.device_count() == 1 else 0,
        transformer=shape,
        first_layer=first_trained_layer(text, pretrained),
        # Of a transformer that is not pretrained only the table can be frozen.
        frozen=not text.trainable
        and (text.encoder != "transformer" or text.vectors == "pretrained"),
        pooling=None if text.pooling == "default" else text.pooling,
        window_pooling=text.window_pooling,
        token_level=token_level,
        token_dropout_rate=text.token_dropout,
        input_dropout_rate=text.dropout if sequence else 0.0,
        dropout_rate=text.dropout,
        dtype=dtype,
        rematerialise=rematerialise,
    )


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
    """Memory that attention over many labels may count on; None where that is no
    question, or where several processes would have to agree on it."""
    if labels <= EDGES_FROM or jax.process_count() > 1:
        return None
    return free_bytes() or None


def padded_length(length: int) -> int:
    """The longest row that a window of `length` tokens is padded to."""
    return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE


def token_table(params: Any) -> np.ndarray | None:
    """The learned table of token vectors `[V, D]`, where a model has one."""
    encoder = params.get("text_encoder", {})
    owner = encoder.get("transformer", {}).get("token", encoder)
    table = owner.get("embedding")
    return table["embedding"] if isinstance(table, Mapping) else table


def is_body(path: str) -> bool:
    """Whether a parameter belongs to the pretrained encoder (its own rate)."""
    return path.startswith("text_encoder/transformer/")


def is_frozen(config: TextConfig) -> Any:
    """Which parameters never change, by path."""
    prefixes = ["text_encoder/token_weight"]
    if not config.trainable:
        pretrained = config.vectors == "pretrained"
        transformer = "text_encoder/transformer/" + ("" if pretrained else "token/")
        prefixes += ["text_encoder/embedding", transformer]
    return lambda path: path.startswith(tuple(prefixes))


def count_parameters(params: Any) -> int:
    """How many numbers the parameters hold."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
