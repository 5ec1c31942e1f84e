"""Seeds that train together train as they do alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.seeds import (
    SeedsResult,
    Trial,
    batch_orders,
    compile_epoch,
    fit_seeds,
    gather_batch,
    over_runs,
    stack_trees,
    stack_trials,
)
from labelgraph_jax.training.step import init_train_state, make_train_step
from tests.training.conftest import apply_linear, logistic_loss

DOCUMENTS, BATCH, STEPS, EPOCHS = 14, 4, 4, 3
OPTIMIZER = make_optimizer(learning_rate=0.1, total_steps=STEPS * EPOCHS)


def made_data() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "inputs": generator.normal(size=(DOCUMENTS, 5)).astype(np.float32),
        "targets": (generator.random((DOCUMENTS, 3)) < 0.4).astype(np.float32),
    }


def make_step(trial: Trial) -> Any:
    """A linear model whose logits are shifted by a constant of its own."""

    def shifted(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
        logits = apply_linear(params, batch, key=key, train=train)
        return logits + trial.constants

    objective = multi_label_objective(shifted, logistic_loss)
    return make_train_step(objective, OPTIMIZER, jax.random.key(trial.seed + 100))


def initial(seed: int) -> Any:
    kernel = jax.random.normal(jax.random.key(seed), (5, 3))
    params = {"head": {"kernel": kernel, "bias": jnp.zeros(3)}}
    return init_train_state(params, OPTIMIZER)


def trials(seeds: Sequence[int]) -> list[Trial]:
    return [Trial(seed, 0.1, constants=np.float32(0.1 * seed)) for seed in seeds]


def orders(seeds: Sequence[int]) -> Iterator[np.ndarray]:
    return batch_orders(DOCUMENTS, batch_size=BATCH, epochs=EPOCHS, seeds=seeds)


def train(seeds: Sequence[int], evaluate: Any = None, together: int = 0) -> SeedsResult:
    return fit_seeds(
        compile_epoch(make_step, made_data(), together=together),
        stack_trees([initial(seed) for seed in seeds]),
        trials(seeds),
        orders(seeds),
        evaluate=evaluate,
    )


def test_every_document_stands_in_one_batch_of_an_epoch() -> None:
    epochs = list(orders((3, 4)))
    assert [rows.shape for rows in epochs] == [(2, STEPS, BATCH)] * EPOCHS
    for rows in epochs:
        for run in rows:
            assert sorted(run.ravel()[run.ravel() >= 0]) == list(range(DOCUMENTS))
            assert (run[-1, DOCUMENTS % BATCH :] == -1).all()
    assert (epochs[0] != epochs[1]).any() and (epochs[0][0] != epochs[0][1]).any()
    np.testing.assert_array_equal(epochs[2][1:], list(orders((4,)))[2])


def test_seeds_together_end_as_single_runs_of_the_plain_step_do() -> None:
    seeds = (0, 3, 7)
    together = train(seeds)
    data = made_data()
    for place, seed in enumerate(seeds):
        step = jax.jit(make_step(trials(seeds)[place]))
        state = initial(seed)
        for (epoch,) in orders((seed,)):
            for rows in epoch:
                kept = np.maximum(rows, 0)
                batch = {name: values[kept] for name, values in data.items()}
                state, _ = step(state, batch | {"example_mask": rows >= 0})
        for ours, alone in zip(
            jax.tree.leaves(together.params),
            jax.tree.leaves(state.params),
            strict=True,
        ):
            np.testing.assert_allclose(ours[place], alone, atol=1e-5)
    assert together.losses.shape == (EPOCHS, len(seeds))
    assert (together.best_epoch == EPOCHS).all() and np.isnan(together.best_value).all()


def test_a_run_does_not_depend_on_those_beside_it() -> None:
    alone, beside = train((3,)), train((0, 3))
    for one, two in zip(
        jax.tree.leaves(alone.params), jax.tree.leaves(beside.params), strict=True
    ):
        np.testing.assert_allclose(one[0], two[1], atol=1e-6)
    np.testing.assert_allclose(alone.losses[:, 0], beside.losses[:, 1], atol=1e-6)


@pytest.mark.parametrize("together", [1, 2])
def test_runs_split_over_devices_end_as_under_one_vmap(together: int) -> None:
    seeds = range(9)  # on eight devices some compute a run that is thrown away
    split, whole = train(seeds, together=together), train(seeds)
    np.testing.assert_allclose(split.losses, whole.losses, rtol=1e-5)
    for ours, theirs in zip(
        jax.tree.leaves(split.params), jax.tree.leaves(whole.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_function_is_mapped_over_runs_and_shares_its_first_argument() -> None:
    runs = {"x": jnp.arange(5.0), "y": jnp.arange(10.0).reshape(5, 2)}

    def one_run(shared: Any, run: Any) -> Any:
        return shared * run["x"] + run["y"].sum()

    expected = 3.0 * np.arange(5) + np.arange(10.0).reshape(5, 2).sum(axis=1)
    for together in (0, 2):
        mapped = jax.jit(over_runs(one_run, together=together))
        np.testing.assert_allclose(mapped(jnp.float32(3), runs), expected)


def test_runs_over_shared_batches_are_those_of_runs_with_one_order() -> None:
    seeds = (0, 3)
    rows = next(orders((5,)))[0]

    def epoch(rows: np.ndarray, **options: Any) -> Any:
        states = stack_trees([initial(seed) for seed in seeds])
        compiled = compile_epoch(make_step, made_data(), **options)
        return compiled(states, stack_trials(trials(seeds)), rows)

    ours, losses = epoch(rows, share_batches=True)
    theirs, expected = epoch(np.stack([rows, rows]))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for one, other in zip(
        jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_each_run_keeps_its_own_best_epoch_and_the_first_of_equal_ones() -> None:
    given = iter([[0.5, 0.1], [0.5, np.nan], [0.4, 0.3]])
    seen: list[Any] = []

    def evaluate(params: Any) -> list[float]:
        seen.append(jax.tree.map(np.asarray, params))
        return next(given)

    result = train((0, 1), evaluate)
    assert result.best_epoch.tolist() == [1, 3]
    assert result.best_value.tolist() == [0.5, 0.3]
    kernel = np.asarray(result.params["head"]["kernel"])
    np.testing.assert_array_equal(kernel[0], seen[0]["head"]["kernel"][0])
    np.testing.assert_array_equal(kernel[1], seen[2]["head"]["kernel"][1])


def test_a_row_of_minus_one_is_padding() -> None:
    data = {name: jnp.asarray(values) for name, values in made_data().items()}
    batch = gather_batch(data, jnp.asarray([2, -1], jnp.int32))
    np.testing.assert_array_equal(batch["inputs"][0], data["inputs"][2])
    assert not np.asarray(batch["inputs"][1]).any()
    assert not np.asarray(batch["targets"][1]).any()
    assert batch["example_mask"].tolist() == [True, False]


def test_what_cannot_train_together_is_told() -> None:
    with pytest.raises(ValueError, match="at least one tree to stack; got none"):
        stack_trees([])
    with pytest.raises(ValueError, match="arrays of equal shapes"):
        stack_trees([{"a": np.zeros(2)}, {"a": np.zeros(3)}])
    with pytest.raises(ValueError, match="at least one epoch; got none"):
        fit_seeds(
            compile_epoch(make_step, made_data()),
            stack_trees([initial(0)]),
            trials((0,)),
            [],
        )


def test_a_loss_that_is_not_finite_names_epoch_and_run() -> None:
    states = stack_trees([initial(0), initial(7)])
    kernel = states.params["head"]["kernel"].at[1].set(jnp.nan)
    params = {"head": {**states.params["head"], "kernel": kernel}}
    with pytest.raises(FloatingPointError, match=r"epoch 1, runs \[1\] of seeds \[7\]"):
        fit_seeds(
            compile_epoch(make_step, made_data()),
            states._replace(params=params),
            trials((0, 7)),
            orders((0, 7)),
        )
