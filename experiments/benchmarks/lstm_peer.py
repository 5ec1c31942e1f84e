"""torch's bidirectional LSTM for experiments.benchmarks.lstm.

Run by an interpreter that has torch; knows nothing of this project.

    TORCH_PYTHON lstm_peer.py SIZES THREADS

SIZES is JSON: batch, features, hidden and the lengths of the documents. Then every line
{"variant": "torch padded" | "torch packed", "steps": n} is answered by what n steps of
forward and gradient took.
"""

import json
import sys
import time

try:
    import torch
except ImportError as error:
    print(json.dumps({"error": f"torch is not importable: {error}"}), flush=True)
    sys.exit()


class Trainer:
    """One network, its documents padded or packed."""

    def __init__(self, sizes: dict) -> None:
        self.lengths = torch.tensor(sizes["lengths"])
        tokens = int(self.lengths.max())
        self.inputs = torch.randn(sizes["batch"], tokens, sizes["features"])
        self.net = torch.nn.LSTM(
            sizes["features"], sizes["hidden"], batch_first=True, bidirectional=True
        )

    def step(self, variant: str) -> None:
        """Take the loss and the gradient of every weight once."""
        given = self.inputs
        if variant == "torch packed":
            given = torch.nn.utils.rnn.pack_padded_sequence(
                given, self.lengths, batch_first=True, enforce_sorted=False
            )
        self.net.zero_grad()
        _, (hidden, _) = self.net(given)
        torch.cat([hidden[0], hidden[1]], 1).square().mean().backward()


def main(sizes: str, threads: int) -> None:
    """Answer requests until standard input ends."""
    torch.set_num_threads(threads)
    trainer = Trainer(json.loads(sizes))
    for variant in ("torch padded", "torch packed") * 2:
        trainer.step(variant)
    print(json.dumps({"torch": torch.__version__, "threads": threads}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(request["steps"]):
            trainer.step(request["variant"])
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
