"""One whole train step over very many labels, in a process of its own.

    python -m experiments.extreme.step '{"labels": 1000000, "batch": 32, ...}'

A bag of embeddings, one layer of exact attention over the complete label graph with a
free vector per label beside its message, the loss in label chunks, the gradient of all
of them and Adam. Prints one JSON object: seconds of every step, the peak of resident
memory, the losses, the bytes of parameters and optimizer state.
"""

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.extreme.points import limit_memory, measured
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.modules import LabelGraph, Magnet, TextEncoder
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.many_labels import many_label_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step


def make_batch(sizes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Random words and random labels."""
    rng = np.random.default_rng(0)
    shape = (sizes["batch"], sizes["tokens"])
    return {
        "token_ids": rng.integers(1, sizes["vocabulary"], shape).astype(np.int32),
        "token_mask": np.ones(shape, bool),
        "positives": np.sort(
            rng.integers(0, sizes["labels"], (sizes["batch"], sizes["positives"])), 1
        ).astype(np.int32),
    }


def make_step(sizes: dict[str, Any]) -> Any:
    """The compiled step, its first state and a batch."""
    labels, width = sizes["labels"], sizes["width"]
    model = Magnet(
        text_encoder=TextEncoder(
            kind="bag", vocabulary_size=sizes["vocabulary"], features=width
        ),
        label_graph=LabelGraph(
            output_dim=width,
            layers=1,
            heads=sizes["heads"],
            role="none",
            method="complete",
        ),
    )

    def constants() -> tuple[jax.Array, None, jax.Array]:
        # Parameters start from these; a step never reads them.
        cells = jax.lax.iota(jnp.float32, labels * sizes["features"])
        features = jnp.sin(cells).reshape(labels, sizes["features"])
        return features, None, jnp.full((labels,), sizes["positives"] / labels)

    def factors(params: Any, batch: Any, *, key: Any, train: bool) -> Any:
        inputs = (batch["token_mask"], batch["token_ids"])
        return model.apply({"params": params}, *constants(), *inputs, factored=True)

    batch = make_batch(sizes)
    inputs = (batch["token_mask"], batch["token_ids"])
    init = jax.jit(
        lambda key: model.init(key, *constants(), *inputs, factored=True)["params"]
    )
    optimizer = optax.adam(1e-3)
    loss = many_label_objective(factors, binary_cross_entropy, chunk=sizes["chunk"])
    step = compile_train_step(
        make_train_step(loss, optimizer, jax.random.key(1)),
        make_mesh(jax.devices()[:1]),
    )
    state = step.place_state(init_train_state(init(jax.random.key(0)), optimizer))
    return step, state, step.place_batch(batch)


def main() -> None:
    """Measure a train step at one size, and print the answer as JSON."""
    sizes = json.loads(sys.argv[1])
    limit_memory(sizes["limit_gib"])
    step, state, batch = make_step(sizes)
    kept = sum(x.nbytes for x in jax.tree.leaves(state) if hasattr(x, "nbytes"))
    losses: list[float] = []

    def run() -> None:
        nonlocal state
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))

    found = measured(run, warm=True, repeats=sizes["repeats"], seconds=sizes["seconds"])
    print(json.dumps(found | {"losses": losses, "state": kept}))


if __name__ == "__main__":
    main()
