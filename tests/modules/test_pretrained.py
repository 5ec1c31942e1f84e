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


@pytest.fixture
def minilm() -> Path:
    try:
        return find_pretrained("minilm")
    except PretrainedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_tiny_encoder_equals_the_torch_original(family: str) -> None:
    folder = DATA / f"tiny_{family}"
    assert largest_difference(folder, folder / "reference.npz") < 1e-5


def test_minilm_equals_the_torch_original(minilm: Path) -> None:
    assert largest_difference(minilm, DATA / "minilm_reference.npz") < 1e-4
