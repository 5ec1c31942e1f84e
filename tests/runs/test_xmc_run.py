"""A folder of the Extreme Classification Repository, trained with labels in chunks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import labelgraph_jax as lg
from labelgraph_jax.config import ConfigError, DataConfig, HeadConfig, TextConfig
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.predictors.documents import encode_documents
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from tests.tiny import LABELS, made_documents, tiny_config


def write_folder(folder: Path) -> Path:
    for split, count, seed in (("trn", 60, 1), ("tst", 20, 2)):
        documents = made_documents(count, seed)
        (folder / f"{split}_X.txt").write_text(
            "".join(document["text"] + "\n" for document in documents)
        )
        rows = [
            " ".join(f"{LABELS.index(label)}:1.0" for label in document["labels"])
            for document in documents
        ]
        text = "\n".join([f"{count} {len(LABELS)}", *rows, ""])
        (folder / f"{split}_X_Y.txt").write_text(text)
    (folder / "Y.txt").write_text("\n".join(LABELS) + "\n")
    return folder


@pytest.mark.slow
def test_reciprocal_pairs_are_no_misses_where_labels_are_scored_in_chunks(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "xmc"
    folder.mkdir()
    write_folder(folder)
    config = tiny_config(
        DataConfig(data=str(folder)), training={"epochs": 6, "batch_size": 8}
    )
    config = dataclasses.replace(
        config, head=HeadConfig(label_chunk=2, kept_labels=len(LABELS))
    )
    results = fit(config, tmp_path / "run", progress=False)
    model = lg.load(tmp_path / "run")
    assert isinstance(model, Model)
    texts = (folder / "tst_X.txt").read_text().splitlines()
    first = [top[0][0] for top in model.predict_top(texts, 1)]
    truth = [d["labels"] for d in made_documents(20, 2)]
    wrong = [row for row in range(20) if first[row] not in truth[row]]
    assert results["test"]["metrics"]["P@1"] == pytest.approx(1 - len(wrong) / 20)
    # The best label of every document is the document itself: the next one counts.
    pairs = [f"{row} {LABELS.index(name)}\n" for row, name in enumerate(first)]
    (folder / "filter_labels_test.txt").write_text("".join(pairs))
    second = [top[1][0] for top in model.predict_top(texts, 2)]
    expected = np.mean([second[row] in truth[row] for row in range(20)])
    measured = evaluate_workdir(tmp_path / "run", data=str(folder))["test"]["metrics"]
    assert measured["P@1"] == pytest.approx(expected)


def test_labels_that_are_not_annotated_go_to_the_end_of_the_list() -> None:
    ids = np.int32([[3, 1, 2], [0, 1, 2]])
    top = Predictions(ids, np.float32([[0.9, 0.5, 0.1], [0.8, 0.7, 0.6]]), 4)
    truth = csr_array((2, 4), dtype=np.float32)
    missing = csr_array(np.array([[0, 0, 0, 1], [0, 0, 0, 0]], bool))
    moved = top.with_truth(truth, missing=missing)
    assert moved.ids.tolist() == [[1, 2, 3], [0, 1, 2]]
    np.testing.assert_allclose(moved.probabilities, [[0.5, 0.1, 0.0], [0.8, 0.7, 0.6]])
    assert top.with_truth(truth).ids is ids


def test_a_whole_label_set_that_is_missing_is_refused_in_chunks() -> None:
    space, words = (
        LabelSpace(("a/x", "b/y")),
        NgramTokenizer.train(["a text"], min_count=1),
    )

    def encode(*unannotated: str):
        document = Document("1", "a text", (), unannotated=unannotated)
        return encode_documents(
            [document], space, words, TextConfig(), sparse_targets=True
        )

    assert encode("a/x").examples.target_mask is None
    with pytest.raises(ConfigError, match="needs documents that are annotated for"):
        encode("a/")
