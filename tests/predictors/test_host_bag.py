"""A bag on the processor predicts what the compiled network predicts."""

import dataclasses
import pickle
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelgraph_jax as lg
from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.predictors import host_bag as module
from labelgraph_jax.predictors.documents import prediction_batches
from labelgraph_jax.predictors.host_bag import bags, host_bag
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.scorers import compile_scorer
from tests.zoo import Zoo

TEXTS = ["maize cob today", "crude barrel of the port cargo", "", "flour", "cob " * 90]


def compiled(model: LabelModel, examples: Examples) -> np.ndarray:
    """Probabilities from the compiled network."""
    batches = prediction_batches(model.config, model.tokenizer, examples, None)
    return compile_scorer(model.config, model.classifier)(
        model.params, batches
    ).probabilities


def own(model: LabelModel, examples: Examples) -> np.ndarray:
    """Probabilities from the bag."""
    bag = host_bag(model.classifier, model.params)
    assert bag is not None
    return bag(examples).probabilities


@pytest.mark.parametrize("name", ["bag", "plain", "taxonomy", "sets", "whole"])
def test_it_predicts_what_the_compiled_network_predicts(zoo: Zoo, name: str) -> None:
    model = lg.load(zoo(name)).network
    documents = model.documents(TEXTS)
    examples = model.encode(documents).examples
    expected = compiled(model, examples)
    found = model.predict_examples(documents, examples)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert "_scores" not in vars(model)
    decided = dataclasses.replace(found, probabilities=expected).decide(model.decision)
    assert (found.decide(model.decision).decided == decided.decided).all()


@pytest.mark.parametrize("name", ["mixture", "chunks"])
def test_other_networks_are_compiled(zoo: Zoo, name: str) -> None:
    model = lg.load(zoo(name)).network
    assert model.on_host is None
    assert len(model.predict(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_the_windows_of_long_documents_are_pooled(zoo: Zoo, pooling: str) -> None:
    model = lg.load(zoo("bag")).network
    text = dataclasses.replace(model.config.text, max_length=4)
    network = model.classifier.module
    encoder = network.text_encoder.clone(window_pooling=pooling)
    model = dataclasses.replace(
        model,
        config=dataclasses.replace(model.config, text=text),
        classifier=dataclasses.replace(
            model.classifier, module=network.clone(text_encoder=encoder)
        ),
    )
    nothing = np.zeros(0, np.int32)
    one, two = np.int32([2, 3, 3]), np.int32([5, 2, 5])
    windows = [[one, two, one], [two], [nothing], [], [nothing, one]]
    targets = np.zeros((len(windows), len(model.labels)), np.float32)
    examples = Examples(windows=windows, targets=targets)
    found = own(model, examples)
    np.testing.assert_allclose(found, compiled(model, examples), atol=1e-6)
    assert not np.allclose(found[0], found[1])


@given(st.data())
def test_its_vectors_are_those_of_the_bag_of_embeddings(data: Any) -> None:
    has_values = data.draw(st.booleans())
    ids = st.lists(st.integers(0, 9), max_size=6, unique=has_values)
    windows = [np.asarray(w, np.int32) for w in data.draw(st.lists(ids, max_size=4))]
    options = {
        "damping": data.draw(st.sampled_from(("none", "sqrt", "log", "binary"))),
        "norm": data.draw(st.sampled_from(("tfidf", "l2", "mean", "sum"))),
    }
    random = np.random.default_rng(0)
    table = random.normal(size=(10, 3)).astype(np.float32)
    weights = random.uniform(0, 2, 10).astype(np.float32)
    values = [random.normal(size=len(w)).astype(np.float32) for w in windows]
    found = bags(table, weights, windows, values if has_values else None, **options)
    assert found.dtype == np.float32
    assert found.shape == (len(windows), 3)
    padded = np.zeros((4, 6), np.int32)
    mask, numbers = np.zeros((4, 6), bool), np.zeros((4, 6), np.float32)
    for row, (window, each) in enumerate(zip(windows, values, strict=True)):
        padded[row, : len(window)] = window
        numbers[row, : len(window)] = each
        mask[row, : len(window)] = True
    expected = lg.functional.bag_of_embeddings(
        jnp.asarray(table),
        jnp.asarray(padded),
        jnp.asarray(mask),
        jnp.asarray(weights),
        values=jnp.asarray(numbers) if has_values else None,
        **options,
    )
    np.testing.assert_allclose(found, expected[: len(windows)], atol=1e-5)


def test_a_document_without_a_window_has_its_row(zoo: Zoo) -> None:
    model = lg.load(zoo("bag")).network
    windows = [[np.int32([2])], [], [np.int32([3])]]
    examples = Examples(windows=windows, targets=np.zeros((3, 5), np.float32))
    np.testing.assert_allclose(own(model, examples), compiled(model, examples), 1e-5)


def test_how_many_are_counted_at_a_time_changes_nothing(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lg.load(zoo("bag")).network
    examples = model.encode(model.documents(TEXTS * 3)).examples
    before = own(model, examples)
    monkeypatch.setattr(module, "DOCUMENTS", 2)
    np.testing.assert_allclose(own(model, examples), before, atol=1e-7)


def test_nothing_of_it_is_pickled_and_batch_sizes_are_still_checked(zoo: Zoo) -> None:
    model = lg.load(zoo("bag"))
    model.predict(TEXTS)
    assert "on_host" in vars(model)
    assert "on_host" not in vars(pickle.loads(pickle.dumps(model)))
    assert "on_host" in vars(model.with_decision(model.decision))
    with pytest.raises(ConfigError, match="batch_size"):
        model.predict(TEXTS, batch_size=0)
