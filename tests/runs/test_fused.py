"""Runs over n-grams and static vectors at once, from the first option to the export."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import Config, ConfigError, TextConfig
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.predictors.documents import prediction_batches
from labelgraph_jax.predictors.network import token_table
from labelgraph_jax.predictors.scorers import compile_scorer
from labelgraph_jax.predictors.static_encoder import StaticEncoder
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs import steps
from labelgraph_jax.runs.distil import Distillation, distil
from labelgraph_jax.runs.fit import fit
from tests.tiny import made_documents, tiny_config

NEW = ["maize cob harvest", "crude barrel today", "", "never seen words"]


@pytest.fixture(scope="module")
def source(zoo, tmp_path_factory) -> Path:
    """A static encoder of other texts than those that are trained on."""
    folder = tmp_path_factory.mktemp("static") / "encoder"
    texts = [document["text"] for document in made_documents(60, 7)]
    distil(str(zoo.bert), texts, Distillation(max_length=10)).save(folder)
    return folder


def fused_config(zoo, source: Path, **training) -> Config:
    return tiny_config(
        zoo.data,
        text={
            "encoder": "bag+static",
            "pretrained": str(source),
            "max_length": 10,
            "ngrams": None,
        },
        training={"epochs": 12, "batch_size": 8} | training,
    )


@pytest.fixture(scope="module")
def trained(zoo, source, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("run") / "run"
    fit(fused_config(zoo, source), place, progress=False)
    return place


def test_a_run_learns_and_its_static_rows_point_where_they_did(
    trained: Path, source: Path
) -> None:
    results = json.loads((trained / "results.json").read_text())
    assert results["test"]["metrics"]["micro_f1"] > 0.5
    assert results["model"].startswith("bag+static")
    model = lg.load(trained)
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, FusedTokenizer)
    first = tokenizer.words.vocabulary_size
    rows = np.asarray(token_table(model.params))[first:]
    table = StaticEncoder.load(source).table.astype(np.float32)
    # Weight decay shortens all of them alike; what they are averaged to has length 1.
    shrunk = rows / table
    np.testing.assert_allclose(shrunk, np.median(shrunk), rtol=1e-3)
    assert not np.allclose(np.asarray(token_table(model.params))[2:first], 0)


def test_the_bag_on_the_processor_predicts_what_the_compiled_network_does(
    trained: Path,
) -> None:
    model = lg.load(trained).network
    documents = model.documents(NEW)
    examples = model.encode(documents).examples
    batches = prediction_batches(model.config, model.tokenizer, examples, None)
    expected = compile_scorer(model.config, model.classifier)(model.params, batches)
    found = model.predict_examples(documents, examples)
    assert model.on_host is not None
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)


def test_a_run_by_rows_learns_as_much_as_one_over_the_whole_table(
    zoo, source, trained, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(steps, "SMALLEST_TABLE", 1)
    monkeypatch.setattr(steps, "READ_SHARE", 1.0)
    place = tmp_path / "rows"
    fit(fused_config(zoo, source), place, progress=False)
    rows, whole = (Workdir(p).results()["test"]["metrics"] for p in (place, trained))
    assert abs(rows["micro_f1"] - whole["micro_f1"]) < 0.15
    table = np.asarray(token_table(lg.load(place).params))
    first = lg.load(place).tokenizer.words.vocabulary_size
    static = StaticEncoder.load(source).table.astype(np.float32)
    shrunk = table[first:] / static
    np.testing.assert_allclose(shrunk, np.median(shrunk), rtol=1e-3)


def test_explanation_export_and_a_fresh_start(
    zoo, source, trained, tmp_path, capsys
) -> None:
    assert run(["explain", str(trained), NEW[0], "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert "maize" in json.dumps(explained)
    folder = tmp_path / "exported"
    assert run(["export", str(trained), str(folder)]) == 0
    command = [sys.executable, str(folder / "load_example.py"), NEW[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ((label, score), *_) = json.loads(done.stdout)
    model = lg.load(trained)
    assert label in model.predict([NEW[0]])[0]
    probabilities = np.asarray(model.predict_proba([NEW[0]]))[0]
    assert score == pytest.approx(probabilities.max(), abs=1e-5)
    with pytest.raises(ConfigError, match=r"bag\+static' of both or of neither"):
        config = fused_config(zoo, source)
        fit(config, tmp_path / "other", progress=False, start=zoo("bag"))
    second = tmp_path / "second"
    fit(fused_config(zoo, source), second, progress=False, start=trained)
    assert (second / "results.json").exists()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ({"vectors": "static"}, "text.vectors must be 'random', got 'static'"),
        ({"long_documents": "windows"}, "text.long_documents must be 'head'"),
        ({"ngrams": False}, "reads n-grams: text.no-ngrams has no effect"),
    ],
)
def test_settings_that_cannot_be(text: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TextConfig(encoder="bag+static", **text)
