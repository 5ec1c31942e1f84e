"""The logit of a label as a function of a document's token vectors, and its parts."""

import dataclasses
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.traces import Trace, trace
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.functional.attribution import (
    Attribution,
    gradient_times_input,
    integrated_gradients,
)
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.predictors.building import padded_length
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.network import INPUT_VECTORS, MODEL_INPUTS, Classifier

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

Method = Literal["integrated-gradients", "gradient-x-input"]
METHODS: tuple[Method, ...] = ("integrated-gradients", "gradient-x-input")

Run = Callable[..., Attribution]
"""(state, vectors, baseline, target, method=, steps=) -> attributions of the tokens."""


@dataclass(frozen=True)
class TokenInputs:
    """One document as the vectors that its words are read as.

    Attributes:
        trace: which words its tokens came from.
        vectors: of its tokens `[*W, S, D]`, padded.
        baseline: the document that says nothing, in the same places.
        state: parameters and the rest of the batch, for the compiled function.
        read: what the vectors are, in words.
        without: what the baseline is, in words.
    """

    trace: Trace
    vectors: jax.Array
    baseline: jax.Array
    state: dict[str, Params]
    read: str
    without: str

    def per_window(self, rows: ArrayLike) -> np.ndarray:
        """Numbers of tokens `[*W, S]` as `[W, S]`, windows without a token left out."""
        rows = np.asarray(rows)
        rows = rows.reshape(-1, rows.shape[-1])
        return rows[: len(self.trace.sources)]


def read_inputs(model: "Model", document: Document) -> TokenInputs:
    """A document as `model` reads it, token by token.

    The baseline is zeros where the model learned its own vectors: to a bag and to a
    CNN that is what padding is, so it is the empty document. A published encoder has
    never seen zeros; there it is the same text with every word hidden behind the
    encoder's own [MASK], its frame ([CLS], [SEP]) left as it is.
    """
    # The document as the tokens of one batch.
    text = model.config.text
    windows = text.max_windows if text.long_documents == "windows" else 1
    traced = trace(
        model.tokenizer, document, max_length=text.max_length, max_windows=windows
    )
    examples = model.encode([document]).examples
    # What a frozen encoder made of the tokens is made again, from their own vectors.
    tokens = dataclasses.replace(examples, token_vectors=None)
    bucket = _bucket(int(tokens.lengths[0]), model)
    (batch,) = evaluation_batches(tokens, batch_size=1, length_buckets=[bucket])
    batch = {name: batch[name] for name in MODEL_INPUTS if name in batch}
    # Vectors of the tokens, as they are looked up.
    state: dict[str, Params] = {"params": model.params, "batch": batch}
    if model.encoder is None:
        vectors = jax.jit(model.classifier.looked_up)(model.params, batch)[0]
    else:
        ids, mask = _windows(batch["token_ids"]), _windows(batch["token_mask"])
        vectors = model.encoder.looked_up(ids, mask)
        vectors = vectors.reshape(*batch["token_ids"].shape[1:], -1)
        state["encoder"] = model.encoder.params
    # What stands in the place of a word: a mask token where there is one, or zeros.
    published = text.vectors == "pretrained"
    hidden, without = jnp.zeros(vectors.shape[-1]), "no token vector at all (zeros)"
    masked = model.tokenizer.mask_id if isinstance(model.tokenizer, Tokenizer) else None
    if published and masked is not None:
        table = _published_table(model)
        hidden, without = jnp.asarray(table[masked]), "every word hidden ([MASK])"
    what = "word pieces of the published encoder, before its first layer"
    if not published:
        what = "token vectors, as looked up in the model's own table"
    if model.reads_features:
        what = "vectors of the features, as looked up in the model's own table"
    stays = ~_has_word(traced, np.asarray(batch["token_mask"][0]))
    baseline = jnp.where(stays[..., None], vectors, hidden)
    return TokenInputs(traced, vectors, baseline, state, what, without)


def _bucket(length: int, model: "Model") -> int:
    """A power of two that the document is padded to, so that little is compiled."""
    padded = 16
    while padded < length:
        padded *= 2
    if isinstance(model.tokenizer, Tokenizer):
        # An encoder has no more positions than that.
        padded = min(padded, padded_length(model.config.text.max_length))
    return padded


def _published_table(model: "Model") -> np.ndarray:
    own = model.params.get("text_encoder", {}).get("transformer", {})
    params = own if model.encoder is None else model.encoder.params
    return params["token"]["embedding"]


def _windows(array: np.ndarray | jax.Array) -> jax.Array:
    """`[1, *W, S]` as `[W, S]`."""
    return jnp.asarray(array).reshape(-1, array.shape[-1])


def _has_word(traced: Trace, mask: np.ndarray) -> np.ndarray:
    """Return a mask of the tokens that came from a word, bool `[*W, S]`."""
    found = np.zeros(mask.reshape(-1, mask.shape[-1]).shape, bool)
    for row, window in enumerate(traced.sources):
        found[row, : len(window)] = [bool(origin) for origin in window]
    return found.reshape(mask.shape) & mask


LabelTarget = jax.Array | tuple[jax.Array, jax.Array]
"""The column of a label, or its vector and bias."""


def label_targets(model: "Model", columns: np.ndarray) -> list[LabelTarget]:
    """Return the compiled function's argument for each label.

    For a product of vectors that is its vector and bias, so that no other label is
    scored; else its column.
    """
    if not isinstance(model.classifier.module, Magnet):
        return [jnp.asarray(column) for column in columns]
    vectors, bias = model.label_side
    return [(vectors[column], bias[column]) for column in columns]


def document_logit(
    classifier: Classifier,
    encoder: FrozenEncoder | None,
    state: dict[str, Params],
    vectors: jax.Array,
    target: LabelTarget,
) -> jax.Array:
    """Return the logit of a label for a document of these token vectors.

    It is that of the model's own forward pass.
    """
    params, batch = state["params"], dict(state["batch"])
    if encoder is None:
        batch[INPUT_VECTORS] = vectors[None]
    else:
        ids, mask = _windows(batch.pop("token_ids")), _windows(batch["token_mask"])
        inputs = vectors.reshape(*ids.shape, -1)
        made = encoder.from_inputs(state["encoder"], ids, mask, inputs)
        batch["token_vectors"] = made.reshape(*batch["token_mask"].shape, -1)
    if isinstance(classifier.module, Magnet):
        label, bias = target
        return classifier.document_side(params, batch)[0] @ label + bias
    return classifier.apply(params, batch)[0, target]


_compiled: dict[int, Run] = {}
"""By the id of a classifier, as long as it lives."""


def compiled_attribution(model: "Model") -> Run:
    """Return what attributes the logits of a model; it is compiled once per length.

    Models that share a classifier, as those that only decide otherwise, share it.
    """
    classifier, key = model.classifier, id(model.classifier)
    if key not in _compiled:
        _compiled[key] = _compile(classifier, model.encoder)
        weakref.finalize(classifier, _compiled.pop, key, None)
    return _compiled[key]


def _compile(classifier: Classifier, encoder: FrozenEncoder | None) -> Run:
    # What is kept must not keep alive what it is kept for.
    classifier_of = weakref.ref(classifier)
    encoder_of = (lambda: None) if encoder is None else weakref.ref(encoder)

    def run(
        state: dict[str, Params],
        vectors: jax.Array,
        baseline: jax.Array,
        target: LabelTarget,
        *,
        method: Method,
        steps: int,
    ) -> Attribution:
        own = classifier_of()
        assert own is not None

        def logit(at: jax.Array) -> jax.Array:
            return document_logit(own, encoder_of(), state, at, target)

        if method == "gradient-x-input":
            return gradient_times_input(logit, vectors, baseline)
        return integrated_gradients(logit, vectors, baseline, steps=steps)

    return partial(jax.jit, static_argnames=("method", "steps"))(run)
