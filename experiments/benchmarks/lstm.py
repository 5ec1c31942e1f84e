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
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.benchmarks.measure import (
    Peer,
    PeerUnavailableError,
    Spread,
    Timing,
    alternate,
    cores,
    ratio_of_turns,
    save,
)
from experiments.benchmarks.race import Runs, peer_run

PEERS = ("torch padded", "torch packed")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--hidden", type=int, default=250)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--cores", type=int, help="use this many (default: all)")
    parser.add_argument("--full", action="store_true", help="no padding at all")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter with torch"
    )
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    return parser.parse_args()


def document_lengths(args: argparse.Namespace) -> list[int]:
    """Between a quarter of the tokens and all of them; the first document has all."""
    if args.full:
        return [args.tokens] * args.batch
    least, spread = args.tokens // 4, args.tokens - args.tokens // 4 + 1
    drawn = [least + (7919 * place) % spread for place in range(args.batch)]
    return [args.tokens, *(max(length, 1) for length in drawn[1:])]


def build_ours(args: argparse.Namespace) -> Callable[[], None]:
    """Return our forward and gradient, compiled, as one call."""
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


def start_peer(args: argparse.Namespace) -> Peer | None:
    """Start torch, where it can be imported; a line says why it cannot."""
    sizes = {name: getattr(args, name) for name in ("batch", "features", "hidden")}
    told = json.dumps(sizes | {"lengths": document_lengths(args)})
    script = Path(__file__).with_name("lstm_peer.py")
    try:
        return Peer(args.peer_python, script, told, str(cores()))
    except PeerUnavailableError as error:
        print(f"torch columns skipped: {error}; name another with --peer-python")
        return None


def machine_busy_seconds() -> float:
    """Processor seconds that all processes together have used (0 off Linux)."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the command line."""
    args = parse_arguments()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    ours = build_ours(args)
    for _ in range(2):
        ours()

    def our_run() -> Timing:
        start, processor = time.perf_counter(), time.process_time()
        ours()
        return Timing(time.perf_counter() - start, time.process_time() - processor)

    runs: Runs = {"labelgraph_jax": our_run}
    if (peer := start_peer(args)) is not None:
        runs |= {name: peer_run(peer, name, 1) for name in PEERS}
    started, busy = time.perf_counter(), machine_busy_seconds()
    timings = alternate(runs, args.pairs)
    elapsed = time.perf_counter() - started
    if peer is not None:
        peer.close()
    spent = {n: [each.cpu_seconds for each in taken] for n, taken in timings.items()}
    known = sum(map(sum, spent.values()))
    others = max((machine_busy_seconds() - busy - known) / elapsed, 0.0)
    walls = {n: [each.seconds for each in taken] for n, taken in timings.items()}

    title = (
        f"bidirectional LSTM, forward + gradient: B {args.batch}, S {args.tokens}, "
        f"D {args.features}, H {args.hidden}, "
        f"{'full' if args.full else 'ragged'} documents, "
        f"{cores()} cores, {args.pairs} pairs; "
        f"others took {others:.2f} cores"
    )
    lines, over = [], {}
    for name, seconds in walls.items():
        middle, low, high = Spread.of([1e3 * s for s in seconds])
        line = (
            f"{name:15} {middle:7.0f} ms ({low:.0f} to {high:.0f}), best "
            f"{1e3 * min(seconds):.0f} ms, processor "
            f"{1e3 * statistics.median(spent[name]):.0f} ms"
        )
        if name in PEERS:
            ratio = ratio_of_turns(timings["labelgraph_jax"], timings[name])
            line += f"; ours / {name}: {ratio.median:.2f} "
            line += f"({ratio.low:.2f} to {ratio.high:.2f})"
            over[name] = ratio._asdict()
        lines.append(line)
    if others > 0.1:
        lines.append(
            f"not a fair comparison: others took {others:.2f} cores, and torch's "
            "threads wait for each other; repeat on an idle machine"
        )
    print("\n".join([title, *lines]))
    settings = {k: v for k, v in vars(args).items() if k not in ("peer_python", "out")}
    result = {"settings": settings, "others": others, "seconds": walls}
    table = "".join(f"    {line}\n" for line in lines)
    result["ours_over_peers"] = over
    save(args.out, "lstm", result, f"{title}\n\n{table}")


if __name__ == "__main__":
    main()
