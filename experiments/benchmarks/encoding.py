"""Documents a second through a 6-layer MiniLM: ours against transformers with torch.

    python -m experiments.benchmarks.encoding --peer-python TORCH_PYTHON \
        [--data-dir DATA] [--documents 256] [--repeats 5] [--out FOLDER]

Both sides get the same token ids (Reuters-21578's first ModApte test documents where
the data folder has them, else docstrings of the standard library), at most 256 tokens
each, in batches of 32, and hand back float32 token vectors in NumPy; tokenizing is not
timed, since both would use the same tokenizer. The runs alternate. Rows:

  same padding   the documents in their own order, each batch padded to its longest
  buckets        ours alone: sorted by length and padded to one of a few lengths
  sorted         torch alone: sorted by length, each batch padded to its longest

Compilation is not timed: the first pass of each row is a warm-up.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing
from labelgraph_jax.data.batches.batches import BatchPlan, Examples
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.modules.pretrained import find_pretrained, load_transformer
from labelgraph_jax.modules.transformer import Transformer

CHUNK_TOKENS = 1024
Run = Callable[[], tuple[Timing, float]]
"""Its time, and a number that its result decides."""


def read_texts(data_dir: str | None, count: int) -> tuple[str, list[str]]:
    """The name of the corpus and its first texts."""
    from labelgraph_jax.data.corpora import load_corpus

    if data_dir:
        corpus = load_corpus("reuters21578", data_dir=data_dir, protocol="modapte")
        documents = corpus.test
    else:
        corpus = load_corpus("stdlib_docs")
        documents = corpus.train
    return corpus.name, [document.text for document in documents[:count]]


def peer_run(peer: Peer, batches: Sequence[Sequence[int]]) -> Run:
    """A run of the rival over these batches."""
    request = {"batches": [list(map(int, rows)) for rows in batches]}

    def run() -> tuple[Timing, float]:
        answer = peer.ask(request)
        return Timing(answer["seconds"], answer["cpu_seconds"]), answer["check"]

    return run


class Ours:
    """Our encoder, compiled once for every batch shape."""

    def __init__(self, folder: Path, ids: list[np.ndarray], dtype: str) -> None:
        shape, params = load_transformer(folder)
        model = Transformer(shape, dtype=dtype, chunk_tokens=CHUNK_TOKENS)
        self._params = jax.device_put(params)
        self._encode = jax.jit(lambda p, i, m: model.apply({"params": p}, i, m))
        self._ids = ids

    def run(
        self, batches: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> tuple[Timing, float]:
        """Encode all batches; return the time and a number that the vectors decide."""
        start, cpu = time.perf_counter(), time.process_time()
        check = 0.0
        for rows, length in zip(batches, lengths, strict=True):
            tokens = np.zeros((len(rows), length), np.int32)
            mask = np.zeros((len(rows), length), bool)
            for place, row in enumerate(rows):
                content = self._ids[row]
                tokens[place, : len(content)] = content
                mask[place, : len(content)] = True
            vectors = np.asarray(self._encode(self._params, tokens, mask))
            check += float(np.abs(vectors[mask]).mean())
        seconds = time.perf_counter() - start
        return Timing(seconds, time.process_time() - cpu), check


def plans(ids: list[np.ndarray], size: int) -> dict[str, tuple[list, list[int]]]:
    """Rows and padded length of each batch: in order, sorted, and in our buckets."""
    count = len(ids)
    lengths = np.array([len(content) for content in ids])
    order = np.arange(count)
    by_length = np.argsort(lengths, kind="stable")
    examples = Examples([[content] for content in ids], np.zeros((count, 1)))
    plan = BatchPlan(examples, batch_size=size, seed=None)
    shapes = [plan[number] for number in range(len(plan))]

    def cut(rows: np.ndarray) -> tuple[list, list[int]]:
        parts = [rows[i : i + size] for i in range(0, count, size)]
        return parts, [int(lengths[part].max()) for part in parts]

    return {
        "order": cut(order),
        "sorted": cut(by_length),
        "buckets": ([s.rows for s in shapes], [s.tokens for s in shapes]),
    }


def time_of(run: Run) -> Callable[[], Timing]:
    """The same run, of which the time alone is kept."""
    return lambda: run()[0]


def summary(
    timings: Sequence[Timing], documents: int, check: float
) -> dict[str, float]:
    """Documents a second, and processor time for each document."""
    seconds = [timing.seconds for timing in timings]
    cpu = statistics.median(timing.cpu_seconds for timing in timings)
    return {
        "median": documents / statistics.median(seconds),
        "lowest": documents / max(seconds),
        "highest": documents / min(seconds),
        "cpu_ms_per_document": 1000 * cpu / documents,
        "check": check,
    }


def report(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{result['documents']} documents of {result['corpus']}, mean "
        f"{result['mean_tokens']:.0f} tokens, at most {result['max_tokens']}; batches "
        f"of {result['batch_size']}; {result['repeats']} runs each, in turns; "
        f"{result['threads']} threads, {result['machine']}, load average "
        f"{result['load_average']:.1f} at the start",
        "",
        "| run | documents/s (median) | range | against torch, same padding | "
        "CPU ms a document |",
        "|---|---|---|---|---|",
    ]
    base = result["rows"].get("torch, same padding", {}).get("median")
    for name, row in result["rows"].items():
        ratio = f"{row['median'] / base:.2f}x" if base else "-"
        span = f"{row['lowest']:.1f} to {row['highest']:.1f}"
        lines.append(
            f"| {name} | {row['median']:.1f} | {span} | {ratio} | "
            f"{row['cpu_ms_per_document']:.0f} |"
        )
    if "without_peer" in result:
        lines += ["", f"Without the rival: {result['without_peer']}."]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", default="", help="interpreter with torch")
    parser.add_argument("--data-dir", default=os.environ.get("LABELGRAPH_DATA"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="add a row of ours")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)

    load = os.getloadavg()[0]
    folder = find_pretrained(options.encoder)
    corpus, texts = read_texts(options.data_dir, options.documents)
    encoded = Tokenizer.from_pretrained(folder).encode(
        texts, max_length=options.max_tokens
    )
    ids = [windows[0] for windows in encoded.windows]
    batches = plans(ids, options.batch_size)
    threads = measure.cores()
    ours = Ours(folder, ids, "float32")
    runs: dict[str, Run] = {
        "ours, same padding": lambda: ours.run(*batches["order"]),
        "ours, buckets": lambda: ours.run(*batches["buckets"]),
    }
    if options.bfloat16:
        half = Ours(folder, ids, "bfloat16")
        runs["ours, bfloat16, buckets"] = lambda: half.run(*batches["buckets"])
    peer, without = None, "no interpreter with torch was named"
    with tempfile.TemporaryDirectory() as scratch:
        versions: dict[str, str] = {}
        stored = Path(scratch) / "ids.npz"
        np.savez(stored, *ids)
        if options.peer_python:
            script = Path(__file__).with_name("encoding_peer.py")
            arguments = (str(folder), str(stored), str(threads))
            try:
                peer = Peer(options.peer_python, script, *arguments)
            except PeerUnavailableError as error:
                without = str(error)
        if peer is not None:
            versions = peer.facts
            runs = {
                "torch, same padding": peer_run(peer, batches["order"][0]),
                "torch, sorted": peer_run(peer, batches["sorted"][0]),
            } | runs
        # The first of each compiles, and tells what its result is.
        checks = {name: run()[1] for name, run in runs.items()}
        timings = measure.alternate(
            {name: time_of(run) for name, run in runs.items()},
            options.repeats,
        )
        if peer is not None:
            peer.close()
    rows = {
        name: summary(taken, len(ids), checks[name]) for name, taken in timings.items()
    }
    result = {
        "corpus": corpus,
        "documents": len(ids),
        "mean_tokens": float(np.mean([len(content) for content in ids])),
        "max_tokens": options.max_tokens,
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "threads": threads,
        "load_average": load,
        "machine": platform.processor() or platform.machine(),
        "versions": {"jax": jax.__version__, **versions},
        "rows": rows,
    }
    if peer is None:
        result["without_peer"] = without
    print(report(result))
    measure.save(options.out, "encoding", result, report(result))


if __name__ == "__main__":
    main()
