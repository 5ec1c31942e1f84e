"""Averages, adjusted logits and two passes, in whole runs."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.config import Config, ConfigError, LossConfig
from labelgraph_jax.runs.fit import fit
from tests.tiny import tiny_config
from tests.zoo import Zoo

WAYS: dict[str, dict[str, Any]] = {
    "ema": {"training": {"average": "ema"}},
    "epochs": {"training": {"average": "epochs"}},
    "adjusted": {"loss": {"logit_adjustment": 1.0}},
    "two passes": {"loss": {"r_drop": 1.0}},
}


def config_of(zoo: Zoo, way: str) -> Config:
    ways = WAYS.get(way, {})
    training = {"epochs": 3, "batch_size": 8, **ways.get("training", {})}
    config = tiny_config(zoo.data, training=training)
    text = dataclasses.replace(config.text, dropout=0.3)
    loss = LossConfig(**ways.get("loss", {}))
    return dataclasses.replace(config, text=text, loss=loss)


def scores(run: Path, zoo: Zoo) -> np.ndarray:
    model = lg.load(run)
    return np.asarray(model.predict_proba(["wheat and corn", "the bank's rate"]))


def validated(run: Path) -> dict[int, float]:
    """Micro-F1 on validation by step."""
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    name, rows = "validation/micro_f1", map(json.loads, lines)
    return {row["step"]: row[name] for row in rows if name in row}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_does_what_is_asked_and_predicts_as_it_validated(
    zoo: Zoo, tmp_path: Path, way: str
) -> None:
    plain, run = tmp_path / "plain", tmp_path / "run"
    fit(config_of(zoo, ""), plain, progress=False)
    results = fit(config_of(zoo, way), run, progress=False)
    before, rows = validated(plain), validated(run)
    if way == "epochs":  # the mean is of one epoch alone until the third ends
        assert [rows[6], rows[12]] == pytest.approx([before[6], before[12]])
        assert rows[18] != pytest.approx(before[18])
    else:
        assert not np.allclose(scores(plain, zoo), scores(run, zoo), atol=1e-4)
    # The checkpoint that is kept is what validation measured.
    best = rows[results["training"]["best_step"]]
    assert best == pytest.approx(results["training"]["best_validation"])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ema", "epochs"])
def test_an_averaged_run_goes_on_for_more_epochs(
    zoo: Zoo, tmp_path: Path, way: str
) -> None:
    config, run = config_of(zoo, way), tmp_path / "run"
    fit(config, run, progress=False)
    training = dataclasses.replace(config.training, epochs=5)
    longer = dataclasses.replace(config, training=training)
    assert fit(longer, run, progress=False)["training"]["steps"] == 5 * 6


def test_two_passes_over_labels_in_chunks_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    config = config_of(zoo, "two passes")
    head = dataclasses.replace(config.head, label_chunk=2)
    with pytest.raises(ConfigError, match=r"cannot be done with loss\.r_drop"):
        fit(dataclasses.replace(config, head=head), tmp_path / "run", progress=False)
