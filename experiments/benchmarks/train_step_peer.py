"""The rival of `train_step.py`: the same MAGNET in PyTorch, step for step.

Reads the shapes, the first parameters and the batches that `train_step.py` wrote, and
answers its requests, one JSON object a line. What can be written in more than one way
is a variant, and `train_step.py` races against the fastest:

  packed   one bidirectional nn.LSTM over a packed sequence
  turned   two nn.LSTM over padded sequences, the second over every document turned
           round within its own length, which keeps oneDNN's fused LSTM
  fused | foreach    torch.optim.AdamW's two fast forms
  compiled           the label graph under torch.compile; of a bag or a transformer
                     the whole model

A bag is `embedding_bag` with the weights given; a transformer goes through torch's own
`scaled_dot_product_attention`, under autocast where bfloat16 is asked for. On an
accelerator float32 products are rounded as JAX rounds them there ("high").
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


class Readers(nn.Module):
    """Last hidden state of a reader from the left and of one from the right."""

    def __init__(self, packed: bool, features: int, units: int) -> None:
        super().__init__()
        self.packed, self.units = packed, units
        self.lstms = nn.ModuleList(
            [nn.LSTM(features, units, batch_first=True, bidirectional=True)]
            if packed
            else [nn.LSTM(features, units, batch_first=True) for _ in range(2)]
        )

    def load(self, forward: dict[str, Any], backward: dict[str, Any]) -> None:
        """Take over the parameters of our two LSTMs, one per direction."""
        suffixes = ("l0", "l0_reverse") if self.packed else ("l0", "l0")
        lstms = [self.lstms[0], self.lstms[-1]]
        for lstm, suffix, values in zip(
            lstms, suffixes, (forward, backward), strict=True
        ):
            assign(lstm, f"weight_ih_{suffix}", values["input_kernel"].T)
            assign(lstm, f"weight_hh_{suffix}", values["recurrent_kernel"].T)
            assign(lstm, f"bias_ih_{suffix}", values["bias"])
            # The second bias of cuDNN's form only repeats the first.
            assign(lstm, f"bias_hh_{suffix}", np.zeros_like(values["bias"]))
            getattr(lstm, f"bias_hh_{suffix}").requires_grad_(False)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states of both readers, side by side, `[B, 2 H]`."""
        if self.packed:
            packed = nn.utils.rnn.pack_padded_sequence(
                vectors, lengths, batch_first=True, enforce_sorted=False
            )
            _, (last, _) = self.lstms[0](packed)
            return torch.cat([last[0], last[1]], dim=-1)
        position = torch.arange(vectors.shape[1])
        turned = (lengths[:, None] - 1 - position) % vectors.shape[1]
        from_right = vectors.gather(1, turned[:, :, None].expand_as(vectors))
        rows = torch.arange(len(vectors))
        outputs = [self.lstms[0](vectors)[0], self.lstms[1](from_right)[0]]
        return torch.cat([o[rows, lengths - 1] for o in outputs], dim=-1)


class Graph(nn.Module):
    """Free label vectors plus two layers of multi-head graph attention."""

    def __init__(self, params: dict[str, Any], negative_slope: float) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.layers = sum(name.startswith("kernel_") for name in params)
        for name, value in params.items():
            assign(self, name, value)

    def forward(self, documents: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return the logits of documents over all labels, `[B, N]`."""
        nodes = self.features
        for layer in range(self.layers):
            kernel = getattr(self, f"kernel_{layer}")  # [D, H, F]
            projected = (nodes @ kernel.flatten(1)).unflatten(1, kernel.shape[1:])
            received = (projected * getattr(self, f"receiver_{layer}")).sum(-1).T
            sent = (projected * getattr(self, f"sender_{layer}")).sum(-1).T
            logits = functional.leaky_relu(
                received[:, :, None] + sent[:, None, :], self.negative_slope
            )
            attention = torch.softmax(logits + self.edge_bias, dim=-1)
            heads = attention @ projected.transpose(0, 1)  # [H, N, F]
            nodes = torch.tanh(heads.mean(0))
        labels = self.free_vectors + self.message_scale * nodes
        return torch.addmm(bias, documents, labels.T)


class Bag(nn.Module):
    """A weighted sum of embeddings, a bias and relu."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        assign(self, "table", params["embedding"]["embedding"])
        assign(self, "bias", params["bias"])

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the document vectors, `[B, D]`."""
        total = functional.embedding_bag(
            batch["token_ids"],
            self.table,
            mode="sum",
            per_sample_weights=batch["weights"],
        )
        return torch.relu(total + self.bias)


class Layer(nn.Module):
    """A post-norm BERT layer."""

    def __init__(self, params: dict[str, Any], sizes: dict[str, Any]) -> None:
        super().__init__()
        self.heads, self.epsilon = sizes["heads_of_shape"], sizes["layer_norm_epsilon"]
        self.dropout = sizes["dropout"]
        for name, values in params.items():
            transposed = {key: value.T for key, value in values.items()}
            for key, value in transposed.items():
                assign(self, f"{name}_{key}", value)

    def dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Apply the linear layer of this name."""
        weight = getattr(self, f"{name}_kernel")
        return functional.linear(x, weight, getattr(self, f"{name}_bias"))

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Apply the layer normalisation of this name."""
        scale, bias = getattr(self, f"{name}_scale"), getattr(self, f"{name}_bias")
        return functional.layer_norm(x, x.shape[-1:], scale, bias, self.epsilon)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the tokens' next vectors, `[B, S, D]`."""
        packed = self.dense(x, "query_key_value").unflatten(-1, (3, self.heads, -1))
        query, keys, values = packed.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, dropout_p=self.dropout
        )
        attended = self.dense(mixed.transpose(1, 2).flatten(2), "attention_output")
        attended = functional.dropout(attended, self.dropout)
        x = self.norm(x + attended, "attention_norm")
        hidden = functional.gelu(self.dense(x, "feed_forward_input"))
        hidden = functional.dropout(
            self.dense(hidden, "feed_forward_output"), self.dropout
        )
        return self.norm(x + hidden, "output_norm")


class Transformer(nn.Module):
    """A BERT encoder and the mean of its real tokens' vectors."""

    def __init__(self, params: dict[str, Any], sizes: dict[str, Any]) -> None:
        super().__init__()
        params = params["transformer"]
        assign(self, "token", params["token"]["embedding"])
        assign(self, "position", params["position"]["embedding"])
        assign(self, "scale", params["embedding_norm"]["scale"])
        assign(self, "bias", params["embedding_norm"]["bias"])
        self.epsilon, self.dropout = sizes["layer_norm_epsilon"], sizes["dropout"]
        names = sorted(
            (name for name in params if name.startswith("layer_")),
            key=lambda name: int(name.removeprefix("layer_")),
        )
        self.layers = nn.ModuleList([Layer(params[name], sizes) for name in names])

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the document vectors, `[B, D]`."""
        ids, mask = batch["token_ids"], batch["token_mask"]
        x = functional.embedding(ids, self.token) + self.position[: ids.shape[1]]
        x = functional.layer_norm(x, x.shape[-1:], self.scale, self.bias, self.epsilon)
        x = functional.dropout(x, self.dropout)
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        weights = mask[..., None].float()
        return (x.float() * weights).sum(1) / weights.sum(1)


class Magnet(nn.Module):
    """The text encoder, the graph and the label bias, from our parameters."""

    def __init__(self, params: dict[str, Any], sizes: dict[str, Any], packed: bool):
        super().__init__()
        self.dropout, self.kind = sizes["dropout"], sizes["encoder"]
        text = params["text_encoder"]
        if self.kind == "bag":
            self.encoder = Bag(text)
        elif self.kind == "transformer":
            self.encoder = Transformer(text, sizes)
        else:
            features, gates = text["forward"]["input_kernel"].shape
            self.readers = Readers(packed, features, gates // 4)
            self.readers.load(text["forward"], text["backward"])
        self.graph = Graph(params["label_graph"], sizes["negative_slope"])
        assign(self, "label_bias", params["label_bias"])

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the logits of a batch, `[B, N]`."""
        if self.kind == "bilstm":
            vectors = functional.dropout(batch["token_vectors"], self.dropout)
            documents = self.readers(vectors, batch["lengths"])
        else:
            documents = self.encoder(batch)
        documents = functional.dropout(documents, self.dropout)
        return self.graph(documents, self.label_bias)


class Trainer:
    """One variant: a model, its optimizer and its place among the batches."""

    def __init__(self, variant: str, params: Any, sizes: dict[str, Any]) -> None:
        words = variant.split()
        self.device = device_of(sizes)
        self.half = sizes["dtype"] == "bfloat16" and sizes["encoder"] == "transformer"
        self.model = Magnet(params, sizes, packed="packed" in words).to(self.device)
        if "compiled" in words:
            whole = sizes["encoder"] != "bilstm"
            (self.model if whole else self.model.graph).compile()
        learned = [p for p in self.model.parameters() if p.requires_grad]
        self.parameters = learned
        fast = {"fused": True} if "fused" in words else {"foreach": True}
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in learned if p.ndim > 1]},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=sizes["learning_rate"],
            weight_decay=sizes["weight_decay"],
            **fast,
        )
        self.clip_norm = sizes["clip_norm"]
        self.steps = 0

    def run(self, batches: list[dict[str, np.ndarray]], steps: int) -> dict[str, Any]:
        """Take some steps; return their seconds, losses and the size of the model."""
        start, cpu = time.perf_counter(), time.process_time()
        losses = [self.step(batches) for _ in range(steps)]
        values = [float(loss) for loss in losses]
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "losses": values,
            "parameters": sum(p.numel() for p in self.parameters),
        }

    def step(self, batches: list[dict[str, np.ndarray]]) -> torch.Tensor:
        """Take one step on the next batch; return its loss."""
        batch = batches[self.steps % len(batches)]
        self.steps += 1
        tensors = {
            name: torch.from_numpy(value).to(self.device, non_blocking=True)
            for name, value in batch.items()
        }
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.model(tensors).float()
        loss = functional.binary_cross_entropy_with_logits(logits, tensors["targets"])
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip_norm, foreach=True)
        self.optimizer.step()
        return loss.detach()


def device_of(sizes: dict[str, Any]) -> torch.device:
    """Where the model lies: the CPU, or torch's accelerator.

    Raises:
        RuntimeError: torch finds no accelerator.
    """
    if sizes["device"] == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no accelerator here")
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def assign(module: nn.Module, name: str, value: np.ndarray) -> None:
    """Give a module a parameter with a copy of this value."""
    value = torch.from_numpy(np.array(value, np.float32, order="C"))
    setattr(module, name, nn.Parameter(value))


def load_tree(path: Path) -> dict[str, Any]:
    """An npz whose names are paths, as nested dictionaries."""
    tree: dict[str, Any] = {}
    for name, value in np.load(path).items():
        *parents, leaf = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def main(folder: Path, threads: int) -> None:
    """Answer each line of standard input: a variant, and how many steps it takes."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes = json.loads((folder / "sizes.json").read_text())
    params = load_tree(folder / "params.npz")
    batches = list(load_tree(folder / "batches.npz").values())
    if sizes["encoder"] == "bilstm":
        for batch in batches:
            del batch["token_mask"]  # the lengths say the same
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
