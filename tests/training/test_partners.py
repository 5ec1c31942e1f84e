"""Documents of earlier steps beside those of a batch, with a linear model."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.training.averaging import with_average
from labelgraph_jax.training.compiled_step import CompiledStep, compile_train_step
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.partners import (
    Partners,
    PartnersObjective,
    all_partners,
    joined,
    queue_of,
    with_queue,
)
from labelgraph_jax.training.step import TrainStep, init_train_state, make_train_step
from tests.training.conftest import (
    FEATURES,
    LABELS,
    Batches,
    assert_same_bits,
    initial_params,
    optimizer,
    train,
)


def contrast(size: int) -> PartnersObjective:
    """The contrast by overlap of the vectors that the linear model makes, alone."""

    def losses(params: Any, batch: Any, key: Any, queue: Any, axis_name: Any) -> Any:
        vectors = batch["inputs"] @ params["head"]["kernel"]
        sets, real = batch["targets"] > 0, batch["example_mask"]
        own = Partners(vectors, sets, real)
        return lg.functional.overlap_contrast(
            vectors,
            sets,
            **all_partners(own, queue, axis_name),
            temperature=0.5,
            example_mask=real,
        ), own

    return PartnersObjective(losses, size, lambda params: (LABELS, LABELS))


def step_of(size: int, **options: Any) -> TrainStep:
    loss = contrast(size)
    return make_train_step(loss, state_optimizer(size), jax.random.key(0), **options)


def state_optimizer(size: int) -> Any:
    return with_queue(optimizer(), contrast(size))


def queue_in(opt_state: Any) -> Partners:
    found = queue_of(opt_state)
    assert found is not None
    return found


def compiled(size: int) -> CompiledStep:
    return compile_train_step(step_of(size), make_mesh(jax.devices()[:1]))


def test_a_queue_holds_the_last_documents_newest_first_and_padding_as_none() -> None:
    step = jax.jit(step_of(10))
    state = init_train_state(initial_params(), state_optimizer(10))
    assert not queue_in(state.opt_state).real.any()
    before, seen = [], Batches(4)
    for _ in range(4):
        batch = next(seen)
        before.append((batch, batch["inputs"] @ state.params["head"]["kernel"]))
        state, _ = step(state, batch)
    queue = queue_in(state.opt_state)
    vectors = np.concatenate([v for _, v in before[::-1]])[:10]
    for name, values in zip(
        ("targets", "example_mask"), (queue.targets, queue.real), strict=True
    ):
        wanted = np.concatenate([batch[name] for batch, _ in before[::-1]])[:10]
        np.testing.assert_array_equal(values, wanted > 0)
    np.testing.assert_allclose(queue.vectors, vectors, rtol=1e-5)


def test_a_step_compares_with_the_queue_and_sends_it_no_gradient() -> None:
    step = jax.jit(step_of(6))
    state = init_train_state(initial_params(), state_optimizer(6))
    batches = Batches(4)
    for _ in range(2):
        state, _ = step(state, next(batches))
    queue, batch = queue_in(state.opt_state), next(batches)

    def by_hand(params: Any) -> Any:
        loss_sum, weight = lg.functional.overlap_contrast(
            batch["inputs"] @ params["head"]["kernel"],
            batch["targets"],
            keys=np.asarray(queue.vectors),
            key_targets=np.asarray(queue.targets),
            key_mask=np.asarray(queue.real),
            temperature=0.5,
            example_mask=batch["example_mask"],
        )
        return loss_sum / weight

    loss, slope = jax.value_and_grad(by_hand)(state.params)
    _, metrics = step(state, batch)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    size = jnp.sqrt(jnp.sum(slope["head"]["kernel"] ** 2))
    np.testing.assert_allclose(metrics["gradient_norm"], size, rtol=1e-4)


def test_a_document_is_pulled_to_a_queued_one_the_more_the_larger_its_overlap() -> None:
    sets = np.zeros((5, 12), bool)
    sets[0, :3] = True
    for other, shared in enumerate((3, 2, 1, 0), 1):
        sets[other, :shared] = True
        sets[other, 3 * other : 3 * other + 3 - shared] = True
    vectors = jnp.eye(5, 6)
    queue = Partners(vectors[1:], jnp.asarray(sets[1:]), jnp.ones(4, bool))

    def loss(vector: jax.Array) -> jax.Array:
        own = Partners(vector[None], jnp.asarray(sets[:1]), jnp.ones(1, bool))
        keys = all_partners(own, queue, None)
        return lg.functional.overlap_contrast(vector[None], sets[:1], **keys)[0]

    pull = -jax.grad(loss)(vectors[0])[1:5]
    assert (np.diff(pull) < 0).all()
    assert pull[0] > 0 > pull[3]


def test_without_room_a_step_is_that_of_the_batch_alone() -> None:
    alone = make_train_step(
        lambda *given: contrast(0)(*given), optimizer(), jax.random.key(0)
    )
    states = []
    for step in (alone, step_of(0)):
        state = init_train_state(initial_params(), state_optimizer(0))
        assert queue_of(state.opt_state) is None
        for _, batch in zip(range(3), iter(Batches().__next__, None), strict=False):
            state, _ = jax.jit(step)(state, batch)
        states.append(state)
    assert_same_bits(*states)


def test_a_queue_below_an_average_of_the_parameters_is_found_and_moves() -> None:
    states = []
    for average in (False, True):
        optimizer = (
            with_average(state_optimizer(10)) if average else state_optimizer(10)
        )
        step = jax.jit(make_train_step(contrast(10), optimizer, jax.random.key(0)))
        state, batches = init_train_state(initial_params(), optimizer), Batches(4)
        for _ in range(4):
            state, _ = step(state, next(batches))
        states.append(state)
    plain, averaged = states
    assert queue_in(plain.opt_state).real.any()
    assert_same_bits(queue_of(averaged.opt_state), queue_of(plain.opt_state))
    assert_same_bits(averaged.params, plain.params)


def test_micro_batches_join_the_queue_in_the_order_of_the_batch() -> None:
    queues = []
    for parts in (1, 2):
        step = jax.jit(step_of(24, micro_batches=parts))
        state = init_train_state(initial_params(), state_optimizer(24))
        state, _ = step(state, next(Batches()))
        queues.append(queue_in(state.opt_state))
    np.testing.assert_allclose(queues[0].vectors, queues[1].vectors, rtol=1e-5)
    assert_same_bits(queues[0][1:], queues[1][1:])


def test_a_run_that_was_stopped_goes_on_with_its_queue(tmp_path: Path) -> None:
    def own() -> dict[str, Any]:
        state = init_train_state(initial_params(), state_optimizer(20))
        return {"state": state, "compiled": compiled(20)}

    whole = train(tmp_path / "whole", **own())
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", Batches(raise_at=7), **own(), checkpoint_every=2)
    resumed = train(tmp_path / "cut", **own(), checkpoint_every=2)
    assert resumed.resumed_from == 6
    assert queue_in(whole.state.opt_state).real.sum() > 10
    assert_same_bits(whole.state, resumed.state)


def test_an_optimizer_without_a_queue_is_left_alone() -> None:
    plain = optimizer()
    assert with_queue(plain, contrast(0)) is plain
    assert with_queue(plain, lambda *_: None) is plain
    state = plain.init({"w": jnp.ones((FEATURES, LABELS))})
    assert joined(state, None) is state
