"""Documents without labels beside the labelled ones: what is learned, said, refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    MemoryConfig,
    SemiConfig,
)
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.prepared_texts import prepare
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.loop import NonFiniteLossError
from tests.tiny import (
    LABELS,
    made_documents,
    tiny_config,
    write_corpus,
    write_jsonl,
    write_tiny_bert,
)

KINDS = ("cap", "teacher", "graph", "vat")


def without_labels(count: int, seed: int = 9) -> list[dict[str, Any]]:
    return [
        {"id": f"raw{i}", "text": f"{d['text']} raw{i}"}
        for i, d in enumerate(made_documents(count, seed))
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    folder = tmp_path_factory.mktemp("semi")
    raw = write_jsonl(folder / "raw.jsonl", without_labels(70))
    return dataclasses.replace(write_corpus(folder), unlabelled=str(raw))


def config_of(data: DataConfig, text: dict[str, Any] | None = None, **semi: Any) -> Any:
    config = tiny_config(data, text=text)
    return dataclasses.replace(config, semi=SemiConfig(**{"ratio": 2, **semi}))


def last_params(workdir: Path) -> list[np.ndarray]:
    with CheckpointStore(workdir / "checkpoints") as store:
        params = store.restore_params("last")
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


def trained(config: Config, workdir: Path, **run: Any) -> list[np.ndarray]:
    settings = RunConfig(keep_optimizer=True, **run)
    fit(config, workdir, progress=False, run=settings)
    return last_params(workdir)


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_from_documents_without_labels_and_says_what_they_did(
    kind: str, data: DataConfig, tmp_path: Path
) -> None:
    said: list[str] = []
    config = config_of(data, kind=kind)
    results = fit(config, tmp_path / "w", progress=False, say=said.append)
    assert results == json.loads((tmp_path / "w" / "results.json").read_text())
    semi = results["semi"]
    assert (semi["kind"], semi["documents"]) == (kind, 70)
    assert tuple(semi["labels"]) == LABELS
    for row in semi["labels"].values():
        assert 0 < row["prior"] < 1 and 0 <= row["predicted"] <= 1
        assert row["drift"] == pytest.approx(row["predicted"] - row["prior"], abs=2e-4)
    beside = semi["supervised"]
    assert set(beside["bands"]) <= {"1 to 4", "5 to 19", "20 or more"}
    for found in (*beside["differences"].values(), *beside["bands"].values()):
        assert found["micro_f1"]["low"] <= found["micro_f1"]["high"]
    assert any("without labels by" in line for line in said)
    assert not (tmp_path / "w" / "without_unlabelled").exists()
    plain = trained(config_of(data, kind="none"), tmp_path / "plain")
    with CheckpointStore(tmp_path / "w" / "checkpoints") as store:
        params = jax.tree.leaves(store.restore_params("last"))
    assert not same([np.asarray(x) for x in params], plain)


@pytest.mark.slow
def test_without_weight_or_documents_it_is_the_supervised_run_bit_for_bit(
    data: DataConfig, tmp_path: Path
) -> None:
    alone = dataclasses.replace(data, unlabelled="")
    plain = trained(tiny_config(alone), tmp_path / "alone")
    for name, semi in (("none", {"kind": "none"}), ("zero", {"weight": 0.0})):
        config = config_of(data, **semi)
        assert same(trained(config, tmp_path / name), plain)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cap", "teacher"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    kind: str, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(data, kind=kind, compare=False)
    whole = trained(config, tmp_path / "whole", checkpoint_every=1)
    call, taken = CompiledStep.__call__, 0

    def stopping(self: CompiledStep, state: Any, batch: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 5:
            raise RuntimeError("the plug was pulled")
        return call(self, state, batch)

    with monkeypatch.context() as patch:
        patch.setattr(CompiledStep, "__call__", stopping)
        with pytest.raises(RuntimeError, match="plug"):
            trained(config, tmp_path / "stopped", checkpoint_every=1)
    assert same(trained(config, tmp_path / "stopped", checkpoint_every=1), whole)


def test_labels_that_no_labelled_document_carries_are_named(data: DataConfig) -> None:
    corpus = read_corpus(data)
    assert corpus.candidate_labels == ()
    for others, message in (
        (("tin",), "1 label has no labelled document and never gets a pseudo-positive"),
        (("tin", "zinc"), "2 labels have no labelled document and never get a"),
    ):
        said: list[str] = []
        config = config_of(data, kind="cap")
        config = dataclasses.replace(config, memory=MemoryConfig(kind="documents"))
        known = dataclasses.replace(corpus, candidate_labels=(*LABELS, *others))
        prepared = prepare(config, said.append, known)
        (line,) = (line for line in said if "never get" in line)
        assert line.startswith(message) and line.endswith(f": {', '.join(others)}")
        assert prepared.semi is not None and prepared.semi.guess is not None
        columns = [prepared.labels.index[name] for name in others]
        assert not prepared.semi.guess.positives[columns].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        {"encoder": "cnn"},
        {"encoder": "bilstm"},
        {"vectors": "static", "max_length": 10},
        {"encoder": "transformer", "vectors": "pretrained", "trainable": False},
    ],
)
def test_every_encoder_learns_from_them(
    text: dict[str, Any], data: DataConfig, tmp_path: Path
) -> None:
    if "vectors" in text:
        text = {**text, "pretrained": str(write_tiny_bert(tmp_path / "bert"))}
    for kind in ("cap", "vat"):
        config = config_of(data, text, kind=kind, compare=False)
        assert all(np.isfinite(x).all() for x in trained(config, tmp_path / kind))


def test_lines_with_null_for_labels_are_documents_without(tmp_path: Path) -> None:
    documents = made_documents(60, 4)
    for document in documents[::3]:
        document["labels"] = None
    path = write_jsonl(tmp_path / "some.jsonl", documents)
    corpus = read_corpus(DataConfig(data=str(path)))
    assert [d.id for d in corpus.unlabelled] == [d["id"] for d in documents[::3]]
    assert sum(map(len, corpus.splits.values())) == 40
    assert all(d.labelled and d.labels for d in corpus.train)


def test_null_for_labels_of_a_measured_split_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    data = write_corpus(tmp_path)
    test = made_documents(24, 3)
    test[1]["labels"] = None
    write_jsonl(Path(data.test), test)
    corpus = read_corpus(data)
    assert len(corpus.test) == 23 and not corpus.unlabelled
    assert any("1 validation or test document has null" in n for n in corpus.notes)
    for document in test:
        document["labels"] = None
    write_jsonl(Path(data.test), test)
    with pytest.raises(DataError, match="a test document must have labels; all of the"):
        read_corpus(data)


def test_texts_of_the_test_split_are_refused_with_three_ids(
    data: DataConfig, tmp_path: Path
) -> None:
    leaks = [{"id": f"leak{i}", "text": d["text"]} for i, d in enumerate(made(data))]
    raw = write_jsonl(tmp_path / "raw.jsonl", [*without_labels(9), *leaks[:5]])
    config = config_of(dataclasses.replace(data, unlabelled=str(raw)), kind="none")
    message = (
        r"no text without labels must stand in the validation or test split; got "
        r"leak0 \(test document d0\), leak\d+ \(.*\), leak\d+ \(.*\) and .*"
        r"--semi.allow-overlap"
    )
    with pytest.raises(DataError, match=message):
        prepare(config)
    semi = dataclasses.replace(config.semi, allow_overlap=True)
    assert prepare(dataclasses.replace(config, semi=semi)).semi is not None


def made(data: DataConfig) -> list[dict[str, Any]]:
    lines = Path(data.test).read_text().splitlines()
    return list({(d := json.loads(line))["text"]: d for line in lines}.values())


def test_no_text_without_labels_is_refused(data: DataConfig, tmp_path: Path) -> None:
    train = [json.loads(line) for line in Path(data.data).read_text().splitlines()]
    raw = write_jsonl(tmp_path / "raw.jsonl", [{"text": d["text"]} for d in train[:4]])
    config = config_of(dataclasses.replace(data, unlabelled=str(raw)))
    with pytest.raises(DataError, match="must be a text without labels that is no"):
        prepare(config)


def test_fewer_than_20_labelled_documents_are_refused(
    data: DataConfig, tmp_path: Path
) -> None:
    few = write_jsonl(tmp_path / "few.jsonl", made_documents(19, 1))
    config = config_of(dataclasses.replace(data, data=str(few)))
    with pytest.raises(DataError, match="need at least 20 labelled training documents"):
        prepare(config)


def test_settings_without_any_such_document_are_refused(data: DataConfig) -> None:
    config = config_of(dataclasses.replace(data, unlabelled=""), kind="cap")
    with pytest.raises(ConfigError, match=r"semi.kind='cap' and .* have no eff"):
        prepare(config)


def test_a_table_and_a_decoder_of_sequences_have_no_use_for_them() -> None:
    with pytest.raises(ConfigError, match="must not be 'recurrent'"):
        Config.resolved(
            dataclasses.replace(
                Config(data=DataConfig(unlabelled="raw.jsonl")),
                head=dataclasses.replace(Config().head, kind="recurrent"),
                text=dataclasses.replace(Config().text, encoder="cnn"),
            )
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "magic"}, "semi.kind must be one of"),
        ({"ratio": 0}, "semi.ratio must be at least 1"),
        ({"weight": -1.0}, "semi.weight must not be negative"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SemiConfig(**settings)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(apply_fn: Any) -> Any:
        def extra(params: Any, batch: Any, key: Any) -> jax.Array:
            late = batch["unlabelled_progress"][0] > 0.5
            return jax.numpy.where(late, jax.numpy.nan, 0.0)

        return extra

    monkeypatch.setattr("labelgraph_jax.runs.semi.pseudo_label_loss", broken)
    config = config_of(data, kind="cap", compare=False)
    with pytest.raises(NonFiniteLossError, match=r"the checkpoint of step \d is kept"):
        trained(config, tmp_path / "w", checkpoint_every=1)
    assert all(np.isfinite(leaf).all() for leaf in last_params(tmp_path / "w"))


def test_a_static_encoder_is_distilled_with_the_texts_without_labels_too(
    data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bert = write_tiny_bert(tmp_path / "bert")
    static = {"vectors": "static", "pretrained": str(bert), "max_length": 10}
    prepared = prepare(config_of(data, text=static, kind="cap"))
    assert prepared.semi is not None and prepared.semi.kind == "cap"
    (kept,) = (tmp_path / "cache" / "labelgraph_jax" / "static").iterdir()
    about = json.loads((kept / "config.json").read_text("utf-8"))
    corpus = prepared.corpus
    assert about["texts"] == len(corpus.train) + len(corpus.unlabelled)
