"""Runs over static vectors: one table, from the first option to the service."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import Config, ConfigError, MemoryConfig, TextConfig
from labelgraph_jax.data.batches.batches import evaluation_batches
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.scoring import Asked, Scorer, Text
from labelgraph_jax.modules.pretrained import PretrainedError
from labelgraph_jax.predictors.memory.texts import StaticReader
from labelgraph_jax.predictors.network import token_table
from labelgraph_jax.predictors.static_encoder import StaticEncoder
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.distil import Distillation, distil
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.restore import restore_network
from tests.tiny import made_documents, tiny_config, write_jsonl

NEW = ["maize cob harvest", "crude barrel today", "", "never seen words"]


def static_config(zoo, source: Path, **text) -> Config:
    values = {"vectors": "static", "pretrained": str(source), "max_length": 10}
    return tiny_config(
        zoo.data,
        text=values | {"trainable": False} | text,
        training={"epochs": 12, "batch_size": 8},
    )


@pytest.fixture(scope="module")
def source(zoo, tmp_path_factory) -> Path:
    """A static encoder of other texts than those that are trained on."""
    folder = tmp_path_factory.mktemp("static") / "encoder"
    texts = [document["text"] for document in made_documents(60, 7)]
    distil(str(zoo.bert), texts, Distillation(max_length=10)).save(folder)
    return folder


@pytest.fixture(scope="module")
def trained_static(zoo, source, tmp_path_factory) -> Path:
    """A run over it; the encoder's folder is not needed afterwards."""
    place = tmp_path_factory.mktemp("run") / "run"
    fit(static_config(zoo, source), place, progress=False)
    return place


def test_a_run_learns_over_static_vectors_which_stay_as_they_were(
    trained_static: Path, source: Path
) -> None:
    results = json.loads((trained_static / "results.json").read_text())
    assert results["test"]["metrics"]["micro_f1"] > 0.5
    assert results["model"].startswith("static encoder")
    params = lg.load(trained_static).params
    table = StaticEncoder.load(source).table
    np.testing.assert_array_equal(token_table(params), table.astype(np.float32))


def test_a_documents_vector_is_the_mean_of_its_tokens(
    trained_static: Path, source: Path
) -> None:
    model = restore_network(Workdir.existing(trained_static))
    encoder = StaticEncoder.load(source)
    texts = [document["text"] for document in made_documents(9, 5)]
    examples = model.encode([Document(t, t, ()) for t in texts]).examples
    (batch,) = evaluation_batches(examples, batch_size=9, sort_by_length=False)
    made = jax.jit(model.classifier.text_vectors)(model.params, batch)
    expected = encoder.document_vectors(texts, encoder.tokenizer, max_length=10)
    order = batch["example_index"]
    np.testing.assert_allclose(made, expected[order], atol=1e-5)


def test_it_predicts_where_the_encoder_is_gone(
    zoo, tmp_path, encodings_folder, capsys
) -> None:
    bert = shutil.copytree(zoo.bert, tmp_path / "bert")
    data = zoo.data
    place = tmp_path / "run"
    arguments = ["train", "--data", data.data, "--validation", data.validation]
    arguments += ["--test", data.test, "--workdir", str(place), "--no-report"]
    arguments += ["--preset", "fast-contextual", "--text.pretrained", str(bert)]
    assert run([*arguments, "--training.epochs", "2"]) == 0
    assert "static bert" in capsys.readouterr().out
    shutil.rmtree(bert)
    shutil.rmtree(encodings_folder.parent)
    raw = tmp_path / "new.txt"
    raw.write_text("\n".join(NEW) + "\n")
    assert run(["predict", str(place), str(raw)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(NEW)
    assert run(["evaluate", str(place), "--json"]) == 0
    assert "micro_f1" in capsys.readouterr().out
    assert run(["report", str(place)]) == 0


def test_the_table_is_distilled_once_for_the_same_texts(
    zoo, tmp_path, encodings_folder
) -> None:
    config = static_config(zoo, zoo.bert)
    said: list[str] = []
    for name in ("one", "two"):
        fit(config, tmp_path / name, progress=False, say=said.append)
    assert sum("each of the" in line for line in said) == 1
    one, two = (token_table(lg.load(tmp_path / n).params) for n in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    (kept,) = (encodings_folder.parent / "static").iterdir()
    assert StaticEncoder.load(kept).about["texts"] == 48


def test_the_table_may_be_trained(zoo, source, tmp_path) -> None:
    config = static_config(zoo, source, trainable=True)
    fit(config, tmp_path / "run", progress=False)
    table = token_table(lg.load(tmp_path / "run").params)
    moved = np.abs(table - StaticEncoder.load(source).table).max(axis=1)
    assert moved.max() > 1e-3


def test_a_run_begins_from_another_one_without_any_encoder(
    zoo, source, trained_static, tmp_path
) -> None:
    gone = shutil.copytree(source, tmp_path / "gone")
    config = static_config(zoo, gone)
    first = tmp_path / "first"
    fit(config, first, progress=False)
    shutil.rmtree(gone)
    fit(config, tmp_path / "second", progress=False, start=first)
    one, two = (token_table(lg.load(p).params) for p in (first, tmp_path / "second"))
    np.testing.assert_array_equal(one, two)


def test_an_export_and_a_service_say_what_predict_says(
    trained_static: Path, tmp_path
) -> None:
    assert run(["export", str(trained_static), str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert manifest["check"]["largest_difference"] <= 1e-5
    card = (tmp_path / "out" / "README.md").read_text()
    assert "static vectors that imitate encoder" in card
    model = lg.load(trained_static)
    scorer = Scorer(model, Limits(max_batch=2, buckets=1))
    scorer.compile_all()
    texts = [text for text in NEW if text]
    read = [text for text in scorer.read(texts) if isinstance(text, Text)]
    rows = [scorer.answer([text], [Asked(scores=True)])[0] for text in read]
    got = [[row["all_scores"][name] for name in model.labels] for row in rows]
    np.testing.assert_allclose(got, model.predict_proba(texts), atol=1e-5)


def test_alike_labels_are_found_by_static_vectors_of_their_names(
    zoo, source, tmp_path, capsys
) -> None:
    arguments = ["graph", zoo.data.data, "--text.vectors", "static"]
    arguments += ["--text.pretrained", str(source), "--out", str(tmp_path / "g.npz")]
    assert run([*arguments, "--initialisation", "similarity"]) == 0
    assert (tmp_path / "g.npz").is_file()


def test_words_are_explained(trained_static: Path) -> None:
    explanation = lg.explain(lg.load(trained_static), "maize cob harvest")
    assert explanation


def test_a_memory_compares_static_vectors(zoo, source, tmp_path, capsys) -> None:
    place = zoo.copy("bag", tmp_path / "run")
    arguments = ["memory", str(place), "--memory.pretrained", str(source)]
    assert run([*arguments, "--memory.neighbours", "8"]) == 0
    model = lg.load(place)
    assert model.memory is not None
    assert isinstance(model.memory.reader, StaticReader)
    own = model.memory.reader([Document("x", NEW[0], ())])
    encoder = StaticEncoder.load(source)
    expected = encoder.document_vectors(NEW[:1], encoder.tokenizer, max_length=128)
    np.testing.assert_allclose(own, expected, atol=1e-6)
    scorer = Scorer(model, Limits(max_batch=2, buckets=1))
    scorer.compile_all()


def test_a_memory_of_the_models_own_vectors_stands_beside_it(
    zoo, source, tmp_path
) -> None:
    config = static_config(zoo, source)
    remember = MemoryConfig(kind="documents", neighbours=8)
    config = dataclasses.replace(config, memory=remember)
    fit(config, tmp_path / "run", progress=False)
    assert lg.load(tmp_path / "run").memory is not None


def test_static_vectors_need_a_bag() -> None:
    with pytest.raises(ConfigError, match=r"text\.encoder must be 'bag', got 'cnn'"):
        TextConfig(encoder="cnn", vectors="static")


def test_what_a_run_cannot_distil_is_refused_in_one_sentence(
    zoo, tmp_path, encodings_folder
) -> None:
    absent = static_config(zoo, tmp_path / "absent")
    with pytest.raises(PretrainedError, match="no pretrained encoder"):
        fit(absent, tmp_path / "run", progress=False)
    few = write_jsonl(tmp_path / "few.jsonl", made_documents(12, 0))
    config = static_config(zoo, zoo.bert)
    data = dataclasses.replace(config.data, data=str(few))
    with pytest.raises(DataError, match="at least 20 different texts, got"):
        fit(dataclasses.replace(config, data=data), tmp_path / "run", progress=False)
    rows = "".join(f"0 {i}:1 {i + 1}:0.5\n" for i in range(1, 30))
    (tmp_path / "rows.svm").write_text(rows)
    data = dataclasses.replace(
        config.data, data=str(tmp_path / "rows.svm"), validation="", test=""
    )
    with pytest.raises(ConfigError, match=r"text\.vectors must be 'random'"):
        fit(dataclasses.replace(config, data=data), tmp_path / "run", progress=False)
