"""The rival of `encoding.py`: transformers' own model, in an interpreter with torch.

Reads requests, one JSON object a line, and answers each with one line; started by
`encoding.py --peer-python`.
"""

import json
import sys
import time

import numpy as np

try:
    import torch
    import transformers
except ImportError as error:
    print(json.dumps({"error": f"torch or transformers is not importable: {error}"}))
    sys.exit()


def main(folder: str, documents: str, threads: int) -> None:
    """Load the encoder, then time the batches of each line of standard input."""
    torch.set_num_threads(threads)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = list(np.load(documents).values())
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "attention": model.config._attn_implementation,
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        request = json.loads(line)
        start, cpu = time.perf_counter(), time.process_time()
        check = 0.0
        for rows in request["batches"]:
            check += encode(model, [ids[row] for row in rows])
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
        answer = {"seconds": seconds, "cpu_seconds": cpu, "check": check}
        print(json.dumps(answer), flush=True)


def encode(model: torch.nn.Module, batch: list[np.ndarray]) -> float:
    """Encode one batch; the mean of all absolute values shows that it was done."""
    tokens = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(tokens)
    for row, content in enumerate(batch):
        tokens[row, : len(content)] = content
        mask[row, : len(content)] = 1
    with torch.inference_mode():
        vectors = model(
            input_ids=torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask)
        ).last_hidden_state.numpy()
    return float(np.abs(vectors[mask.astype(bool)]).mean())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
