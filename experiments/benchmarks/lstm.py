"""The bidirectional LSTM of a train step against torch's nn.LSTM, in pairs.

Measures: forward and gradient (of every weight, not of the inputs) of
`labelgraph_jax.functional.bidirectional_lstm` at the size of MAGNET's text side, and
of `torch.nn.LSTM(bidirectional=True)` on padded and on packed sequences.
Command: python -m experiments.benchmarks.lstm [--peer-python PYTHON_WITH_TORCH]
Hardware: CPU; both sides run on the same cores, one after the other, in one run.
Time: about a minute. Expected: a ratio (ours / torch) of at most 1 on a machine that
does nothing else; the last column says how many cores other processes took meanwhile.
`--out FOLDER` writes lstm.json and lstm.md.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEERS = ("torch padded", "torch packed")


def parse_arguments() -> argparse.Namespace:
    """Read the command line, which the peer is started with too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--hidden", type=int, default=250)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--cores", type=int, help="use this many (default: all)")
    parser.add_argument("--full", action="store_true", help="no padding at all")
    parser.add_argument("--peer-python", help="an interpreter that can import torch")
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def document_lengths(args: argparse.Namespace) -> list[int]:
    """Between a quarter of the tokens and all of them; the first document has all."""
    if args.full:
        return [args.tokens] * args.batch
    least, spread = args.tokens // 4, args.tokens - args.tokens // 4 + 1
    drawn = [least + (7919 * place) % spread for place in range(args.batch)]
    return [args.tokens, *(max(length, 1) for length in drawn[1:])]


def build_ours(args: argparse.Namespace) -> Callable[[], None]:
    """Return a function that takes our forward pass and gradient once."""
    import jax
    import jax.numpy as jnp

    from labelgraph_jax.functional.text.recurrent import LstmWeights, bidirectional_lstm

    size, bound = args.hidden, args.hidden**-0.5
    shapes = (args.features, 4 * size), (size, 4 * size), (4 * size,)
    keys = jax.random.split(jax.random.key(0), 7)

    def weights(keys: jax.Array) -> LstmWeights:
        return LstmWeights(
            *(
                jax.random.uniform(key, shape, minval=-bound, maxval=bound)
                for key, shape in zip(keys, shapes, strict=True)
            )
        )

    inputs = jax.random.normal(keys[6], (args.batch, args.tokens, args.features))
    mask = jnp.arange(args.tokens) < jnp.array(document_lengths(args))[:, None]

    def loss(params, inputs, mask):
        document, _ = bidirectional_lstm(inputs, mask, *params)
        return jnp.square(document).mean()

    step = jax.jit(jax.value_and_grad(loss))
    params = weights(keys[:3]), weights(keys[3:6])
    return lambda: jax.block_until_ready(step(params, inputs, mask)) and None


def build_torch(args: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """Return the same of torch, on padded and on packed documents."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    inputs = torch.randn(args.batch, args.tokens, args.features)
    lengths = torch.tensor(document_lengths(args))
    net = torch.nn.LSTM(
        args.features, args.hidden, batch_first=True, bidirectional=True
    )

    def step(given) -> None:
        net.zero_grad()
        _, (hidden, _) = net(given)
        torch.cat([hidden[0], hidden[1]], 1).square().mean().backward()

    def pack():
        return torch.nn.utils.rnn.pack_padded_sequence(
            inputs, lengths, batch_first=True, enforce_sorted=False
        )

    return dict(zip(PEERS, (lambda: step(inputs), lambda: step(pack())), strict=True))


def serve_peer(args: argparse.Namespace) -> None:
    """Run one step per line read, and answer its wall and processor seconds."""
    steps = build_torch(args)
    for step in (*steps.values(), *steps.values()):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        print(*timed(steps[line.strip()]), flush=True)


def start_peer(args: argparse.Namespace) -> subprocess.Popen | None:
    """Start the interpreter with torch; None where it has none, with the reason."""
    if args.peer_python is None and importlib.util.find_spec("torch") is None:
        print(
            "torch columns skipped: this interpreter cannot import torch; "
            "name one that can with --peer-python"
        )
        return None
    arguments = [item for item in sys.argv[1:] if item != "--peer"]
    command = [args.peer_python or sys.executable, str(Path(__file__)), *arguments]
    try:
        peer = subprocess.Popen(
            [*command, "--peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        print(f"torch columns skipped: {args.peer_python} does not start ({error})")
        return None
    assert peer.stdout is not None
    if peer.stdout.readline().strip() != "ready":
        print(f"torch columns skipped: {command[0]} could not run it (see above)")
        return None
    return peer


def timed(step: Callable[[], None]) -> tuple[float, float]:
    """Run a step; return its seconds of wall clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - processor


def machine_busy_seconds() -> float:
    """Processor seconds that all processes together have used (0 off Linux)."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def measure(
    args: argparse.Namespace, runners: dict[str, Callable[[], tuple[float, float]]]
) -> tuple[dict[str, list[float]], dict[str, list[float]], float]:
    """Wall and processor seconds by name and pair, and cores taken by others."""
    walls: dict[str, list[float]] = {name: [] for name in runners}
    processor: dict[str, list[float]] = {name: [] for name in runners}
    started, busy = time.perf_counter(), machine_busy_seconds()
    for pair in range(args.pairs):
        # Neither side always runs after the other.
        for name in list(runners) if pair % 2 else list(runners)[::-1]:
            wall, own = runners[name]()
            walls[name].append(wall)
            processor[name].append(own)
    ours_and_theirs = sum(sum(values) for values in processor.values())
    elapsed = time.perf_counter() - started
    others = (machine_busy_seconds() - busy - ours_and_theirs) / elapsed
    return walls, processor, max(others, 0.0)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def main() -> None:
    """Take turns with torch, print the report and keep it; or be its peer."""
    args = parse_arguments()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    if args.peer:
        return serve_peer(args)
    ours = build_ours(args)
    for _ in range(2):
        ours()
    runners = {"labelgraph_jax": lambda: timed(ours)}
    peer = start_peer(args)
    if peer is not None:

        def ask(name: str) -> tuple[float, float]:
            assert peer.stdin is not None and peer.stdout is not None
            peer.stdin.write(name + "\n")
            peer.stdin.flush()
            wall, processor = peer.stdout.readline().split()
            return float(wall), float(processor)

        for name in PEERS:
            runners[name] = lambda name=name: ask(name)  # type: ignore[misc]
    walls, processor, others = measure(args, runners)
    if peer is not None and peer.stdin is not None:
        peer.stdin.close()
        peer.wait()

    title = (
        f"bidirectional LSTM, forward + gradient: B {args.batch}, S {args.tokens}, "
        f"D {args.features}, H {args.hidden}, "
        f"{'full' if args.full else 'ragged'} documents, "
        f"{len(os.sched_getaffinity(0))} cores, {args.pairs} pairs; "
        f"others took {others:.2f} cores"
    )
    lines, over = [], {}
    for name, seconds in walls.items():
        low, middle, high = quartiles([1e3 * s for s in seconds])
        spent = 1e3 * statistics.median(processor[name])
        line = f"{name:15} {middle:7.0f} ms ({low:.0f} to {high:.0f})"
        line += f", best {1e3 * min(seconds):.0f} ms, processor {spent:.0f} ms"
        if name in PEERS:
            ratios = [
                a / b for a, b in zip(walls["labelgraph_jax"], seconds, strict=True)
            ]
            low, middle, high = quartiles(ratios)
            line += f"; ours / {name}: {middle:.2f} ({low:.2f} to {high:.2f})"
            over[name] = {"median": middle, "low": low, "high": high}
        lines.append(line)
    if others > 0.1:
        lines.append(
            f"not a fair comparison: others took {others:.2f} cores, and torch's "
            "threads wait for each other; repeat on an idle machine"
        )
    print("\n".join([title, *lines]))
    if args.out:
        paths = ("peer_python", "out", "peer")
        settings = {k: v for k, v in vars(args).items() if k not in paths}
        result = {"settings": settings, "others": others, "seconds": walls}
        write(args.out, title, lines, result | {"ours_over_peers": over})


def write(out: str, title: str, lines: list[str], result: dict[str, Any]) -> None:
    """The result as lstm.json and lstm.md."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lstm.json").write_text(json.dumps(result, indent=1) + "\n")
    table = "".join(f"    {line}\n" for line in lines)
    (folder / "lstm.md").write_text(f"{title}\n\n{table}")


if __name__ == "__main__":
    main()
