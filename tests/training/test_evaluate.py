"""Probabilities come in document order, whatever the batches."""

from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)

from .conftest import FEATURES, apply_without_dropout, initial_params

DOCUMENTS = np.random.default_rng(1).normal(size=(21, FEATURES)).astype(np.float32)


def batches(batch_size: int, order: np.ndarray | None = None) -> list[dict[str, Any]]:
    order = np.arange(len(DOCUMENTS)) if order is None else order
    made = []
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        padding = batch_size - len(index)
        made.append(
            {
                "inputs": np.pad(DOCUMENTS[index], [(0, padding), (0, 0)]),
                "targets": np.zeros((batch_size, 3), np.float32),
                "example_index": np.pad(index, (0, padding)),
                "example_mask": np.arange(batch_size) < len(index),
            }
        )
    return made


def expected() -> np.ndarray:
    head = initial_params()["head"]
    return 1 / (1 + np.exp(-(DOCUMENTS @ head["kernel"] + head["bias"])))


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21, 32])
def test_any_batch_size_gives_the_same(batch_size: int) -> None:
    compiled = compile_probabilities(apply_without_dropout)
    result = predict_probabilities(compiled, initial_params(), batches(batch_size))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(), rtol=1e-5)


def test_shuffled_documents_come_back_in_order() -> None:
    order = np.random.default_rng(2).permutation(len(DOCUMENTS))
    compiled = compile_probabilities(apply_without_dropout)
    result = predict_probabilities(compiled, initial_params(), batches(8, order))
    np.testing.assert_allclose(result, expected(), rtol=1e-5)


def test_the_model_is_never_given_the_truth() -> None:
    def apply(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
        assert "targets" not in batch
        assert key is None
        assert not train
        return apply_without_dropout(params, batch, key=key, train=train)

    predict_probabilities(compile_probabilities(apply), initial_params(), batches(8))


def test_a_plain_function_serves_as_well() -> None:
    def probabilities(params: Any, batch: Any) -> Any:
        logits = apply_without_dropout(params, batch, key=None, train=False)
        return jax.nn.sigmoid(logits)

    result = predict_probabilities(probabilities, initial_params(), batches(5))
    np.testing.assert_allclose(result, expected(), rtol=1e-5)


def test_no_batch_gives_no_row() -> None:
    assert predict_probabilities(lambda p, b: b, {}, []).shape == (0, 0)


def test_a_document_missing_or_seen_twice_is_refused() -> None:
    broken = batches(7)
    broken[1]["example_index"][0] = 0
    compiled = compile_probabilities(apply_without_dropout)
    with pytest.raises(ValueError, match=r"0 \.\. 20, each once; got 20 distinct"):
        predict_probabilities(compiled, initial_params(), broken)
