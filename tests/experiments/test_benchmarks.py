"""The benchmarks run at toy sizes; what they measure is not looked at here."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from experiments.benchmarks import imports, measure, predicting, race, train_step
from experiments.benchmarks.__main__ import judge_predicting
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing

TOY = {
    "turns": 2,
    "race-turns": 1,
    "steps": 1,
    "batch": 4,
    "tokens": 6,
    "shortest": 2,
    "features": 3,
    "units": 2,
    "labels": 5,
    "hidden": 2,
}


def test_the_train_step_is_measured_and_says_why_it_has_no_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**TOY, "peer-python": "no-such-python", "out": tmp_path}
    train_step.main([f"--{name}={value}" for name, value in options.items()])
    assert "Without the rival: no interpreter at no-such-python" in (
        capsys.readouterr().out
    )
    result = json.loads((tmp_path / "train_step.json").read_text())
    assert result["milliseconds"]["ours"] > 0
    assert "torch" not in result["milliseconds"]


@pytest.mark.parametrize("encoder", ["bilstm", "bag", "transformer"])
def test_the_rival_is_the_same_model_as_ours(encoder: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    sizes = train_step.Sizes(
        **{"batch": 4, "tokens": 6, "shortest": 2, "features": 3, "units": 2},
        **{"labels": 5, "hidden": 2, "vocabulary": 5, "shape": "toy"},
        encoder=encoder,
    )
    batches = train_step.make_batches(sizes)
    ours = train_step.Ours(sizes, batches)
    _, losses = ours.run(3)
    peer = train_step.start_peer(sys.executable, ours, sizes, batches)
    variants = ("turned fused", "turned foreach", "packed fused")
    for variant in variants if encoder == "bilstm" else ("fused", "foreach"):
        race.check_same(peer, variant, ours.parameters, losses, tolerance=2e-3)
    peer.close()


def test_the_rival_is_given_the_weights_of_our_bag() -> None:
    sizes = train_step.Sizes(
        **{"batch": 4, "tokens": 9, "shortest": 2, "features": 3, "labels": 5},
        encoder="bag",
        vocabulary=5,
    )
    batch = train_step.make_batches(sizes)[0]
    table = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    ids, mask = batch["token_ids"], batch["token_mask"]
    arrays = (jnp.asarray(each) for each in (table, ids, mask))
    ours = lg.functional.bag_of_embeddings(*arrays)
    theirs = np.einsum("bs,bsd->bd", train_step.bag_weights(batch), table[ids])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("encoder", ["bag", "transformer"])
def test_a_step_of_other_encoders_is_measured(encoder: str, tmp_path: Path) -> None:
    options = {**TOY, "peer-python": "no-such-python", "out": tmp_path}
    options |= {"encoder": encoder, "vocabulary": 9, "shape": "toy"}
    options |= {"device": "accelerator", "dtype": "bfloat16"}
    train_step.main([f"--{name}={value}" for name, value in options.items()])
    result = json.loads((tmp_path / "train_step.json").read_text())
    assert result["milliseconds"]["ours"] > 0
    assert np.isfinite(result["first_losses"]).all()


def test_variants_that_are_not_there_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        train_step.main(["--encoder=bag", "--variants=packed fused"])
    message = "--variants must name some of fused, foreach, fused compiled, got 'pack"
    assert message in capsys.readouterr().err


def test_a_rival_that_ends_early_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text("print('{}', flush=True)\ninput()\n")
    peer = Peer(sys.executable, script)
    with pytest.raises(PeerUnavailableError, match="its process ended"):
        peer.ask({})
    peer.close()


def test_runs_alternate_and_their_ratio_is_taken_turn_by_turn() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> Timing:
        order.append(name)
        return Timing(seconds, seconds)

    timings = measure.alternate(
        {"slow": lambda: run("slow", 3.0), "fast": lambda: run("fast", 2.0)}, 2
    )
    assert order == ["slow", "fast", "fast", "slow"]
    ratio = measure.ratio_of_turns(timings["slow"], timings["fast"])
    assert ratio == (1.5, 1.5, 1.5)


def test_a_failing_command_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        imports.seconds([sys.executable, "-c", "raise ValueError('boom')"])


def test_import_times_are_set_against_their_targets() -> None:
    facts = measure.machine_facts()
    row = {"median": 2.0, "lowest": 1.0, "highest": 3.0, "target": 1.5}
    text = imports.report({"machine": facts, "repeats": 1, "rows": {"it": row}})
    assert "| `it` | 2.00 | 1.00 to 3.00 | 1.5 s: missed |" in text


def test_texts_to_predict_have_so_many_words_and_a_missing_peer_is_told(
    tmp_path: Path,
) -> None:
    predicting.write_inputs(tmp_path, texts=3, words=8)
    lines = (tmp_path / "texts.txt").read_text("utf-8").splitlines()
    assert [len(line.split()) for line in lines] == [8, 8, 8]
    row = json.loads((tmp_path / "train.jsonl").read_text("utf-8").splitlines()[0])
    assert row["text"]
    spread = measure.Spread(7000.0, 6900.0, 7100.0)._asdict()
    ours = {"rate": spread, "seconds": spread, "megabytes": 450.0}
    result = {
        **{"texts": 3, "words": 8, "turns": 1, "machine": measure.machine_facts()},
        **{"rows": {"ours": ours}, "missing": {"fasttext": "not installed"}},
        **{"target": predicting.TARGET, "most_megabytes": predicting.MOST_MEGABYTES},
    }
    assert "fastText is not measured: not installed" in predicting.report(result)
    assert [verdict.met for verdict in judge_predicting(result)] == [True, True]


def test_a_command_that_fails_says_why() -> None:
    taken, megabytes = predicting.usage([sys.executable, "-c", "pass"])
    assert taken > 0
    assert megabytes > 1
    with pytest.raises(RuntimeError, match="boom"):
        predicting.usage([sys.executable, "-c", "raise ValueError('boom')"])
