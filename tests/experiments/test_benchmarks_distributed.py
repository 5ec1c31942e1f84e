"""Checkpoint cost, weak scaling, MFU, first steps: run for real, at toy sizes."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks import (
    checkpoint_cost,
    compilation_cache,
    finetuning,
    mfu,
    scaling_estimate,
    weak_scaling,
)
from experiments.benchmarks.checkpoint_cost import Save
from experiments.benchmarks.finetuning import SHAPES, Sizes

TOY = {"shape": "toy", "rows": 2, "tokens": 8, "labels": 3, "dropout": 0.0}
needs_two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="needs a core for each of two processes"
)


def flags(**options: Any) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def written(folder: Path, name: str) -> tuple[dict[str, Any], str]:
    result = json.loads((folder / f"{name}.json").read_text())
    return result, (folder / f"{name}.md").read_text()


def test_a_save_is_measured_until_it_is_on_disk(tmp_path: Path) -> None:
    options = flags(**TOY, saves=1, steps=1, out=tmp_path, folder=tmp_path)
    checkpoint_cost.main(options)
    result, text = written(tmp_path, "checkpoint_cost")
    (encoder,) = result["encoders"]
    (save,) = encoder["saves"]
    assert 0 < save["blocked"] <= save["written"]
    # Parameters and both moments, and what describes them.
    assert encoder["bytes"] > 12 * encoder["parameters"]
    assert save["steps"] >= 1
    cost = save["blocked"] + save["seconds"] - save["steps"] * save["undisturbed"]
    assert encoder["share_of_a_minute"] == pytest.approx(cost / 60)
    assert "of a minute (target: below 5%)" in text
    assert list(tmp_path.glob("tmp*")) == []


def test_a_save_costs_what_it_blocks_and_what_the_steps_beside_it_lose() -> None:
    save = Save(blocked=0.5, written=4.0, steps=3, seconds=7.5, undisturbed=2.0)
    assert save.slowed == 1.5
    assert save.cost == 2.0


@needs_two_cores
def test_processes_that_train_together_are_set_against_one_alone(
    tmp_path: Path,
) -> None:
    weak_scaling.main(flags(**TOY, turns=1, steps=1, out=tmp_path))
    result, text = written(tmp_path, "weak_scaling")
    assert list(result["seconds"]) == ["alone", "apart", "together"]
    assert all(spread["median"] > 0 for spread in result["seconds"].values())
    alone, together = (result["seconds"][n]["median"] for n in ("alone", "together"))
    assert result["efficiency"]["together"]["median"] == pytest.approx(alone / together)
    apart, joined = result["first_losses"]["apart"], result["first_losses"]["together"]
    # One run over the rows of both: its loss is the mean of theirs.
    assert joined[0] == joined[1]
    assert joined[0][0] == pytest.approx(np.mean([apart[0][0], apart[1][0]]), rel=1e-5)
    assert "unconnected, at the same time" in text
    assert "### An estimate for many chips" in text


def test_more_processes_than_cores_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        weak_scaling.main(["--processes", "4096"])
    assert "each having one of its own: got 4096" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize("chips", [8, 64, 256])
def test_a_chip_sends_the_same_bytes_on_a_torus_and_between_hosts(chips: int) -> None:
    size = 1e9
    # Within the host, then an eighth of it between the hosts.
    hosts = chips // 8
    within, between = 2 * 7 / 8 * size, 2 * (hosts - 1) / hosts * size / 8
    assert scaling_estimate.sent_bytes(size, chips) == pytest.approx(within + between)


def test_the_estimate_is_what_one_gets_by_hand() -> None:
    v5e, v5p, h100 = scaling_estimate.SYSTEMS
    # 2 x 255/256 of 1 GB at 80 % of 200 GB/s; 60 hops of a microsecond.
    by_hand = 2 * 255 / 256 / 160 + 60e-6
    assert v5e.all_reduce_seconds(1e9, 256) == pytest.approx(by_hand)
    # No ring on 2 x 2 x 2: half of 80 % of 600 GB/s; 6 hops.
    assert v5p.all_reduce_seconds(1e9, 8) == pytest.approx(1.75 / 240 + 6e-6)
    # 1.75 GB at 360 GB/s, 1/8 of 1.75 GB at 40 GB/s, 2 x (7 + 7) hops of 5 us.
    by_hand = 1.75 / 360 + 0.21875 / 40 + 140e-6
    assert h100.all_reduce_seconds(1e9, 64) == pytest.approx(by_hand)
    one = scaling_estimate.estimate(v5e, "minilm", 256, 32)
    assert one["compute_seconds"] == pytest.approx(7.36e-3, rel=0.01)
    summed, compute = one["all_reduce_seconds"], one["compute_seconds"]
    assert one["alone"] == pytest.approx(compute / (compute + summed))
    assert one["hidden"] == 1.0


def test_the_estimate_names_its_sources_and_its_assumptions() -> None:
    text = scaling_estimate.markdown(scaling_estimate.estimates())
    for word in ("Cloud TPU documentation", "NVIDIA", "assumed", "nothing of it was"):
        assert word in text
    assert text.count("\n| ") == 2 + 3 * 2 * 3


@pytest.mark.parametrize(
    ("shape", "published"), [("minilm", 22.7e6), ("bert-base", 109.5e6)]
)
def test_the_shapes_are_those_of_the_published_encoders(
    shape: str, published: float
) -> None:
    # Without the pooler and the two segment vectors.
    count = scaling_estimate.model_parameters(shape)
    assert count == pytest.approx(published, rel=0.01)


def test_parameters_are_counted_as_the_model_has_them() -> None:
    sizes = Sizes(**TOY)
    training = finetuning.Finetuning(sizes)
    head = (SHAPES["toy"].features + 1) * sizes.labels
    assert training.parameters == scaling_estimate.model_parameters("toy") + head


def test_operations_of_a_step_are_what_one_counts_by_hand() -> None:
    sizes = Sizes(**(TOY | {"rows": 3, "tokens": 8, "labels": 5}))
    # D 16, 32 inner, 1 layer: 4 x 256 + 2 x 512 = 2,048 parameters of products.
    products = 6 * (2048 * 3 * 8 + 16 * 5 * 3)
    attention = 12 * 1 * 3 * 8 * 8 * 16
    assert finetuning.analytic_flops(sizes) == products + attention


def test_mfu_is_reported_and_the_report_says_what_a_cpu_is_worth(
    tmp_path: Path,
) -> None:
    options = flags(shapes="toy", rows=8, tokens=8, steps=3, products="16,32")
    mfu.main([*options, f"--out={tmp_path}"])
    result, text = written(tmp_path, "mfu")
    found = result["encoders"]["toy"]
    times = found["step_seconds"]
    assert 0 < times["p10"] <= times["p50"] <= times["p99"]
    peak = result["peaks"]["bfloat16"]["best"]
    by_hand = found["flops"] / times["p50"] / peak
    assert found["mfu"] == pytest.approx(by_hand)
    assert found["compiler_flops"] > found["flops"] / 2
    assert found["finite"]
    assert 0 < found["input_share"] < 1
    assert result["met"] is None
    assert "**Reduced sizes**" in text
    assert "not judged on a CPU" in text


def test_several_batch_sizes_are_measured_and_the_best_of_them_counts(
    tmp_path: Path,
) -> None:
    options = flags(shapes="toy", rows="2,4", tokens=8, steps=1, products="16")
    mfu.main([*options, f"--out={tmp_path}"])
    result, text = written(tmp_path, "mfu")
    assert list(result["encoders"]) == ["toy, 2 rows", "toy, 4 rows"]
    assert "| 4 x 8 |" in text
    best = max(found["mfu"] for found in result["encoders"].values())
    assert mfu.best_of_all(result) == best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 65}, "toy has 64 positions, got 65 tokens"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"shape": "elmo"}, "shape must be one of minilm, bert-base, toy, got 'elmo'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Sizes(**(TOY | options))


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (checkpoint_cost, ["--saves=0"], "--saves must be at least 1, got 0"),
        (checkpoint_cost, ["--tokens=513"], "512 positions, got 513"),
        (weak_scaling, ["--turns=0"], "--turns must be at least 1, got 0"),
        (mfu, ["--shapes=elmo"], "must be some of minilm, bert-base, toy"),
        (mfu, ["--steps=0"], "--steps must be at least 1, got 0"),
        (mfu, ["--rows=4,0"], "rows must be at least 1, got 0"),
        (compilation_cache, ["--repeats=0"], "--repeats must be at least 1, got 0"),
        (compilation_cache, ["--documents=5"], "--documents must be at least 48"),
    ],
)
def test_bad_arguments_are_answered_in_a_line(
    module: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        module.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def program(told: str, code: int = 0) -> list[str]:
    """A program that says something, and then would go on for long."""
    lines = f"import sys, time; print({told!r}, file=sys.stderr, flush=True)"
    return [
        sys.executable,
        "-c",
        f"{lines}; {code} and sys.exit({code}); time.sleep(60)",
    ]


def test_the_first_step_is_timed_by_two_clocks_and_the_program_ended() -> None:
    line = "first step done 0.2 s after the start"
    start = compilation_cache.first_step(program(line), os.environ, limit=30)
    assert start.told == 0.2
    assert 0 < start.seconds < 1.2


def test_clocks_that_disagree_are_an_error() -> None:
    line = "first step done 99.0 s after the start of the process"
    with pytest.raises(RuntimeError, match=r"the program says 99 s .* our clock 0"):
        compilation_cache.first_step(program(line), os.environ, limit=30)


@pytest.mark.parametrize(
    ("command", "limit", "message"),
    [
        (program("no data", code=2), 30, r"exit code 2\) .* it last said: no data"),
        (program("reading"), 0.5, "no first step within 0.5 s; it last said: reading"),
        ([sys.executable, "-c", ""], 30, "exit code 0.*it said nothing"),
    ],
)
def test_a_program_without_a_first_step_is_an_error(
    command: list[str], limit: float, message: str
) -> None:
    with pytest.raises(compilation_cache.NoFirstStepError, match=message):
        compilation_cache.first_step(command, os.environ, limit)


def test_the_made_texts_can_be_read_and_have_every_label(tmp_path: Path) -> None:
    from labelgraph_jax.data.readers.texts import read_documents

    compilation_cache.write_texts(tmp_path / "texts.tsv", 48)
    documents = read_documents(tmp_path / "texts.tsv")
    assert len(documents) == 48
    assert {label for d in documents for label in d.labels} == set(
        compilation_cache.TOPICS
    )


def test_starts_are_reported_with_the_target() -> None:
    spread = {"median": 16.0, "low": 15.0, "high": 17.0}
    row = {"seconds": spread, "told": spread, "all": [15.0, 17.0]}
    result = {
        "machine": weak_scaling.measure.machine_facts(),
        "preset": "minilm-finetune",
        "documents": 96,
        "repeats": 2,
        "rows": dict.fromkeys(compilation_cache.ROWS, row),
        "target": 15.0,
        "met": False,
    }
    text = compilation_cache.report(result)
    assert "| second | 16.0 | 15.0 to 17.0 | 16.0 | 15 s: **missed** |" in text


def test_a_shape_of_its_own_dropout() -> None:
    assert Sizes("toy", tokens=8, dropout=0.3).transformer.dropout_rate == 0.3
    assert dataclasses.asdict(Sizes())["shape"] == "minilm"
