"""What the settings of a published encoder say, and what wrong ones are told."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from labelgraph_jax.modules.encoder_settings import (
    PretrainedError,
    pooling_file,
    read_pooling,
    read_prompt,
    read_shape,
)
from labelgraph_jax.modules.pretrained import load_transformer
from labelgraph_jax.modules.transformer import Transformer
from tests.tiny import write_pooling

DATA = Path(__file__).parent / "data"


def copied(family: str, folder: Path, **settings: Any) -> Path:
    """A tiny encoder with other settings; one that is None is taken away."""
    target = folder / family
    shutil.copytree(DATA / f"tiny_{family}", target)
    path = target / "config.json"
    changed = {**json.loads(path.read_text()), **settings}
    kept = {name: value for name, value in changed.items() if value is not None}
    path.write_text(json.dumps(kept))
    return target


def output(folder: Path) -> np.ndarray:
    shape, params = load_transformer(folder)
    with np.load(folder / "reference.npz") as stored:
        ids, mask = stored["ids"].astype(np.int32), stored["mask"]
    return np.asarray(jax.jit(Transformer(shape).apply)({"params": params}, ids, mask))


OLD_MODERN = {
    "layer_types": None,
    "rope_parameters": None,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160_000.0,
    "local_rope_theta": 10_000.0,
}


def test_older_and_newer_settings_of_modernbert_mean_the_same(tmp_path: Path) -> None:
    old = copied("modernbert", tmp_path, **OLD_MODERN)
    shape = read_shape(old)
    assert shape == read_shape(DATA / "tiny_modernbert")
    assert shape.windows == (0, 3, 3, 0)
    assert shape.rotary_bases == (160_000.0, 10_000.0, 10_000.0, 160_000.0)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("modernbert", {"local_attention": 64}),
        ("modernbert", {"layer_types": None, "global_attn_every_n_layers": 1}),
        ("modernbert", {**OLD_MODERN, "global_rope_theta": 500.0}),
        ("modernbert", {"norm_eps": 0.1}),
        ("xlm_roberta", {"layer_norm_eps": 0.1}),
        ("electra", {"hidden_act": "relu"}),
    ],
)
def test_a_setting_that_is_read_changes_the_vectors(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    with np.load(DATA / f"tiny_{family}" / "reference.npz") as stored:
        expected, mask = stored["out"], stored["mask"]
    changed = output(copied(family, tmp_path, **settings))
    assert np.abs(changed - expected)[mask].max() > 1e-3


def test_an_electra_as_wide_as_its_tables_has_no_projection(tmp_path: Path) -> None:
    folder = copied("electra", tmp_path, embedding_size=8)
    weights = load_file(folder / "model.safetensors")
    for name in list(weights):
        if "embeddings_project" in name:
            del weights[name]
        elif "embeddings." in name:
            pad = [(0, 0)] * (weights[name].ndim - 1) + [(0, 2)]
            weights[name] = np.pad(weights[name], pad, constant_values=0.5)
    save_file(weights, folder / "model.safetensors")
    shape, params = load_transformer(folder)
    assert shape.embedding_features == 0
    assert "embedding_projection" not in params
    assert np.isfinite(output(folder)).all()


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("mpnet", {"relative_attention_num_buckets": 16}, "must be 32, got 16"),
        ("mpnet", {"vocab_size": 41}, r"\[41, 8\], got \[40, 8\]"),
        ("mpnet", {"num_attention_heads": 4}, r"bias.weight must have shape \[32, 4\]"),
        ("electra", {"embedding_size": 5}, r"must have shape \[40, 5\], got \[40, 6\]"),
        ("electra", {"embedding_size": "wide"}, "config.json: "),
        ("modernbert", {"norm_bias": True}, "norm_bias must be False, got True"),
        ("modernbert", {"mlp_bias": True}, "mlp_bias must be False, got True"),
        ("modernbert", {"local_attention": 1}, "local_attention must be >= 2, got 1"),
        ("modernbert", {"layer_types": ["round"]}, "must be 4 times full_attention or"),
        ("modernbert", {"rope_parameters": 5}, "config.json: "),
        ("modernbert", {"rope_scaling": {"factor": 2}}, "rope_scaling must be None"),
        (
            "modernbert",
            {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
            "the rope_type of full_attention must be default, got 'yarn'",
        ),
        (
            "modernbert",
            {**OLD_MODERN, "global_attn_every_n_layers": 0},
            "global_attn_every_n_layers must be at least 1, got 0",
        ),
        ("modernbert", {"num_attention_heads": 8}, "even number of features in a head"),
        (
            "modernbert",
            {"intermediate_size": 9},
            r"Wi.weight must have shape \[18, 8\]",
        ),
        ("modernbert", {"hidden_activation": "silu"}, "got 'silu'"),
        ("modernbert", {"vocab_size": None}, "lacks the setting 'vocab_size'"),
    ],
)
def test_settings_that_do_not_fit_are_told_with_their_file(
    family: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = copied(family, tmp_path, **settings)
    with pytest.raises(PretrainedError, match=message) as caught:
        load_transformer(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- pooling and prompts ------------------------------------------------------------


def test_a_folder_that_says_nothing_has_no_pooling_and_no_prompt(tmp_path) -> None:
    assert pooling_file(tmp_path) is None
    assert (read_pooling(tmp_path, 8), read_prompt(tmp_path)) == ("", "")


@pytest.mark.parametrize("mode", ["cls", "mean", "max"])
def test_the_pooling_is_read_from_older_and_newer_files(mode: str, tmp_path) -> None:
    write_pooling(tmp_path, mode)
    assert read_pooling(tmp_path, 8) == mode
    path = tmp_path / "1_Pooling" / "config.json"
    both = {**json.loads(path.read_text()), "pooling_mode": mode}
    path.write_text(json.dumps(both))
    assert read_pooling(tmp_path, 8) == mode
    for given in (mode, [mode]):
        path.write_text(json.dumps({"pooling_mode": given}))
        assert read_pooling(tmp_path, 8) == mode


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        (
            {"pooling_mode_lasttoken": True},
            "token and pooling_mode_lasttoken; give --text",
        ),
        ({"pooling_mode_max_tokens": True}, "cls_token and pooling_mode_max_tokens"),
        ({"pooling_mode_cls_token": False}, "got none"),
        ({"pooling_mode": "weightedmean"}, "cls_token and weightedmean"),
        ({"word_embedding_dimension": 9}, "word_embedding_dimension must be 8.*got 9"),
    ],
)
def test_another_pooling_is_told_with_its_file(pooling, message, tmp_path) -> None:
    write_pooling(tmp_path, "cls", **pooling)
    with pytest.raises(PretrainedError, match=message) as caught:
        read_pooling(tmp_path, 8)
    assert str(tmp_path / "1_Pooling" / "config.json") in str(caught.value)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "must hold a JSON list"),
        ([5], "a type and a path, got 5"),
        ([{"type": "x.Transformer"}], "a type and a path"),
        ([{"type": "x.Dense", "path": "2_Dense"}], "a Normalize, got 'x.Dense'"),
        ([{"type": "x.Transformer", "path": ""}], "one Pooling.*got none"),
        ([{"type": "x.Pooling", "path": "../p"}], "in a folder beside it, got ../p"),
        ([{"type": "x.Pooling", "path": "p"}] * 2, "got p, p"),
    ],
)
def test_other_modules_are_told_with_their_file(modules, message, tmp_path) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(PretrainedError, match=message) as caught:
        read_pooling(tmp_path, 8)
    assert str(tmp_path / "modules.json") in str(caught.value)


def test_a_pooling_whose_file_is_missing_is_told(tmp_path) -> None:
    write_pooling(tmp_path, "cls")
    (tmp_path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(PretrainedError, match=r"1_Pooling.config\.json cannot be read"):
        read_pooling(tmp_path, 8)


E5 = {"query": "query: ", "passage": "passage: "}


@pytest.mark.parametrize(
    ("settings", "prompt"),
    [
        ({"prompts": E5}, "query: "),
        ({"prompts": E5, "default_prompt_name": "passage"}, "passage: "),
        ({"prompts": {"query": "Instruct: find\nQuery:", "document": ""}}, ""),
        (
            {"prompts": {**E5, "Classification": "task: classify | "}},
            "task: classify | ",
        ),
        ({"prompts": {}, "default_prompt_name": None}, ""),
        ({"__version__": {}}, ""),
    ],
)
def test_the_prompt_is_the_default_or_that_of_classification(
    settings: dict[str, Any], prompt: str, tmp_path: Path
) -> None:
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(json.dumps(settings))
    assert read_prompt(tmp_path) == prompt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "must hold a JSON object"),
        ({"prompts": ["query: "]}, r"texts by name, got \['query: '\]"),
        ({"prompts": {"query": 5}}, "texts by name"),
        (
            {"prompts": E5, "default_prompt_name": "doc"},
            "one of query, passage, got 'doc'",
        ),
        ({"default_prompt_name": "doc"}, "of which there are none, got 'doc'"),
    ],
)
def test_prompts_that_are_none_are_told_with_their_file(
    settings: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(PretrainedError, match=message) as caught:
        read_prompt(tmp_path)
    assert str(path) in str(caught.value)
