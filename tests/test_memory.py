"""A memory beside the classifier: made, chosen, saved, and used."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.config import Config, ConfigError, DataConfig, MemoryConfig
from labelgraph_jax.data.documents import Document
from labelgraph_jax.evaluation import evaluate_workdir
from labelgraph_jax.fit import fit
from tests.tiny import LABELS, WORDS, tiny_config, write_tiny_bert


def with_memory(data: DataConfig, **memory: Any) -> Config:
    config = tiny_config(data, training={"epochs": 4, "batch_size": 8})
    return dataclasses.replace(config, memory=MemoryConfig(neighbours=8, **memory))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture(scope="module")
def remembering(
    tiny_data: DataConfig, bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run whose memory has half the say; tests read it and leave it as it is."""
    workdir = tmp_path_factory.mktemp("remembering") / "run"
    config = with_memory(
        tiny_data, kind="pretrained", pretrained=str(bert), weight=0.5, share=0.5
    )
    fit(config, workdir, progress=False)
    return workdir


def test_results_tell_what_was_chosen_and_what_it_does(remembering: Path) -> None:
    results = json.loads((remembering / "results.json").read_text())
    memory = results["memory"]
    assert memory["kind"] == "pretrained"
    assert memory["choice"]["weight"] == 0.5
    assert memory["choice"]["temperature"] > 0
    about = memory["validation"]
    assert set(about["with_memory"]) == set(about["without_memory"])
    again = evaluate_workdir(remembering)
    assert again["memory"] == memory
    assert again["test"]["metrics"] == results["test"]["metrics"]


def test_the_mixture_is_that_of_classifier_and_memory(remembering: Path) -> None:
    model = lg.load(remembering)
    texts = ["maize cob today", "crude barrel of the port cargo"]
    mixed = model.predict_proba(texts)
    documents = [Document(str(i), t, ()) for i, t in enumerate(texts)]
    classifier = model.score(model.encode(documents).examples)
    assert model.memory is not None
    queries = model.memory.queries(documents)
    found = model.memory.found(queries)
    memory = np.zeros_like(classifier)
    for row, (ids, scores) in enumerate(zip(found.ids, found.scores, strict=True)):
        for label, score in zip(np.asarray(ids), np.asarray(scores), strict=True):
            if label >= 0:
                memory[row, label] = score
    np.testing.assert_allclose(mixed, (classifier + memory) / 2, atol=1e-6)
