"""Labels in chunks train, rank as all labels at once, on any devices."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.functional.losses.elementwise import (
    binary_cross_entropy,
    focal_loss,
)
from labelgraph_jax.training.many_labels import (
    compile_top_labels,
    many_label_objective,
    predict_top_labels,
)
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.parallel import make_mesh
from tests.devices.test_processes import ROOT, free_port
from tests.training.many_label_model import (
    CHUNK,
    LABELS,
    PARAMS,
    WIDTH,
    apply_fn,
    batches,
    document_fn,
    factors_fn,
    label_fn,
    probabilities,
)

MESHES = {
    "one": {"devices": jax.devices()[:1]},
    "data=8": {},
    "data=4,model=2": {"model": 2},
}


@pytest.mark.parametrize("loss", [binary_cross_entropy, partial(focal_loss, gamma=1.0)])
def test_an_objective_over_positives_is_that_over_multi_hot_targets(loss: Any) -> None:
    batch, key = batches()[-1], jax.random.key(3)
    weight = np.linspace(0.5, 2, LABELS).astype(np.float32)
    whole = multi_label_objective(apply_fn, loss, positive_weight=weight)
    chunked = many_label_objective(
        factors_fn, loss, chunk=CHUNK, positive_weight=weight
    )
    expected = jax.value_and_grad(whole, has_aux=True)(PARAMS, batch, key)
    found = jax.value_and_grad(chunked, has_aux=True)(PARAMS, batch, key)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
        found,
        expected,
    )


@pytest.mark.parametrize(
    "batch", [{"positives": 1, "target_mask": 1}, {"targets": 1, "inputs": 1}]
)
def test_a_batch_with_a_mask_or_without_positives_is_refused(batch: Any) -> None:
    loss_fn = many_label_objective(factors_fn, binary_cross_entropy)
    names = ", ".join(sorted(batch))
    with pytest.raises(ValueError, match=f"without a target_mask; got .* of {names}"):
        loss_fn(PARAMS, batch, jax.random.key(0))


@pytest.mark.parametrize("mesh", MESHES)
def test_the_best_labels_come_in_document_order_on_any_devices(mesh: str) -> None:
    rank = compile_top_labels(
        document_fn, label_fn, make_mesh(**MESHES[mesh]), k=6, chunk=CHUNK
    )
    found = predict_top_labels(rank, PARAMS, batches())
    scores = probabilities()
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(found.ids, expected)
    np.testing.assert_allclose(
        found.probabilities, np.take_along_axis(scores, expected, axis=1), rtol=1e-5
    )


def test_label_vectors_are_computed_once_where_parameters_are_placed_once() -> None:
    calls = 0

    def counted(params: Any) -> Any:
        def count() -> None:
            nonlocal calls
            calls += 1

        jax.debug.callback(count)
        return label_fn(params)

    one = make_mesh(jax.devices()[:1])
    rank = compile_top_labels(document_fn, counted, one, k=2)
    placed = rank.place_params(PARAMS)
    for _ in range(2):
        predict_top_labels(rank, placed, batches())
    jax.effects_barrier()
    assert calls == 1
    predict_top_labels(rank, PARAMS, batches())
    jax.effects_barrier()
    assert calls == 2


def test_label_vectors_are_split_over_the_model_axis() -> None:
    rank = compile_top_labels(document_fn, label_fn, make_mesh(model=2), k=2)
    placed = rank.place_params(PARAMS)
    assert placed.labels.addressable_shards[0].data.shape == (LABELS // 2, WIDTH)
    assert placed.bias.addressable_shards[0].data.shape == (LABELS // 2,)


def test_more_best_labels_than_labels_are_refused() -> None:
    rank = compile_top_labels(document_fn, label_fn, k=31)
    with pytest.raises(ValueError, match="got k = 31 of 30 labels"):
        predict_top_labels(rank, PARAMS, batches())


def test_no_batch_has_no_best_label() -> None:
    rank = compile_top_labels(document_fn, label_fn, k=2)
    ids, scores = predict_top_labels(rank, PARAMS, [])
    assert ids.shape == scores.shape == (0, 0)


def test_a_document_seen_twice_is_refused() -> None:
    rank = compile_top_labels(document_fn, label_fn, k=2)
    broken = batches()
    broken[1]["example_index"][0] = broken[0]["example_index"][0]
    with pytest.raises(ValueError, match=r"0 \.\. 20, each once; got 20 distinct"):
        predict_top_labels(rank, PARAMS, broken)


def test_two_processes_rank_as_one(tmp_path: Path) -> None:
    port = str(free_port())
    files = [tmp_path / f"{process}.npz" for process in range(2)]
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.training.label_worker", port),
                *("2", str(process), str(file)),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process, file in enumerate(files)
    ]
    for worker in workers:
        _, err = worker.communicate(timeout=240)
        assert worker.returncode == 0, err
    one = make_mesh(jax.devices()[:1])
    rank = compile_top_labels(document_fn, label_fn, one, k=6, chunk=CHUNK)
    top = predict_top_labels(rank, PARAMS, batches())
    for file in files:
        found = np.load(file)
        np.testing.assert_array_equal(found["ids"], top.ids)
        np.testing.assert_allclose(found["probabilities"], top.probabilities, rtol=1e-6)
