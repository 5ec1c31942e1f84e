"""The rival of `mmoe_step.py`: the MMOE class of torch-rechub.

Reads the sizes, our first parameters and the batches, and answers requests, one JSON
object a line. What can be had in more than one way is a variant:

  rechub    the class as it comes: batch normalisation in experts, gates and towers, and
            gates with a bias
  plain     the same class without these, started from our parameters: the network that
            ours computes
  fused | foreach    torch.optim.Adam's two fast forms
  compiled  the model under torch.compile
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torch
    from torch import nn
    from torch_rechub.basic.features import DenseFeature
    from torch_rechub.models.multi_task import MMOE
except ImportError as error:
    print(json.dumps({"error": f"torch-rechub is not importable: {error}"}))
    sys.exit(0)


def make_model(sizes: dict[str, Any]) -> nn.Module:
    """torch-rechub's model; the inputs are one dense vector."""
    return MMOE(
        [DenseFeature("inputs", embed_dim=sizes["features"])],
        ["classification"] * sizes["tasks"],
        sizes["experts"],
        {"dims": [sizes["units"]]},
        [{"dims": [sizes["tower"]]}] * sizes["tasks"],
    )


def without_normalisation(model: nn.Module) -> nn.Module:
    """Takes every BatchNorm1d out, in place."""
    for module in model.modules():
        if isinstance(module, nn.Sequential):
            for place, part in enumerate(module):
                if isinstance(part, nn.BatchNorm1d):
                    module[place] = nn.Identity()
    return model


def load(model: nn.Module, params: dict[str, np.ndarray]) -> None:
    """Puts our parameters in; gates have no bias there, so theirs stays at zero."""
    kernel = params["mixture/experts/kernel_0"]  # [D, E, F]
    for number, expert in enumerate(model.experts):
        bias = params["mixture/experts/bias_0"][number]
        assign(expert.mlp[0], kernel[:, number], bias)
    for task, gate in enumerate(model.gates):
        assign(gate.mlp[0], params["mixture/gate_kernel"][:, task], None)
        gate.mlp[0].bias.requires_grad_(False)
    for task, tower in enumerate(model.towers):
        kernel, bias = (params[f"towers/layers/{n}_0"] for n in ("kernel", "bias"))
        assign(tower.mlp[0], kernel[:, task], bias[task])
        output = params[f"towers/output_{task}"]
        assign(tower.mlp[-1], output, params[f"towers/output_bias_{task}"])


def assign(linear: nn.Linear, kernel: np.ndarray, bias: np.ndarray | None) -> None:
    """Copy our kernel and bias, zeros where there is none, into a linear layer."""
    bias = np.zeros(kernel.shape[1], np.float32) if bias is None else bias
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.T)))
        linear.bias.copy_(torch.from_numpy(np.array(bias)))


class Trainer:
    """One variant: a model, its optimizer and its place among the batches."""

    def __init__(self, variant: str, params: Any, sizes: dict[str, Any]) -> None:
        words = variant.split()
        model = make_model(sizes)
        if "plain" in words:
            load(without_normalisation(model), params)
        self.learned = [p for p in model.parameters() if p.requires_grad]
        fast = {"fused": True} if "fused" in words else {"foreach": True}
        self.optimizer = torch.optim.Adam(
            self.learned, lr=sizes["learning_rate"], **fast
        )
        self.model = torch.compile(model) if "compiled" in words else model
        self.model.train()
        self.steps = 0

    def run(self, batches: list[dict[str, np.ndarray]], steps: int) -> dict[str, Any]:
        """Take some steps; return their seconds, losses and the size of the model."""
        start, cpu = time.perf_counter(), time.process_time()
        losses = [self.step(batches) for _ in range(steps)]
        values = [float(loss) for loss in losses]
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "losses": values,
            "parameters": sum(p.numel() for p in self.learned),
        }

    def step(self, batches: list[dict[str, np.ndarray]]) -> torch.Tensor:
        """Take one step on the next batch; return its loss."""
        batch = batches[self.steps % len(batches)]
        self.steps += 1
        tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
        self.optimizer.zero_grad(set_to_none=True)
        chances = self.model({"inputs": tensors["inputs"]})
        # The mean over all tasks' cells times T is the sum of the tasks' means.
        loss = nn.functional.binary_cross_entropy(chances, tensors["targets"])
        loss = loss * chances.shape[1]
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def main(folder: Path, threads: int) -> None:
    """Answer each line of standard input: a variant, and how many steps it takes."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes = json.loads((folder / "sizes.json").read_text())
    params = dict(np.load(folder / "params.npz"))
    arrays = np.load(folder / "batches.npz")
    batches = [
        {name: arrays[f"{number}/{name}"] for name in ("inputs", "targets")}
        for number in range(len(arrays.files) // 2)
    ]
    print(json.dumps({"torch": torch.__version__, "threads": threads}), flush=True)
    trainers: dict[str, Trainer] = {}
    for line in sys.stdin:
        request = json.loads(line)
        variant = request["variant"]
        try:
            if variant not in trainers:
                trainers[variant] = Trainer(variant, params, sizes)
            answer = trainers[variant].run(batches, request["steps"])
        except Exception as error:
            reason = str(error).splitlines() or [type(error).__name__]
            answer = {"error": f"{variant}: {reason[0]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
