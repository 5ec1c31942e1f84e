"""One point of ours, in a process of its own; prints one JSON object.

    python -m experiments.extreme.ours METHOD LABELS '{"features": 64, "heads": 4, ...}'

METHOD is one of `graph_attention`'s, or

  low-rank   `complete` with edge weights of rank 4
  relu       `complete` of the form without a softmax
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.extreme.points import limit_memory, make_inputs, measured
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from labelgraph_jax.functional.graph.edges import Edges

METHODS = ("dense", "complete", "blocked", "sparse", "low-rank", "relu")
RANK = 4
EDGES_EACH = 10


def make_run(
    method: str, labels: int, sizes: dict[str, Any], free_bytes: int | None = None
) -> Callable[[], float]:
    """Forward and gradient of nodes and parameters, compiled; the loss of a run.

    Raises:
        ValueError: the method needs more than `free_bytes`.
    """
    shape = (sizes["features"], sizes["heads"], sizes["width"])
    inputs = {k: jnp.asarray(v) for k, v in make_inputs(labels, *shape).items()}
    options: dict[str, Any] = {"free_bytes": free_bytes, "role": "none"}
    extra: Any = ()
    if method == "sparse":
        extra = some_edges(labels)
    if method == "low-rank":
        options["role"] = "additive"
        factor = 1.0 + 0.5 * jnp.sin(jnp.arange(labels * RANK, dtype=jnp.float32))
        extra = (factor.reshape(labels, RANK), factor[::-1].reshape(labels, RANK))
    if method not in ("low-rank", "relu"):
        options["method"] = method
    else:
        options["method"] = "complete"

    def loss(inputs: dict[str, jax.Array], extra: Any) -> jax.Array:
        given = dict(options)
        if method == "sparse":
            given["edges"] = extra
        if method == "low-rank":
            given["edge_factors"] = extra
        attend = relu_graph_attention if method == "relu" else graph_attention
        names = ("nodes", "kernel", "receiver", "sender")
        out = attend(*(inputs[name] for name in names), **given)
        assert isinstance(out, jax.Array)
        return jnp.mean(out**2)

    differentiated = (0, 1) if method == "low-rank" else 0
    step = jax.jit(jax.value_and_grad(loss, differentiated))
    compiled = step.lower(inputs, extra).compile()

    def run() -> float:
        return float(jax.block_until_ready(compiled(inputs, extra))[0])

    return run


def some_edges(labels: int) -> Edges:
    """Ten senders, or all, for every label, far apart."""
    each = min(EDGES_EACH, labels)
    receivers = jnp.repeat(jnp.arange(labels, dtype=jnp.int32), each)
    apart = jnp.arange(each, dtype=jnp.int32) * (labels // each)
    senders = (receivers.reshape(labels, each) + apart) % labels
    return Edges(receivers, senders.reshape(-1), jnp.ones(labels * each))


def main() -> None:
    """Measure one form of our attention at one size, and print the answer as JSON."""
    method, labels, sizes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    limit_memory(sizes["limit_gib"])
    free = int(sizes["limit_gib"] * 2**30)
    try:
        run = make_run(method, labels, sizes, free)
        losses: list[float] = []
        found = measured(
            lambda: losses.append(run()),
            warm=False,
            repeats=sizes["repeats"],
            seconds=sizes["seconds"],
        )
        answer = found | {"loss": losses[-1]}
    except ValueError as error:
        answer = {"reason": f"refused before it was tried: {error}".split(" for ")[0]}
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        answer = {"reason": f"out of memory: {' '.join(str(error).split())[:160]}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
