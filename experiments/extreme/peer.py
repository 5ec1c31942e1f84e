"""The rival of `experiments.extreme_labels`: PyTorch Geometric over a complete graph.

    PEER_PYTHON peer.py '{"features": 64, "heads": 4, "width": 64, "limit_gib": 16}'

Answers requests, one JSON object a line: {"form", "labels", "repeats", "seconds"} ->
times, memory and the loss of forward and gradient.

  pyg-dense   DenseGATConv over an adjacency [1, N, N] of ones
  pyg-edges   GATConv over all N^2 edges
"""

import json
import sys
from collections.abc import Callable
from typing import Any

try:
    import torch
    import torch_geometric
    from points import limit_memory, make_inputs, measured
    from torch_geometric.nn import DenseGATConv, GATConv
except ImportError as error:
    print(json.dumps({"error": f"PyTorch Geometric is not importable: {error}"}))
    sys.exit(0)


def make_run(form: str, labels: int, sizes: dict[str, Any]) -> Callable[[], float]:
    """Forward and gradient of nodes and parameters; the loss of a run."""
    shape = (sizes["features"], sizes["heads"], sizes["width"])
    inputs = {k: torch.from_numpy(v) for k, v in make_inputs(labels, *shape).items()}
    nodes = inputs["nodes"].requires_grad_()
    layer = {"pyg-dense": DenseGATConv, "pyg-edges": GATConv}[form]
    features, heads, width = shape
    options = {} if form == "pyg-dense" else {"add_self_loops": False}
    model = layer(features, width, heads=heads, bias=False, **options)
    with torch.no_grad():
        model.lin.weight.copy_(inputs["kernel"].reshape(features, -1).T)
        model.att_dst.copy_(inputs["receiver"].reshape(model.att_dst.shape))
        model.att_src.copy_(inputs["sender"].reshape(model.att_src.shape))
    if form == "pyg-dense":
        graph = torch.ones(1, labels, labels)
    else:
        every = torch.arange(labels)
        graph = torch.stack([every.repeat(labels), every.repeat_interleave(labels)])

    def run() -> float:
        model.zero_grad(set_to_none=True)
        nodes.grad = None
        loss = (model(nodes, graph) ** 2).mean()
        loss.backward()
        return float(loss.detach())

    return run


def answered(run: Callable[[], float], request: dict[str, Any]) -> dict[str, Any]:
    """Times, memory and the loss of some runs."""
    losses: list[float] = []
    found = measured(
        lambda: losses.append(run()),
        warm=False,
        repeats=request["repeats"],
        seconds=request["seconds"],
    )
    return found | {"loss": losses[-1]}


def main() -> None:
    """Answer each line of standard input: a form of attention at one size."""
    sizes = json.loads(sys.argv[1])
    torch.set_num_threads(sizes["threads"])
    limit_memory(sizes["limit_gib"])
    facts = {"torch": torch.__version__, "pyg": torch_geometric.__version__}
    print(json.dumps(facts), flush=True)
    runs: dict[tuple[str, int], Callable[[], float]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["form"], request["labels"])
        try:
            if key not in runs:
                runs[key] = make_run(*key, sizes)
            answer = answered(runs[key], request)
        except (RuntimeError, MemoryError) as error:
            answer = {"error": f"out of memory: {' '.join(str(error).split())[:160]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
