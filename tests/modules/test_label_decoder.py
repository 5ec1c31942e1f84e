"""The label decoder as a module: two methods over one set of parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.functional.text.label_decoder import (
    DecoderWeights,
    greedy_decode,
    label_sequence_loss,
    label_sequences,
)
from labelgraph_jax.functional.text.recurrent import LstmWeights
from labelgraph_jax.modules import LabelDecoder, TextEncoder

B, S, N, D, H = 3, 6, 4, 8, 5
COUNTS = jnp.array([2.0, 9.0, 0.0, 4.0])
PRIOR = COUNTS / 10
TARGETS = jnp.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]])


def made_batch() -> dict[str, jax.Array]:
    generator = np.random.default_rng(0)
    return {
        "token_mask": jnp.asarray(np.arange(S) < np.array([[6], [3], [1]])),
        "token_ids": jnp.asarray(generator.integers(0, 10, (B, S)), jnp.int32),
    }


def model(**options: Any) -> LabelDecoder:
    return LabelDecoder(
        TextEncoder(vocabulary_size=10, features=D, **options),
        hidden_features=H,
        max_labels=3,
    )


def inputs(labels: int = N) -> tuple[jax.Array, jax.Array, jax.Array]:
    return jnp.ones((labels, 2)), jnp.eye(labels), PRIOR


def started(network: LabelDecoder) -> Any:
    start = jax.jit(lambda k: network.init(k, *inputs(), **made_batch())["params"])
    return start(jax.random.key(0))


def by_hand(network: LabelDecoder, params: Any) -> tuple[DecoderWeights, Any, Any]:
    documents = network.text_encoder.apply(
        {"params": params["text_encoder"]}, **made_batch()
    )
    state = jnp.tanh(documents @ params["start"]["kernel"] + params["start"]["bias"])
    cell = params["cell"]
    weights = DecoderWeights(
        params["label_embedding"]["embedding"],
        LstmWeights(cell["input_kernel"], cell["recurrent_kernel"], cell["bias"]),
        params["output_kernel"],
        params["output_bias"],
    )
    return weights, state[:, :H], state[:, H:]


def test_called_it_decodes_from_the_document_vector() -> None:
    network = model()
    params = started(network)
    logits = network.apply({"params": params}, *inputs(), **made_batch())
    expected = greedy_decode(*by_hand(network, params), max_labels=3).logits
    assert logits.shape == (B, N) and logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_its_loss_is_that_of_the_sequences_by_training_frequency() -> None:
    network = model()
    params = started(network)
    masks = {"target_mask": TARGETS == TARGETS, "example_mask": jnp.arange(B) != 1}
    sums = network.apply(
        {"params": params},
        *inputs(),
        **made_batch(),
        label_counts=COUNTS,
        targets=TARGETS,
        **masks,
        method="loss",
    )
    sequences = label_sequences(TARGETS, COUNTS, max_labels=3)
    expected = label_sequence_loss(
        *by_hand(network, params), sequences, masks["example_mask"]
    )
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    assert sums[1] == 6  # two labels and a stop; and three labels, which fill the steps


def test_the_first_scores_are_the_shares_of_the_symbols() -> None:
    bias = np.asarray(started(model())["output_bias"])
    written = float(PRIOR.sum()) + 1  # every document stops once
    np.testing.assert_allclose(np.exp(bias[[1, 4]]), [0.9 / written, 1 / written])
    assert np.isfinite(bias).all(), "a label that no document carries has a share too"


def test_the_loss_drops_out_and_decoding_does_not() -> None:
    network = model(dropout_rate=0.5)
    params = started(network)

    def loss(key: int) -> Any:
        return network.apply(
            {"params": params},
            *inputs(),
            **made_batch(),
            label_counts=COUNTS,
            targets=TARGETS,
            deterministic=False,
            rngs={"dropout": jax.random.key(key)},
            method="loss",
        )[0]

    assert loss(1) != loss(2)
    first, second = (
        network.apply({"params": params}, *inputs(), **made_batch()) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
