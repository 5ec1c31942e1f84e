"""A static encoder: distilled, saved, read, and what bad input gets."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labelgraph_jax.cli.app import run
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.pretrained import PretrainedError
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.static_encoder import StaticEncoder, token_shares
from labelgraph_jax.runs.distil import Distillation, distil, tokens_alone
from tests.tiny import made_documents, write_jsonl

ALL = Distillation(max_length=10)


def texts(count: int = 60, seed: int = 4) -> list[str]:
    return [document["text"] for document in made_documents(count, seed)]


@pytest.fixture
def made(zoo, encodings_folder: Path) -> StaticEncoder:
    return distil(str(zoo.bert), texts(), ALL)


def test_it_imitates_the_encoder_better_than_its_start_does(made, zoo) -> None:
    cosine = made.about["cosine"]
    assert cosine["start"] + 0.01 < cosine["fitted"] <= 1
    tokenizer = Tokenizer.from_pretrained(zoo.bert)
    teacher = FrozenEncoder.load(zoo.bert)
    new = texts(30, seed=9)
    expected = teacher.document_vectors(new, tokenizer, max_length=10)
    got = made.document_vectors(new, tokenizer, max_length=10)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-3)
    assert (got * expected).sum(axis=1).mean() > cosine["start"] + 0.01


def test_it_is_the_same_in_every_call_and_after_saving(made, zoo, tmp_path) -> None:
    again = distil(str(zoo.bert), texts(), ALL)
    np.testing.assert_array_equal(again.table, made.table)
    made.save(tmp_path / "static")
    read = StaticEncoder.load(tmp_path / "static")
    np.testing.assert_array_equal(read.table, made.table)
    assert read.about.items() >= made.about.items()
    assert read.tokenizer.encode(["crude port"], max_length=8).windows[0][0].tolist()


def test_only_the_principal_numbers_are_kept(zoo, encodings_folder) -> None:
    made = distil(str(zoo.bert), texts(), Distillation(dim=4, max_length=10))
    assert made.table.shape == (made.tokenizer.vocabulary_size, 4)
    assert made.table.dtype == np.float16
    assert made.about["dim"] == 4
    assert made.about["cosine"]["fitted"] > 0.5


def test_texts_are_pooled_and_prompted_as_the_folder_says(
    made, zoo, encodings_folder, tmp_path
) -> None:
    folder = shutil.copytree(zoo.bert, tmp_path / "bert")
    pooling = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}
    modules = [{"idx": 1, "name": "1", **pooling}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    own = {"pooling_mode_cls_token": True, "word_embedding_dimension": 8}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(own))
    prompts = {"prompts": {"query": "wheat "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    other = distil(str(folder), texts(), ALL)
    assert (other.about["pooling"], other.about["prompt"]) == ("cls", "wheat ")
    assert (made.about["pooling"], made.about["prompt"]) == ("mean", "")
    assert np.abs(other.table - made.table).max() > 0.1


def test_shares_are_counts_over_lengths() -> None:
    sequences = [np.array([2, 3, 2, 2], np.int32), np.array([], np.int32)]
    shares = token_shares(sequences, 5).toarray()
    np.testing.assert_allclose(shares, [[0, 0, 0.75, 0.25, 0], [0] * 5])


def test_every_token_stands_alone_in_the_frame_of_a_text(zoo) -> None:
    tokenizer = Tokenizer.from_pretrained(zoo.bert)
    alone = tokens_alone(tokenizer)
    assert len(alone) == tokenizer.vocabulary_size
    framed = tokenizer.encode(["wheat"], max_length=8).windows[0][0]
    word = int(framed[1])
    np.testing.assert_array_equal(alone[word], framed)


def test_the_verb_leaves_a_folder_that_says_where_it_is_from(
    zoo, encodings_folder, tmp_path, capsys
) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_text("\n".join(texts()) + "\n")
    out = tmp_path / "static"
    arguments = ["distil", str(zoo.bert), "--texts", str(raw), "--out", str(out)]
    assert run([*arguments, "--max-length", "10"]) == 0
    said, told = capsys.readouterr()
    assert "at the start" in said and "fitted" in said
    assert "reading each of the" in told
    settings = json.loads((out / "config.json").read_text())
    assert settings["model_type"] == "labelgraph-static"
    assert settings["encoder"] == str(zoo.bert)
    assert settings["texts"] == len(texts())
    assert len(settings["texts_fingerprint"]) == 64
    assert StaticEncoder.load(out).table.dtype == np.float16


def test_a_corpus_of_labelled_texts_is_read_as_well(
    zoo, encodings_folder, tmp_path, capsys
) -> None:
    raw = write_jsonl(tmp_path / "raw.jsonl", made_documents(40, 1))
    out = tmp_path / "static"
    arguments = ["distil", str(zoo.bert), "--texts", str(raw), "--out", str(out)]
    assert run([*arguments, "--dim", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dim"] == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ENCODER": "no-such-encoder"}, "no pretrained encoder 'no-such-encoder'"),
        ({"--texts": "absent.jsonl"}, "absent.jsonl"),
        ({"--texts": "few.txt"}, "there must be at least 20 different texts, got 3"),
        ({"--texts": "nothing.txt"}, "nothing.txt"),
        ({"--out": "full"}, "full must be absent or an empty folder"),
        ({"--out": "raw.txt"}, "raw.txt must be absent or an empty folder"),
        ({"--dim": "0"}, "dim must be at least 1, got 0"),
        ({"--max-length": "2"}, "max_length must be at least 8, got 2"),
        ({"--seed": "-1"}, "seed must be at least 0, got -1"),
        ({"--validation-share": "0"}, "validation_share must lie in (0, 0.9), got 0"),
        ({"ENCODER": "untokenized"}, "untokenized must hold tokenizer.json, vocab.txt"),
        ({"ENCODER": "static"}, "static must be a transformer; it is distilled"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    changes, said, zoo, made, encodings_folder, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw.txt").write_text("\n".join(texts()) + "\n")
    Path("few.txt").write_text("one text\nanother text\none text\na third\n\n")
    Path("nothing.txt").write_text("")
    Path("full").mkdir()
    Path("full/file").touch()
    shutil.copytree(zoo.bert, "untokenized")
    Path("untokenized/tokenizer.json").unlink()
    made.save(Path("static"))
    options = {"--texts": "raw.txt", "--out": "out"} | changes
    encoder = options.pop("ENCODER", str(zoo.bert))
    before = sorted(tmp_path.rglob("*"))
    code = run(["distil", encoder, *(w for pair in options.items() for w in pair)])
    told = capsys.readouterr().err.splitlines()
    assert code == 2
    assert told[-1].startswith("labelgraph: error: ")
    assert said in told[-1]
    assert [p for p in sorted(tmp_path.rglob("*")) if "cache" not in p.parts] == [
        p for p in before if "cache" not in p.parts
    ]


def test_a_damaged_folder_is_named(made, zoo, tmp_path) -> None:
    folder = tmp_path / "static"
    with pytest.raises(PretrainedError, match="labelgraph distil"):
        StaticEncoder.load(zoo.bert)
    made.save(folder)
    table = load_file(folder / "model.safetensors")["embedding"]
    save_file({"embedding": table[:-1]}, folder / "model.safetensors")
    with pytest.raises(PretrainedError, match="must have a row for each"):
        StaticEncoder.load(folder)
    save_file({"other": table}, folder / "model.safetensors")
    with pytest.raises(PretrainedError, match="must hold the array 'embedding'"):
        StaticEncoder.load(folder)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PretrainedError, match="must hold the array 'embedding'"):
        StaticEncoder.load(folder)


def test_the_function_refuses_what_the_verb_refuses(zoo, encodings_folder) -> None:
    with pytest.raises(DataError, match="at least 20 different texts, got 0"):
        distil(str(zoo.bert), ["", "  "])
