"""Whatever the batch, a service gives what `predict` gives and compiles no more."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.config import Config, DataConfig, HeadConfig, MemoryConfig
from labelgraph_jax.deploy.serve.compilations import Compilations
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.scoring import Asked, Scorer, Text
from labelgraph_jax.runs.ensemble import make_ensemble
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.predict import write_predictions
from tests.tiny import LABELS, made_documents, tiny_config, write_tiny_bert

LIMITS = Limits(max_batch=4, buckets=2)
MOST = 5e-6
FIXED = {"weight": 0.5, "share": 0.5, "temperature": 0.1, "label_temperature": 0.1}


def texts() -> list[str]:
    """Of one word to some windows, an empty one among them."""
    made = [document["text"] for document in made_documents(9, 7)]
    return [*made, "", "maize", " ".join(made[:3]), " ".join(made), "unheard " * 5]


def ngrams(data: DataConfig, folder: Path) -> Config:
    config = tiny_config(data, training={"epochs": 1})
    return dataclasses.replace(
        config, text=dataclasses.replace(config.text, ngrams=True)
    )


def frozen(data: DataConfig, folder: Path) -> Config:
    """Windows of a frozen encoder's vectors, a BiLSTM over them, and a memory."""
    bert = str(write_tiny_bert(folder / "bert"))
    text = {"encoder": "bilstm", "vectors": "pretrained", "pretrained": bert}
    text |= {"trainable": False, "long_documents": "windows", "max_windows": 3}
    config = tiny_config(data, text=text, training={"epochs": 1})
    memory = MemoryConfig(kind="pretrained", neighbours=8, pretrained=bert, **FIXED)
    return dataclasses.replace(config, memory=memory)


def chunks(data: DataConfig, folder: Path) -> Config:
    config = tiny_config(data, training={"epochs": 1})
    head = HeadConfig(label_chunk=2, kept_labels=len(LABELS))
    threshold = dataclasses.replace(config.threshold, kind="half")
    memory = MemoryConfig(kind="documents", neighbours=8, **FIXED)
    return dataclasses.replace(config, head=head, threshold=threshold, memory=memory)


def run_of(
    make: Callable[[DataConfig, Path], Config], data: DataConfig, folder: Path
) -> Path:
    folder.mkdir()
    fit(make(data, folder), folder / "run", progress=False)
    return folder / "run"


def compiled(workdir: Path) -> Scorer:
    Compilations.listen()
    scorer = Scorer(load(workdir), LIMITS)
    assert scorer.compile_all() == len(list(scorer.shapes()))
    return scorer


def answers(scorer: Scorer, asked: Asked, size: int) -> list[dict[str, Any]]:
    """Of all texts, so many at a time, in an order that mixes their lengths."""
    read = [text for text in scorer.read(texts()) if isinstance(text, Text)]
    order = np.random.default_rng(size).permutation(len(read))
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(order), size):
        own = order[start : start + size]
        rows = scorer.answer([read[i] for i in own], [asked] * len(own))
        found |= dict(zip(own.tolist(), rows, strict=True))
    return [found[i] for i in range(len(read))]


def assert_equal_to_predict(workdir: Path, tmp_path: Path) -> None:
    """Scores, labels and top-k, whatever number of texts goes together."""
    scorer, before = compiled(workdir), Compilations.count
    given = {size: answers(scorer, Asked(scores=True), size) for size in (1, 3, 4)}
    best = answers(scorer, Asked(top_k=2), 3)
    assert Compilations.count == before
    model = load(workdir)
    probabilities = model.predict_proba(texts())
    labels = model.predict(texts())
    for rows in given.values():
        got = np.array([[row["all_scores"][n] for n in model.labels] for row in rows])
        np.testing.assert_allclose(got, probabilities, atol=MOST)
        assert [row["labels"] for row in rows] == labels
    tops = [[name for name, _ in pairs] for pairs in model.predict_top(texts(), 2)]
    assert [row["labels"] for row in best] == tops
    written = tmp_path / "rows.jsonl"
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": t or " x"}) + "\n" for t in texts()))
    write_predictions(model, str(source), str(written), all_scores=True)
    wrote = json.loads(written.read_text().splitlines()[0])
    assert given[1][0].keys() == wrote.keys()
    assert given[1][0]["labels"] == wrote["labels"]
    np.testing.assert_allclose(given[1][0]["scores"], wrote["scores"], atol=MOST)


@pytest.mark.slow
@pytest.mark.parametrize("make", [ngrams, frozen])
def test_every_kind_of_model_gives_what_predict_gives(
    make: Callable[[DataConfig, Path], Config],
    tiny_data: DataConfig,
    tmp_path: Path,
    encodings_folder: Path,
) -> None:
    assert_equal_to_predict(run_of(make, tiny_data, tmp_path / "made"), tmp_path)


def test_an_ensemble_gives_what_predict_gives(trained: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained, tmp_path / name)
    make_ensemble([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert_equal_to_predict(tmp_path / "both", tmp_path)


@pytest.mark.slow
def test_labels_in_chunks_beside_a_memory_give_what_predict_gives(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    workdir = run_of(chunks, tiny_data, tmp_path / "made")
    scorer, before = compiled(workdir), Compilations.count
    rows, best = answers(scorer, Asked(), 3), answers(scorer, Asked(top_k=3), 4)
    assert Compilations.count == before
    model = load(workdir)
    assert model.label_chunk == 2
    assert [row["labels"] for row in rows] == model.predict(texts())
    tops = model.predict_top(texts(), 3)
    assert [row["labels"] for row in best] == [[n for n, _ in own] for own in tops]
    np.testing.assert_allclose(
        [row["scores"] for row in best],
        [[p for _, p in own] for own in tops],
        atol=MOST,
    )


def test_named_labels_get_their_probabilities(trained: Path) -> None:
    scorer = compiled(trained)
    row = answers(scorer, Asked(scores=True, columns=(3, 1)), 4)[0]
    names = [scorer.model.labels[i] for i in (3, 1)]
    assert row["label_scores"] == {name: row["all_scores"][name] for name in names}


def test_a_text_beyond_every_length_is_refused_and_the_others_are_read(
    trained: Path,
) -> None:
    scorer = Scorer(load(trained), LIMITS)
    for member in scorer.members:
        member.buckets = [(1, 4)]
    short, long = scorer.read(["maize", "maize cob maize cob maize"])
    assert isinstance(short, Text)
    assert isinstance(long, RefusedError)
    assert long.status == 422
    assert "at most 4 words and parts of words that the model" in long.reason
