"""One pure step gives one answer: eager, jit, eight devices, pmap."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from labelgraph_jax.data.batches.unlabelled import (
    PROGRESS,
    UNLABELLED,
    unlabelled_part,
)
from labelgraph_jax.training.averaging import publishing_average, with_average
from labelgraph_jax.training.compiled_step import (
    CompiledStep,
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.objectives import (
    added_objective,
    multi_label_objective,
    two_pass_objective,
)
from labelgraph_jax.training.optimizer import make_optimizer, make_schedule
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import (
    TrainState,
    TrainStep,
    init_train_state,
    make_train_step,
)
from labelgraph_jax.training.unlabelled import pseudo_label_loss, teacher_targets
from tests.training.conftest import (
    Batches,
    apply_linear,
    apply_without_dropout,
    assert_same_bits,
    initial_params,
    logistic_loss,
)
from tests.training.test_partners import state_optimizer
from tests.training.test_partners import step_of as partners_step

OPTIMIZER = make_optimizer(learning_rate=0.05, warmup_steps=2, total_steps=20)


def step_of(apply_fn: Any, **options: Any) -> TrainStep:
    objective = multi_label_objective(apply_fn, logistic_loss)
    return make_train_step(objective, OPTIMIZER, jax.random.key(3), **options)


def run(
    compiled: CompiledStep,
    steps: int,
    batches: Any = None,
    optimizer: Any = OPTIMIZER,
) -> tuple[TrainState, list[dict[str, Any]]]:
    state = compiled.place_state(init_train_state(initial_params(), optimizer))
    batches, metrics = batches or Batches(), []
    for _ in range(steps):
        state, values = compiled(state, compiled.place_batch(next(batches)))
        metrics.append(jax.device_get(values))
    return jax.device_get(compiled.collect(state)), metrics


def eager(
    step: TrainStep, steps: int, batches: Any = None
) -> tuple[TrainState, list[dict[str, Any]]]:
    state = init_train_state(initial_params(), OPTIMIZER)
    batches, metrics = batches or Batches(), []
    with jax.disable_jit():
        for _ in range(steps):
            batch = {name: jnp.asarray(x) for name, x in next(batches).items()}
            state, values = step(state, batch)
            metrics.append(values)
    return state, metrics


def assert_close(left: Any, right: Any, rtol: float = 1e-5) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)


def test_ragged_masked_batches_agree_eager_jit_eight_devices_and_pmap() -> None:
    step = step_of(apply_without_dropout)
    one = run(compile_train_step(step, make_mesh(jax.devices()[:1])), 3)
    assert_close(eager(step, 3), one)
    assert_close(run(compile_train_step(step, make_mesh()), 3), one)
    assert_close(run(compile_train_step_pmap(step), 3), one)


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_take_the_step_of_the_whole_batch(parts: int) -> None:
    class Longer(Batches):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            return {name: np.concatenate([x] * 2) for name, x in batch.items()}

    def run_longer(compiled: CompiledStep) -> Any:
        state = compiled.place_state(init_train_state(initial_params(), OPTIMIZER))
        for batch, _ in zip(iter(Longer().__next__, None), range(3), strict=False):
            state, metrics = compiled(state, compiled.place_batch(batch))
        return jax.device_get((compiled.collect(state), metrics))

    whole = run_longer(compile_train_step(step_of(apply_without_dropout)))
    step = step_of(apply_without_dropout, micro_batches=parts)
    one_device = make_mesh(jax.devices()[:1])
    assert_close(run_longer(compile_train_step(step, one_device)), whole)
    assert_close(run_longer(compile_train_step(step, make_mesh())), whole)
    assert_close(run_longer(compile_train_step_pmap(step)), whole)


def test_micro_batches_draw_different_dropout() -> None:
    def objective(params: Any, batch: Any, key: jax.Array) -> Any:
        return jax.random.uniform(key) * params["w"], jnp.float32(1.0)

    step = make_train_step(
        objective, optax.sgd(1.0), jax.random.key(0), micro_batches=2
    )
    state = init_train_state({"w": jnp.float32(1.0)}, optax.sgd(1.0))
    _, metrics = step(state, {"inputs": np.zeros((4, 1), np.float32)})
    key = jax.random.fold_in(jax.random.key(0), 0)
    drawn = [jax.random.uniform(jax.random.fold_in(key, part)) for part in range(2)]
    assert drawn[0] != drawn[1]
    np.testing.assert_allclose(metrics["loss"], sum(drawn) / 2, rtol=1e-6)


def test_a_batch_that_does_not_divide_into_micro_batches_is_refused() -> None:
    step = step_of(apply_without_dropout, micro_batches=3)
    state = init_train_state(initial_params(), OPTIMIZER)
    with pytest.raises(ValueError, match="16 rows does not divide into 3 micro"):
        step(state, next(Batches()))
    with pytest.raises(ValueError, match="micro_batches must be at least 1; got 0"):
        step_of(apply_without_dropout, micro_batches=0)


def test_dropout_agrees_on_one_and_on_eight_devices() -> None:
    step = step_of(apply_linear)
    one = run(compile_train_step(step, make_mesh(jax.devices()[:1])), 6)
    assert_close(run(compile_train_step(step, make_mesh()), 6), one)


def test_dropout_under_pmap_is_that_of_one_device() -> None:
    step = step_of(apply_linear)
    one = run(compile_train_step(step, make_mesh(jax.devices()[:1])), 6)
    assert_close(run(compile_train_step_pmap(step), 6), one)


def test_the_gradient_is_that_of_the_mean_over_real_rows() -> None:
    step = step_of(apply_without_dropout)
    batch = {name: jnp.asarray(x) for name, x in next(Batches()).items()}
    real = {name: x[np.asarray(batch["example_mask"])] for name, x in batch.items()}
    state = init_train_state(initial_params(), OPTIMIZER)
    padded, padded_metrics = jax.jit(step)(state, batch)
    trimmed, metrics = jax.jit(step)(state, real)
    assert_close(padded, trimmed, 1e-6)
    assert_close(padded_metrics, metrics, 1e-6)
    assert metrics["examples"] == 15


def test_a_batch_of_padding_alone_gives_a_zero_gradient() -> None:
    step = make_train_step(
        multi_label_objective(apply_without_dropout, logistic_loss),
        optax.sgd(1.0),
        jax.random.key(0),
    )
    batch = next(Batches())
    batch["example_mask"][:] = False
    state = init_train_state(initial_params(), optax.sgd(1.0))
    after, metrics = jax.jit(step)(state, batch)
    assert_same_bits(after.params, initial_params())
    assert metrics["loss"] == metrics["gradient_norm"] == metrics["examples"] == 0


def test_the_key_of_a_step_depends_on_the_step_alone() -> None:
    step = jax.jit(step_of(apply_linear))
    batch = next(Batches())
    state = init_train_state(initial_params(), OPTIMIZER)
    later = state._replace(step=jnp.int32(5))
    first, again, other = (step(s, batch)[1]["loss"] for s in (state, state, later))
    assert first == again
    assert first != other


def test_the_step_counts_and_reports_its_learning_rate() -> None:
    rate = make_schedule(0.05, warmup_steps=2, total_steps=20)
    step = jax.jit(step_of(apply_linear, learning_rate=rate))
    state, metrics = step(
        init_train_state(initial_params(), OPTIMIZER), next(Batches())
    )
    assert state.step == 1
    np.testing.assert_allclose(metrics["learning_rate"], 0.025)


def test_frozen_parameters_keep_their_bits_and_have_no_gradient_or_state() -> None:
    def is_frozen(path: str) -> bool:
        return path.startswith("body/")

    def apply(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
        hidden = {"inputs": batch["inputs"] @ params["body"]["kernel"]}
        return apply_without_dropout(params, hidden, key=key, train=train)

    params = initial_params()
    params["body"] = {"kernel": np.eye(5, dtype=np.float32) - 0.0}
    optimizer = make_optimizer(learning_rate=0.1, total_steps=5, is_frozen=is_frozen)
    step = make_train_step(
        multi_label_objective(apply, logistic_loss),
        optimizer,
        jax.random.key(0),
        is_frozen=is_frozen,
    )
    state = init_train_state(params, optimizer)
    slots = [leaf.shape for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert sorted(slots) == [(3,), (3,), (5, 3), (5, 3)]
    compiled = compile_train_step(step, make_mesh(jax.devices()[:1]))
    placed = compiled.place_state(state)
    for _ in range(2):
        placed, _ = compiled(placed, compiled.place_batch(next(Batches())))
    assert_same_bits(placed.params["body"], params["body"])
    assert not np.array_equal(placed.params["head"]["kernel"], params["head"]["kernel"])


def test_a_batch_that_does_not_divide_names_both_numbers() -> None:
    step = step_of(apply_linear)
    for compiled in (compile_train_step(step), compile_train_step_pmap(step)):
        with pytest.raises(ValueError, match="12 rows does not divide over 8 devices"):
            compiled.place_batch(next(Batches(12)))


class Beside(Batches):
    """Batches with two unlabelled rows beside each labelled one."""

    ragged = False

    def __next__(self) -> dict[str, np.ndarray]:
        batch = super().__next__()
        rng = np.random.default_rng(1000 + self.position)
        rows = len(batch["inputs"])
        shape = (rows, 2, *batch["inputs"].shape[1:])
        batch[f"{UNLABELLED}inputs"] = rng.normal(size=shape).astype(np.float32)
        batch[f"{UNLABELLED}example_mask"] = np.ones((rows, 2), bool)
        if not self.ragged:
            batch["example_mask"] = np.ones(rows, bool)
        return batch


class RaggedBeside(Beside):
    ragged = True


def spread(params: Any, batch: Any, key: jax.Array) -> jax.Array:
    """A loss of unlabelled rows, with dropout."""
    rows = unlabelled_part(batch)
    logits = apply_linear(params, rows, key=key, train=True)
    return jnp.mean(jnp.square(logits) * rows["example_mask"][:, None])


def both_step(**options: Any) -> TrainStep:
    labelled = multi_label_objective(apply_linear, logistic_loss)
    objective = added_objective(labelled, spread, 0.7)
    return make_train_step(objective, OPTIMIZER, jax.random.key(3), **options)


def test_a_second_stream_agrees_eager_jit_eight_devices_and_pmap() -> None:
    step = both_step()
    one = run(compile_train_step(step, make_mesh(jax.devices()[:1])), 3, Beside())
    assert_close(run(compile_train_step(step, make_mesh()), 3, Beside()), one)
    assert_close(run(compile_train_step_pmap(step), 3, Beside()), one)
    assert_close(eager(step, 3, Beside()), one)


def test_a_second_stream_beside_ragged_batches_is_the_same_on_a_mesh() -> None:
    step = both_step()
    single = compile_train_step(step, make_mesh(jax.devices()[:1]))
    one = run(single, 3, RaggedBeside())
    assert_close(run(compile_train_step(step, make_mesh()), 3, RaggedBeside()), one)


def test_a_published_average_agrees_on_one_and_eight_devices_and_under_pmap() -> None:
    averaged = with_average(OPTIMIZER, every=2)
    twice = two_pass_objective(apply_linear, logistic_loss, 1.0)
    step = make_train_step(twice, averaged, jax.random.key(3))

    def both(compiled: CompiledStep) -> Any:
        """The average, which leaves the devices, and what goes on there."""
        compiled = publishing_average(compiled)
        state = compiled.place_state(init_train_state(initial_params(), averaged))
        batches = Batches()
        for _ in range(3):
            state, _ = compiled(state, compiled.place_batch(next(batches)))
            # Out and in again, as a run that is stopped and goes on.
            left = jax.device_get(compiled.collect(compiled.whole(state)))
            state = compiled.place_state(left)
        return left.params, left.opt_state.average

    one = both(compile_train_step(step, make_mesh(jax.devices()[:1])))
    assert_close(both(compile_train_step(step, make_mesh())), one)
    assert_close(both(compile_train_step_pmap(step)), one)


def test_a_teacher_agrees_on_one_and_eight_devices_and_under_pmap() -> None:
    averaged = with_average(OPTIMIZER)
    labelled = multi_label_objective(apply_linear, logistic_loss)
    step = make_train_step(
        added_objective(labelled, pseudo_label_loss(apply_linear), 1.0),
        averaged,
        jax.random.key(3),
        teacher=teacher_targets(apply_linear, np.ones(3, bool)),
    )

    class Late(Beside):
        def __next__(self) -> dict[str, np.ndarray]:
            batch = super().__next__()
            return {**batch, PROGRESS: np.ones(len(batch["inputs"]), np.float32)}

    one = run(
        compile_train_step(step, make_mesh(jax.devices()[:1])), 3, Late(), averaged
    )
    assert_close(run(compile_train_step(step, make_mesh()), 3, Late(), averaged), one)
    assert_close(run(compile_train_step_pmap(step), 3, Late(), averaged), one)


@pytest.mark.parametrize("size", [0, 40])
@pytest.mark.parametrize("parts", [1, 2])
def test_documents_compared_with_earlier_ones_agree_on_all_devices(
    size: int, parts: int
) -> None:
    step, optimizer = partners_step(size, micro_batches=parts), state_optimizer(size)

    def ran(compiled: CompiledStep) -> Any:
        return run(compiled, 3, Batches(16 * parts), optimizer)

    one = ran(compile_train_step(step, make_mesh(jax.devices()[:1])))
    assert_close(ran(compile_train_step(step, make_mesh())), one)
    assert_close(ran(compile_train_step_pmap(step)), one)
    with jax.disable_jit():
        state = init_train_state(initial_params(), optimizer)
        for batch, _ in zip(
            iter(Batches(16 * parts).__next__, None), range(3), strict=False
        ):
            state, _ = step(state, batch)
    assert_close(state, one[0])
