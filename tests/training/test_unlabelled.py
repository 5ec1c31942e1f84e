"""Losses of documents without labels, against their formulas."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from labelgraph_jax.data.batches.unlabelled import PROGRESS, UNLABELLED
from labelgraph_jax.training.averaging import with_average
from labelgraph_jax.training.unlabelled import (
    adversarial_loss,
    pseudo_label_loss,
    ramp,
    teacher_targets,
)

ROWS, RATIO, TOKENS, FEATURES, LABELS = 4, 2, 3, 5, 3
EVERY = np.ones(LABELS, bool)


def apply(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
    """The mean of a document's token vectors, with dropout, times a matrix."""
    vectors = batch["token_vectors"]
    if train:
        vectors = vectors * jax.random.bernoulli(key, 0.7, vectors.shape)
    return jnp.mean(vectors, axis=1) @ params


def batch_of(seed: int = 0, progress: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (ROWS, RATIO)
    rows = {
        "token_vectors": rng.normal(size=(*shape, TOKENS, FEATURES)),
        "token_mask": np.ones((*shape, TOKENS)),
        "targets": rng.random((*shape, LABELS)),
        "target_weight": rng.random((*shape, LABELS)),
    }
    batch = {UNLABELLED + n: x.astype(np.float32) for n, x in rows.items()}
    mask = np.ones(shape, bool)
    mask[-1, -1] = False
    batch[f"{UNLABELLED}example_mask"] = mask
    batch[PROGRESS] = np.full(ROWS, progress, np.float32)
    return batch


def params_of(seed: int = 1, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (scale * rng.normal(size=(FEATURES, LABELS))).astype(np.float32)


def test_the_loss_of_pseudo_labels_is_the_weighed_mean_over_all_cells() -> None:
    batch, params, key = batch_of(), params_of(), jax.random.key(0)
    loss = pseudo_label_loss(apply)(params, batch, key)
    flat = {n.removeprefix(UNLABELLED): x for n, x in batch.items() if n != PROGRESS}
    flat = {n: x.reshape(-1, *x.shape[2:]) for n, x in flat.items()}
    logits = np.asarray(apply(params, flat, key=key, train=True))
    total = 0.0
    for u in range(ROWS * RATIO - 1):  # the last one only fills up
        for n in range(LABELS):
            z, y = float(logits[u, n]), float(flat["targets"][u, n])
            p = 1 / (1 + np.exp(-z))
            cell = -(y * np.log(p) + (1 - y) * np.log(1 - p))
            total += float(flat["target_weight"][u, n]) * cell
    expected = total / (ROWS * RATIO * LABELS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_cell_without_weight_has_no_gradient_at_all() -> None:
    batch = batch_of()
    batch[f"{UNLABELLED}target_weight"][..., 1] = 0.0
    slope = jax.grad(pseudo_label_loss(apply))(params_of(), batch, jax.random.key(0))
    assert not np.any(slope[:, 1]) and np.all(slope[:, 0])


def test_a_teacher_is_learned_where_it_is_sure_on_either_side_alone() -> None:
    batch, teacher = batch_of(), params_of(scale=8.0)
    put = teacher_targets(apply, EVERY)(teacher, batch)
    vectors = batch[f"{UNLABELLED}token_vectors"].mean(axis=2)
    said = 1 / (1 + np.exp(-(vectors @ teacher)))
    np.testing.assert_allclose(put[f"{UNLABELLED}targets"], said, atol=1e-5)
    sure = (said <= 0.05) | (said >= 0.8)
    assert 0 < sure.mean() < 1
    np.testing.assert_array_equal(put[f"{UNLABELLED}target_weight"], sure)
    assert batch[f"{UNLABELLED}targets"] is not put[f"{UNLABELLED}targets"]


def test_of_a_label_without_a_positive_nothing_is_learned() -> None:
    learned = np.array([True, False, True])
    put = teacher_targets(apply, learned)(params_of(scale=8.0), batch_of())
    assert not np.any(put[f"{UNLABELLED}target_weight"][..., 1])
    loss = adversarial_loss(apply, lambda *_: jnp.zeros(()), "vectors", learned)
    slope = jax.grad(loss)(params_of(), batch_of(), jax.random.key(0))
    assert not np.any(slope[:, 1]) and np.any(slope[:, 0])


def test_what_the_model_says_itself_counts_fully_after_three_tenths() -> None:
    progress = np.array([0.0, 0.15, 0.3, 1.0], np.float32)
    expected = [np.exp(-5), np.exp(-1.25), 1, 1]
    np.testing.assert_allclose(ramp(progress), expected, rtol=1e-5)


def test_the_adversarial_loss_sees_the_same_dropout_before_and_after() -> None:
    # With dropout of its own each pass would differ by far more than by the change.
    loss = adversarial_loss(apply, lambda *_: jnp.zeros(()), "vectors", EVERY)
    found = loss(params_of(), batch_of(), jax.random.key(0))
    assert 0 < float(found) < 1e-3


def test_the_adversarial_loss_looks_token_ids_up() -> None:
    table = np.random.default_rng(3).normal(size=(7, FEATURES)).astype(np.float32)
    batch = batch_of()
    ids = np.random.default_rng(4).integers(0, 7, (ROWS, RATIO, TOKENS))
    batch[f"{UNLABELLED}token_ids"] = ids
    vectors = batch.pop(f"{UNLABELLED}token_vectors")

    def of_ids(params: Any, rows: Any, **options: Any) -> jax.Array:
        return apply(params, {"token_vectors": rows["vectors"]}, **options)

    def looked_up(params: Any, rows: Any) -> jax.Array:
        return jnp.asarray(table)[rows["token_ids"]]

    key = jax.random.key(0)
    found = adversarial_loss(of_ids, looked_up, "vectors", EVERY)(
        params_of(), batch, key
    )
    batch[f"{UNLABELLED}token_vectors"] = table[ids]
    given = adversarial_loss(apply, looked_up, "vectors", EVERY)(
        params_of(), batch, key
    )
    assert vectors.shape == table[ids].shape
    assert float(found) == pytest.approx(float(given), rel=1e-5)


def test_the_average_forgets_its_first_steps_and_then_looks_back_a_hundred() -> None:
    optimizer = with_average(optax.sgd(0.1), decay=0.9)
    params = {"w": jnp.float32(1.0)}
    state, average = optimizer.init(params), 1.0
    for step in range(1, 120):
        updates, state = optimizer.update({"w": jnp.float32(0.5)}, state, params)
        params = optax.apply_updates(params, updates)
        kept = min(0.9, step / (step + 9))
        average = kept * average + (1 - kept) * float(params["w"])
        assert float(state.average["w"]) == pytest.approx(average, rel=1e-4)


def test_an_average_changes_nothing_of_the_steps() -> None:
    plain = optax.adam(0.1)
    averaged = with_average(plain)
    params = {"w": jnp.arange(3.0)}
    one, other = plain.init(params), averaged.init(params)
    for _ in range(3):
        updates, one = plain.update(params, one, params)
        same, other = averaged.update(params, other, params)
        np.testing.assert_array_equal(updates["w"], same["w"])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_its_range_is_told(decay: float) -> None:
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\)"):
        with_average(optax.sgd(0.1), decay)
