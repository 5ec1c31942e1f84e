"""Noise of a set precision and recall, and the tables that are made of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.label_sources import KINDS, NAMED, NOISE, WAYS, main, noisy
from tests.tiny import made_documents, write_jsonl


@pytest.mark.parametrize("misled", [False, True])
def test_noise_has_the_precision_and_recall_that_it_is_given(misled):
    generator = np.random.default_rng(0)
    truth = generator.random((4_000, 3)) < [0.05, 0.2, 0.5]
    evidence = truth + generator.normal(size=truth.shape)
    found = noisy(truth, evidence if misled else None, 0.8, 0.6, generator)
    right = (found & truth).sum(axis=0)
    np.testing.assert_allclose(right / found.sum(axis=0), 0.8, atol=0.02)
    np.testing.assert_allclose(right / truth.sum(axis=0), 0.6, atol=0.02)
    kept = evidence[found & truth].mean() - evidence[~found & truth].mean()
    assert kept > 0.5 if misled else abs(kept) < 0.2


def test_every_cell_is_measured_and_kept(tmp_path: Path, capsys) -> None:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(120, 1))
    options = ["--corpora", str(data), "--seeds", "2", "--dimensions", "8"]
    options += ["--resamples", "20", "--out", str(tmp_path), "--work", str(tmp_path)]
    assert main(options) == 0
    assert "noise uniform 0.6 0.6 1" in capsys.readouterr().err
    record = json.loads((tmp_path / "label-sources-mine.json").read_text())
    assert len(record["noise"]) == len(KINDS) * len(NOISE)
    for row in record["noise"]:
        assert tuple(row["ways"]) == WAYS
        difference = row["ways"]["classifier"]["micro_f1"]["difference"]
        assert difference["low"] <= difference["high"]
    assert tuple(record["names"][0]["ways"]) == NAMED
    assert record["hidden"][0]["hidden"] == [2, 2]
    assert "| names alone |" in (tmp_path / "label-sources-mine.md").read_text()
    assert main(options) == 0
    assert "noise" not in capsys.readouterr().err  # read again, not computed


def test_a_bad_option_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert main(["--seeds", "0", "--out", str(tmp_path)]) == 2
    assert "--seeds must be at least 1" in capsys.readouterr().err
