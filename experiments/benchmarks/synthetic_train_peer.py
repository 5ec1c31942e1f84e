"""The rival of `synthetic_train.py`: the same run in PyTorch, one after the other.

Reads the sizes, our first parameters and a few batches, and answers requests, one JSON
object a line. What can be written in more than one way is a variant:

  joined    all experts, and all gates, as one linear layer; towers as batched products
  listed    a linear layer per expert, gate and tower, as it is mostly written
  fused | foreach    torch.optim.Adam's two fast forms
  single    one thread: steps this small gain little from more
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
    from torch.nn import functional
except ImportError as error:
    print(json.dumps({"error": f"torch is not importable: {error}"}))
    sys.exit(0)

Params = dict[str, np.ndarray]


def parameter(value: np.ndarray) -> nn.Parameter:
    """Return a parameter with a copy of this value."""
    return nn.Parameter(torch.from_numpy(np.array(value, np.float32, order="C")))


class Joined(nn.Module):
    """Experts side by side in one product; without gates there is one expert."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        kernel = params["mixture/experts/kernel_0"]  # [D, E, F]
        self.experts = kernel.shape[1]
        self.kernel = parameter(kernel.reshape(len(kernel), -1))
        self.bias = parameter(params["mixture/experts/bias_0"].reshape(-1))
        gates = params.get("mixture/gate_kernel")  # [D, G, E]
        self.gates = 0 if gates is None else gates.shape[1]
        if gates is not None:
            self.gate = parameter(gates.reshape(len(gates), -1))
        layer = params["towers/layers/kernel_0"].transpose(1, 0, 2)  # [T, F, U]
        self.tasks = len(layer)
        self.tower = parameter(layer)
        self.tower_bias = parameter(params["towers/layers/bias_0"][:, None])
        tasks = range(self.tasks)
        self.output = parameter(np.stack([params[f"towers/output_{t}"] for t in tasks]))
        biases = [params[f"towers/output_bias_{t}"] for t in tasks]
        self.output_bias = parameter(np.stack(biases)[:, None])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs of all tasks, `[B, T]`."""
        hidden = torch.relu(torch.addmm(self.bias, inputs, self.kernel))
        mixed = hidden[:, None]
        if self.gates:
            gates = (inputs @ self.gate).view(-1, self.gates, self.experts)
            experts = hidden.view(len(inputs), self.experts, -1)
            mixed = torch.bmm(torch.softmax(gates, dim=-1), experts)
        mixed = mixed.expand(-1, self.tasks, -1).transpose(0, 1)  # [T, B, F]
        layer = torch.relu(torch.baddbmm(self.tower_bias, mixed, self.tower))
        return torch.baddbmm(self.output_bias, layer, self.output).squeeze(-1).T


class Listed(nn.Module):
    """A module per expert, gate and tower."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        kernel, bias = (params[f"mixture/experts/{n}_0"] for n in ("kernel", "bias"))
        gates = params.get("mixture/gate_kernel")
        layer, layer_bias = (params[f"towers/layers/{n}_0"] for n in ("kernel", "bias"))
        self.experts = nn.ModuleList(
            linear(kernel[:, e], bias[e]) for e in range(kernel.shape[1])
        )
        self.gates = nn.ModuleList(
            [] if gates is None else [linear(g, None) for g in gates.swapaxes(0, 1)]
        )
        self.towers = nn.ModuleList(
            nn.Sequential(
                linear(layer[:, t], layer_bias[t]),
                nn.ReLU(),
                linear(params[f"towers/output_{t}"], params[f"towers/output_bias_{t}"]),
            )
            for t in range(layer.shape[1])
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs of all tasks, `[B, T]`."""
        experts = torch.stack([torch.relu(e(inputs)) for e in self.experts], dim=1)
        mixed = [
            (torch.softmax(gate(inputs), dim=-1)[:, :, None] * experts).sum(1)
            for gate in self.gates
        ] or [experts[:, 0]]
        mixed = mixed * (len(self.towers) // len(mixed))
        towers = zip(self.towers, mixed, strict=True)
        return torch.cat([tower(features) for tower, features in towers], dim=1)


def linear(kernel: np.ndarray, bias: np.ndarray | None) -> nn.Linear:
    """Return a linear layer with our kernel and bias."""
    layer = nn.Linear(*kernel.shape, bias=bias is not None)
    layer.weight = parameter(kernel.T)
    if bias is not None:
        layer.bias = parameter(bias)
    return layer


class Trainer:
    """One variant: a model, its optimizer, and data drawn as it learns."""

    def __init__(self, variant: str, params: Params, sizes: dict[str, Any]) -> None:
        words = variant.split()
        model = Joined(params) if "joined" in words else Listed(params)
        self.learned = list(model.parameters())
        fast = {"fused": True} if "fused" in words else {"foreach": True}
        self.optimizer = torch.optim.Adam(
            self.learned, lr=sizes["learning_rate"], **fast
        )
        self.model = torch.compile(model) if "compiled" in words else model
        self.threads = 1 if "single" in words else sizes["threads"]
        self.sizes = sizes
        self.weights = torch.randn(sizes["features"], 2) / sizes["features"] ** 0.5
        self.alpha = torch.arange(1.0, 1.0 + sizes["sines"])
        self.beta = torch.square(self.alpha - 1.0)

    def learn(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Take one step on a batch; return its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.mse_loss(self.model(inputs), targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def first(self, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
        """The losses on the batches given."""
        return [float(self.learn(*batch)) for batch in batches]

    def run(self, steps: int) -> dict[str, Any]:
        """As many steps as a run has, on data that is drawn batch by batch."""
        torch.set_num_threads(self.threads)
        start, cpu = time.perf_counter(), time.process_time()
        total = torch.zeros(())
        for _ in range(steps):
            inputs = torch.randn(self.sizes["batch"], self.sizes["features"])
            linear = inputs @ self.weights
            sines = torch.sin(linear[..., None] * self.alpha + self.beta).sum(-1)
            noise = self.sizes["noise"] * torch.randn_like(linear)
            total += self.learn(inputs, linear + sines + noise)
        float(total)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "cpu_seconds": time.process_time() - cpu}


def main(folder: Path, threads: int) -> None:
    """Answer each line of standard input: first losses of a variant, then its steps."""
    torch.manual_seed(0)
    sizes = json.loads((folder / "sizes.json").read_text()) | {"threads": threads}
    params = dict(np.load(folder / "params.npz"))
    arrays = np.load(folder / "batches.npz")
    inputs, targets = (torch.from_numpy(arrays[n]) for n in ("inputs", "targets"))
    batches = list(zip(inputs, targets, strict=True))
    print(json.dumps({"torch": torch.__version__, "threads": threads}), flush=True)
    trainers: dict[str, Trainer] = {}
    for line in sys.stdin:
        request = json.loads(line)
        variant = request["variant"]
        try:
            if variant not in trainers:
                trainers[variant] = Trainer(variant, params, sizes)
                answer = {
                    "losses": trainers[variant].first(batches),
                    "parameters": sum(p.numel() for p in trainers[variant].learned),
                }
            else:
                answer = trainers[variant].run(request["steps"])
        except Exception as error:
            reason = str(error).splitlines() or [type(error).__name__]
            answer = {"error": f"{variant}: {reason[0]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
