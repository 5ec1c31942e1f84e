"""Documents of features, from a file to a trained model and back."""

import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import ConfigError, DataConfig, TextConfig
from labelgraph_jax.data.batches.batches import Examples, evaluation_batches
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.readers.xmc_folder import is_xmc_folder
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.words import TokenizerError
from labelgraph_jax.predictors.documents import (
    document_tokenizer,
    encode_documents,
    fingerprint,
)
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.baseline import tfidf_svm_baseline
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from tests.data.xmc_files import write_repository
from tests.tiny import tiny_config

FEATURES, LABELS = 20, 4


def rows(count: int, seed: int) -> list[str]:
    """Label l has features 3l to 3l + 2; the last eight say nothing."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        labels = {number % LABELS}
        if random.random() < 0.4:
            labels.add(int(random.integers(LABELS)))
        ids = {3 * label + int(random.integers(3)) for label in labels}
        ids |= {12 + int(i) for i in random.integers(0, 8, 3)}
        pairs = [f"{i}:{random.uniform(0.5, 2) if i < 12 else 0.1:.3f}" for i in ids]
        pairs.sort(key=lambda pair: int(pair.partition(":")[0]))
        lines.append(f"{','.join(map(str, sorted(labels)))} {' '.join(pairs)}")
    return lines


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    folder = tmp_path_factory.mktemp("features")
    train = rows(80, 1)
    text = "\n".join([f"{len(train)} {FEATURES} {LABELS}", *train, ""])
    (folder / "train.txt").write_text(text)
    (folder / "validation.svm").write_text("\n".join(rows(24, 2)) + "\n")
    (folder / "test.svm").write_text("\n".join(rows(32, 3)) + "\n")
    return DataConfig(
        data=str(folder / "train.txt"),
        validation=str(folder / "validation.svm"),
        test=str(folder / "test.svm"),
    )


@pytest.fixture(scope="module")
def workdir(files: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("feature_run") / "run"
    config = tiny_config(
        files, text={"max_length": 16}, training={"epochs": 8, "batch_size": 8}
    )
    results = fit(config, place, baseline=True, progress=False)
    assert results["test"]["metrics"]["micro_f1"] > 0.9
    assert results["baseline"]["metrics"]["SVM, tuned"]["micro_f1"] > 0.9
    return place


@pytest.fixture(scope="module")
def model(workdir: Path) -> Model:
    loaded = lg.load(workdir)
    assert isinstance(loaded, Model)
    return loaded


@pytest.mark.slow
def test_it_evaluates_as_it_was_trained(workdir: Path, files: DataConfig, capsys):
    assert run(["evaluate", str(workdir), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)["test"]["metrics"]
    assert run(["evaluate", str(workdir), "--data", files.test, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["metrics"] == own


@pytest.mark.slow
def test_it_predicts_files_streams_matrices_and_rows_alike(
    workdir: Path, model: Model, files: DataConfig, capsys, monkeypatch
) -> None:
    documents = read_documents(files.test)
    rows = [document.features for document in documents]
    dense = np.zeros((len(rows), FEATURES), np.float32)
    for place, row in enumerate(rows):
        assert row is not None
        dense[place, row.ids] = row.values
    expected = model.predict_proba(rows)
    for given in (documents, sparse.csr_matrix(dense), sparse.csr_array(dense)):
        np.testing.assert_allclose(model.predict_proba(given), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(rows[0]), expected[:1], atol=1e-6)
    assert model.predict([]) == []
    assert run(["predict", str(workdir), files.test]) == 0
    from_file = capsys.readouterr().out
    predicted = [json.loads(line)["labels"] for line in from_file.splitlines()]
    assert predicted == model.predict(rows)
    content = Path(files.test).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run(["predict", str(workdir)]) == 0
    assert capsys.readouterr().out == from_file


@pytest.mark.slow
def test_values_are_not_weighed_by_idf_and_scale_does_not_matter(model: Model) -> None:
    weights = model.params["text_encoder"]["token_weight"]
    np.testing.assert_array_equal(weights, 1)
    row = Features(np.array([0, 4, 15]), np.array([1.0, 2.0, 0.5]))
    twice = Features(row.ids, 2 * row.values)
    one, other = model.predict_proba([row, twice])
    np.testing.assert_allclose(one, other, atol=1e-6)
    changed = Features(row.ids, np.array([2.0, 1.0, 0.5]))
    assert np.abs(model.predict_proba([changed])[0] - one).max() > 1e-3


def test_texts_and_features_are_not_mixed_up(
    model: Model, workdir: Path, files: DataConfig, tmp_path, capsys
) -> None:
    with pytest.raises(DataError, match=r"row 1: this model reads features: give Fea"):
        model.predict(["a text"])
    with pytest.raises(DataError, match=r"row 2: .* got a text"):
        rows = [Features(np.array([1]), np.array([1.0])), "b"]
        model.predict(rows)
    path = tmp_path / "new.jsonl"
    path.write_text('{"text": "a text", "labels": []}\n')
    assert run(["predict", str(workdir), str(path)]) == 2
    assert "this model reads features, not texts: give a" in capsys.readouterr().err
    words = NgramTokenizer.train(["a text of words"], min_count=1)
    with pytest.raises(DataError, match=r"test.svm:1: this model reads texts, not fea"):
        encode_documents(
            read_documents(files.test), model.label_space, words, TextConfig()
        )
    mixed = dataclasses.replace(files, test=str(path))
    assert run(["data", "validate", files.data]) == 0
    with pytest.raises(DataError, match=r"new.jsonl:1: the documents must be all tex"):
        fit(tiny_config(mixed), tmp_path / "run", progress=False)
    documents = [*read_documents(files.test), *read_documents(path)]
    with pytest.raises(DataError, match=r"new.jsonl:1: the training documents must be"):
        FeatureTokenizer.train(documents)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"encoder": "cnn"}, "text.encoder must be 'bag', got 'cnn'"),
        ({"vectors": "pretrained"}, "text.vectors must be 'random', got 'pretrained'"),
        ({"long_documents": "windows"}, "text.long_documents must be 'head'"),
        ({"ngrams": True}, "text.ngrams must be None, got True"),
        ({"vocabulary_size": 9}, "text.vocabulary_size must be 30000, got 9"),
    ],
)
def test_settings_of_texts_are_refused(
    files: DataConfig, text: dict[str, Any], message: str
) -> None:
    documents = read_documents(files.data)
    with pytest.raises(ConfigError, match=f"the documents are features.*{message}"):
        document_tokenizer(TextConfig(**text), documents)


def test_the_tokenizer_keeps_what_training_has_and_the_largest_values(tmp_path):
    def document(ids: list[int], values: list[float]) -> Document:
        return Document("d", "", (), features=Features(np.array(ids), np.array(values)))

    train = [document([2, 7, 10**9], [1, 1, 1]), document([2, 7], [1, 1])]
    tokenizer = FeatureTokenizer.train(train, min_count=2)
    assert tokenizer.kept.tolist() == [2, 7] and tokenizer.vocabulary_size == 3
    tokenizer.save(tmp_path)
    again = FeatureTokenizer.load(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    new = [document([1, 2, 7, 10**9], [9, -3, 2, 9]), document([], [])]
    encoded = again.encode(new, max_length=1)
    assert [w[0].tolist() for w in encoded.windows] == [[1], []]
    assert [v[0].tolist() for v in encoded.values] == [[-3], []]
    assert (encoded.truncated, encoded.unknown) == (1, 2)
    with pytest.raises(DataError, match="no feature stands in 3 training documents"):
        FeatureTokenizer.train(train, min_count=3)
    for text in ("{", '{"kept": [3, 1], "features": 9}', '{"kept": 3}'):
        (tmp_path / "features.json").write_text(text)
        with pytest.raises(TokenizerError, match=r"features\.json"):
            FeatureTokenizer.load(tmp_path)


def test_batches_carry_the_values_and_zero_at_padding() -> None:
    windows = [[np.array([1, 2])], [np.array([], np.int32)], [np.array([2])]]
    values = [[np.array([0.5, -1.0])], [np.array([])], [np.array([3.0])]]
    examples = Examples(windows, np.eye(3), token_values=values)
    batch = evaluation_batches(examples, batch_size=4, sort_by_length=False)[0]
    np.testing.assert_array_equal(
        batch["token_values"][:, :2],
        [
            [0.5, -1],
            [0, 0],
            [3, 0],
            [0, 0],
        ],
    )
    assert batch["token_values"].dtype == np.float32
    assert batch["token_values"].shape == batch["token_ids"].shape
    with pytest.raises(ValueError, match="must hold a number for every token"):
        Examples(windows, np.eye(3), token_values=[*values[:2], [np.zeros(2)]])
    with pytest.raises(ValueError, match="there must be windows alone"):
        Examples(None, np.eye(1), token_vectors=[np.ones((1, 2))], token_values=values)


def test_the_fingerprint_knows_the_features(files: DataConfig) -> None:
    documents = read_documents(files.test)
    first = documents[0].features
    assert first is not None
    changed = Features(first.ids, first.values * 2)
    other = [dataclasses.replace(documents[0], features=changed), *documents[1:]]
    assert fingerprint(documents) != fingerprint(other)


def test_features_are_written_as_jsonl_and_read_back(
    files: DataConfig, tmp_path, capsys
) -> None:
    out = tmp_path / "out.jsonl"
    assert (
        run(["data", "export", files.data, "--test", files.test, "--out", str(out)])
        == 0
    )
    got, expected = read_documents(out), read_corpus(files).test
    assert [d.features for d in got] == [d.features for d in expected]
    assert [d.labels for d in got] == [d.labels for d in expected]
    for features, message in (
        ({"ids": [2, 1], "values": [1, 1]}, "must increase"),
        ({"ids": [1]}, "'values'"),
        ({"ids": [2**40], "values": [1]}, "32-bit numbers"),
        ([1], "must be {"),
    ):
        out.write_text(json.dumps({"features": features, "labels": []}) + "\n")
        with pytest.raises(DataError, match=f'out.jsonl:1: "features" .*{message}'):
            read_documents(out)


def test_the_baseline_reads_values_as_they_are_at_unit_length() -> None:
    def row(*ids: int) -> Features:
        return Features(np.array(ids), np.full(len(ids), 7.0))

    train = [row(0), row(0, 5), row(1), row(1, 5)]
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    fitted = tfidf_svm_baseline(train, targets, [row(0, 99), row(1)])
    assert fitted.features == 3
    np.testing.assert_array_equal(fitted.at_zero.test_scores > 0, np.eye(2, dtype=bool))
    with pytest.raises(ValueError, match="no training row has a feature"):
        tfidf_svm_baseline([row()], targets[:1], [])


def test_a_folder_says_itself_what_is_where(tmp_path, capsys) -> None:
    folder = write_repository(tmp_path)
    assert run(["data", "stats", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["documents"] == 5 and told["splits"]["test"]["documents"] == 2
    assert run(["data", "validate", str(folder)]) == 0
    assert is_xmc_folder(folder) and not is_xmc_folder(tmp_path.parent)
    with pytest.raises(ConfigError, match=r"is a folder, .* leave data.test out, got"):
        read_corpus(DataConfig(data=str(folder), test="x.jsonl"))
