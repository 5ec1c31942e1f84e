"""A configuration -> a model: pure `init` and `apply` over a pytree of parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from labelgraph_jax.config import TextConfig
from labelgraph_jax.data.batches.touched import TOKEN_COUNTS
from labelgraph_jax.functional.structure.hierarchy import descendant_max
from labelgraph_jax.functional.structure.rules import Clauses
from labelgraph_jax.functional.structure.shield import shield_rules
from labelgraph_jax.functional.trees import Batch, Params
from labelgraph_jax.modules.label_attention import LabelAttention
from labelgraph_jax.modules.label_decoder import LabelDecoder
from labelgraph_jax.modules.magnet import Adjacency, Factors, Magnet, TaskMagnet
from labelgraph_jax.modules.mixture import GATES, gate_weights_of
from labelgraph_jax.modules.seams import COUNTED, COUNTS, LOOKED_UP, looked_up
from labelgraph_jax.modules.text_encoder import place_params
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.many_labels import MANY
from labelgraph_jax.training.objectives import LossFn, LossSum

MODEL_INPUTS = ("token_mask", "token_ids", "token_vectors", "token_values")
INPUT_VECTORS = "input_vectors"
"""Batch entry: vectors that are read in place of those of its token ids."""


@dataclass(frozen=True)
class Classifier:
    """A classifier's module and the constants of its label graph.

    Attributes:
        module: the Flax module; it holds no parameters.
        graph: label features, adjacency and label prior, from the training split.
        parents: (child, parent) of the labels, where one is as probable as the most
            probable below it; None elsewhere.
        shield: rules that logits are raised and lowered by; None where there are none.
    """

    module: Magnet | TaskMagnet | LabelAttention | LabelDecoder
    graph: LabelGraphArrays
    parents: np.ndarray | None = None
    shield: Clauses | None = None

    @property
    def is_structured(self) -> bool:
        """True if logits are not predicted as the labels' own factors give them."""
        return self.parents is not None or self.shield is not None

    def agreeing(self, logits: jax.Array) -> jax.Array:
        """Logits as they are predicted.

        Those of a label include those below it, or they obey rules.
        """
        if self.shield is not None:
            return shield_rules(logits, self.shield)
        if self.parents is None:
            return logits
        return descendant_max(logits, self.parents)

    def init(self, key: jax.Array, batch: Batch, **values: Params) -> Params:
        """Initial parameters, with published or counted values put in.

        Args:
            key: randomness.
            batch: any batch, for its shapes.
            **values: `transformer`, `embedding`, `token_weight` for
                `modules.text_encoder.place_params`.
        """
        arguments, options = self._inputs(batch, whole=True)
        # Compiled, what does not reach a parameter is never computed.
        variables = jax.jit(self.module.init)({"params": key}, *arguments, **options)
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
        params: Params,
        batch: Batch,
        *,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Logits `[B, N]` of a batch.

        With `train`, dropout is drawn from `key`, and each label stands by itself even
        where `parents` or a `shield` are known.
        """
        arguments, options = self._inputs(batch)
        logits = self.module.apply(
            self._variables(params, batch),
            *arguments,
            **options,
            deterministic=not train,
            rngs={"dropout": key} if train and key is not None else None,
        )
        assert isinstance(logits, jax.Array)
        return logits if train else self.agreeing(logits)

    def factors(
        self,
        params: Params,
        batch: Batch,
        *,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> Factors:
        """Return the factors of the logits of a batch, of a `Magnet` alone."""
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

    def label_side(self, params: Params) -> tuple[jax.Array, jax.Array]:
        """Label vectors `[N, D]` and biases `[N]` of a `Magnet`, for any document."""
        constants = self._constants()
        vectors = self.module.apply(
            {"params": params}, *constants[:2], method="label_vectors"
        )
        assert isinstance(vectors, jax.Array)
        return vectors, jnp.asarray(params["label_bias"])

    def document_side(self, params: Params, batch: Batch) -> jax.Array:
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

    def text_vectors(self, params: Params, batch: Batch) -> jax.Array:
        """Return the vectors of a batch from the text encoder.

        They are of documents, `[B, D]`, or for a head that reads tokens `[B, S, D]`;
        float32, without dropout.
        """
        (*_, token_mask), options = self._inputs(batch)
        token_ids = options.pop("token_ids", None)
        encoder = self.module.text_encoder
        variables = self._variables(params, batch, "text_encoder")
        vectors = encoder.apply(variables, token_ids, token_mask, **options)
        assert isinstance(vectors, jax.Array)
        return vectors.astype(jnp.float32)

    def looked_up(self, params: Params, batch: Batch) -> jax.Array:
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
    def row_offsets(self) -> None:
        """None: a token reads the row of its id."""

    @property
    def hidden_tokens(self) -> float | None:
        """The share of tokens that training hides, of a model that counts tokens."""
        encoder = self.module.text_encoder
        counts = encoder.kind == "bag" and encoder.transformer is None
        counts = counts and not encoder.token_level
        return encoder.token_dropout_rate if counts else None

    @property
    def has_gates(self) -> bool:
        """True if the label sets go through a mixture that has gates."""
        return isinstance(self.module, TaskMagnet) and self.module.mixture.has_gates

    def gate_weights(self, params: Params, batch: Batch) -> jax.Array:
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
        """Loss of a model whose objective is not over (document, label) cells.

        `loss(params, batch, key)` -> `(loss_sum, weight_sum)`; None for all other
        models.
        """
        return self._sequence_loss if isinstance(self.module, LabelDecoder) else None

    @property
    def own_validation_loss(self) -> LossFn | None:
        """The same without dropout."""
        if self.own_loss is None:
            return None
        return lambda params, batch, key: self._sequence_loss(params, batch, None)

    def _sequence_loss(
        self, params: Params, batch: Batch, key: jax.Array | None
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
            deterministic=key is None,
            rngs=None if key is None else {"dropout": key},
            method="loss",
        )
        return sums

    def _variables(
        self, params: Params, batch: Batch, part: str = ""
    ) -> dict[str, Params]:
        """Parameters of the model, or of a part of it, with a batch's substitutes.

        A batch may put those in the place of its token vectors or ids.
        """
        own = params.get(part, {}) if part else params
        if INPUT_VECTORS in batch:
            vectors = jnp.asarray(batch[INPUT_VECTORS])
            given = self.module.text_encoder.substitutes(vectors)
        elif TOKEN_COUNTS in batch:
            given = {COUNTED: {COUNTS: jnp.asarray(batch[TOKEN_COUNTS])}}
        else:
            return {"params": own}
        if not part:
            given = {name: {"text_encoder": tree} for name, tree in given.items()}
        return {"params": own, **given}

    def _inputs(
        self, batch: Batch, *, whole: bool = False
    ) -> tuple[tuple[PyTree[jax.Array], ...], dict[str, PyTree[jax.Array]]]:
        inputs = {
            name: jnp.asarray(batch[name]) for name in MODEL_INPUTS if name in batch
        }
        return (*self._constants(whole=whole), inputs.pop("token_mask")), inputs

    def _constants(
        self, *, whole: bool = False
    ) -> tuple[jax.Array, Adjacency, jax.Array]:
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


def token_table(params: Params) -> np.ndarray | None:
    """The learned table of token vectors `[V, D]`, where a model has one."""
    encoder = params.get("text_encoder", {})
    owner = encoder.get("transformer", {}).get("token", encoder)
    table = owner.get("embedding")
    return table["embedding"] if isinstance(table, Mapping) else table


def is_body(path: str) -> bool:
    """Return True if a parameter belongs to the pretrained encoder (its own rate)."""
    return path.startswith("text_encoder/transformer/")


def is_frozen(config: TextConfig) -> Callable[[str], bool]:
    """Return a predicate over paths that is True for parameters that never change."""
    prefixes = ["text_encoder/token_weight"]
    if not config.trainable:
        pretrained = config.vectors == "pretrained"
        transformer = "text_encoder/transformer/" + ("" if pretrained else "token/")
        prefixes += ["text_encoder/embedding", transformer]
    return lambda path: path.startswith(tuple(prefixes))


def count_parameters(params: Params) -> int:
    """Return the number of values in all parameters."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
