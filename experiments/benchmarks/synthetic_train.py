"""A run of the synthetic MMoE experiment: ours together, against one by one in PyTorch.

    python -m experiments.benchmarks.synthetic_train --peer-python TORCH_PYTHON \
        [--model mmoe] [--runs 32] [--turns 5] [--out FOLDER]

The models of KDD 2018 (`experiments.mmoe_synthetic`) on batches of 64 new examples,
drawn while training on both sides. Ours trains many runs at once under `vmap`, over all
cores; a run's time is that of all divided by their number, first parameters, data and
final evaluation included, compilation not. PyTorch trains one run in a loop, as one
does: the time of its steps and their data alone.

The rival starts from our first parameters, and its losses on a few batches must agree
with ours or the benchmark stops. Its variants (see `synthetic_train_peer.py`) are raced
first and the fastest is taken. A person could start one such loop per core, which would
at best divide the ratio by the number of cores; the CPU seconds say what that comes to.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments.benchmarks import measure, race
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing
from experiments.mmoe.synthetic import preset
from experiments.mmoe.synthetic_runs import TASKS, Sizes, Trainer, network
from experiments.mmoe.synthetic_store import use_every_core
from experiments.study import markdown_table
from labelgraph_jax.predictors.network import count_parameters

VARIANTS = (
    "joined fused single",
    "joined foreach single",
    "joined fused",
    "listed fused single",
    "joined fused single compiled",
)
PRESET = "google-research"
CORRELATION, RATE = 0.5, 1e-2
FIRST_STEPS = 4


def first_losses(
    model: str, sizes: Sizes
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[float]]:
    """Our first parameters, some batches, and our losses on them, step by step."""
    module = network(model, sizes.features)
    random = np.random.default_rng(0)
    shape = (FIRST_STEPS, sizes.batch)
    inputs = random.normal(size=(*shape, sizes.features)).astype(np.float32)
    targets = random.normal(size=(*shape, len(TASKS))).astype(np.float32)
    params = module.init(jax.random.key(0), inputs[0])["params"]
    first = race.flat(params)
    optimizer = optax.adam(RATE)

    @jax.jit
    def step(params: Any, state: Any, inputs: Any, targets: Any) -> tuple[Any, ...]:
        def loss_of(params: Any) -> jax.Array:
            outputs = module.apply({"params": params}, inputs)
            assert isinstance(outputs, jax.Array)
            return jax.numpy.square(outputs - targets).mean()

        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    losses, state = [], optimizer.init(params)
    for batch in zip(inputs, targets, strict=True):
        params, state, loss = step(params, state, *batch)
        losses.append(float(loss))
    return first, {"inputs": inputs, "targets": targets}, losses


def start_peer(
    python: str,
    sizes: Sizes,
    params: dict[str, np.ndarray],
    batches: dict[str, np.ndarray],
) -> Peer:
    """The rival, with our first parameters and the batches to check it by."""
    spec = preset(PRESET)
    settings = sizes._asdict() | {"sines": spec.sines, "noise": spec.noise}
    settings["learning_rate"] = RATE
    return race.start_rival("synthetic_train", python, settings, params, batches)


def our_runs(
    model: str, sizes: Sizes, runs: int, together: int
) -> Callable[[], Timing]:
    """All our runs at once; the time is one run's share."""
    trainer = Trainer(model, preset(PRESET), sizes, together=together)

    def run() -> Timing:
        start, cpu = time.perf_counter(), time.process_time()
        trainer(range(runs), [CORRELATION] * runs, [RATE] * runs)
        seconds = time.perf_counter() - start
        return Timing(seconds / runs, (time.process_time() - cpu) / runs)

    return run


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure ours and, where it runs, the rival; see the module."""
    use_every_core()
    sizes = Sizes(
        features=options.features,
        batch=options.batch,
        steps=options.steps,
        epochs=options.epochs,
        held_out=options.held_out,
    )
    steps = sizes.steps * sizes.epochs
    result: dict[str, Any] = {"machine": measure.machine_facts(), "peer": {}}
    params, batches, losses = first_losses(options.model, sizes)
    parameters = count_parameters(params)
    ours = our_runs(options.model, sizes, options.runs, options.together)
    ours()  # compiles
    runs, peer = {"ours": ours}, None
    try:
        peer = start_peer(options.peer_python, sizes, params, batches)
        result["peer"] |= peer.facts
        result["peer"] |= race.fastest(
            peer,
            [v for v in VARIANTS if options.compiled or "compiled" not in v],
            partial(
                race.check_same, peer, parameters=parameters, losses=losses, steps=0
            ),
            options.race_steps,
            2,
        )
        runs["torch"] = race.peer_run(peer, result["peer"]["variant"], steps)
    except PeerUnavailableError as error:
        result["peer"]["error"] = str(error)
    timings = measure.alternate(runs, options.turns)
    if peer is not None:
        peer.close()
    result |= {
        "model": options.model,
        "sizes": sizes._asdict(),
        "parameters": parameters,
        "runs": options.runs,
        "together": options.together,
        "devices": jax.device_count(),
        "turns": options.turns,
        "versions": {"jax": jax.__version__},
        "seconds_a_run": {
            name: statistics.median(t.seconds for t in taken)
            for name, taken in timings.items()
        },
        "cpu_seconds_a_run": {
            name: statistics.median(t.cpu_seconds for t in taken)
            for name, taken in timings.items()
        },
    }
    if "torch" in timings:
        ratio = measure.ratio_of_turns(timings["torch"], timings["ours"])
        result["torch_over_ours"] = ratio._asdict()
    return result


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    sizes, peer = result["sizes"], result["peer"]
    steps = sizes["steps"] * sizes["epochs"]
    rows = [
        [
            name,
            f"{seconds:.3f}",
            f"{result['cpu_seconds_a_run'][name]:.3f}",
            f"{1e6 * seconds / steps:.0f}",
        ]
        for name, seconds in result["seconds_a_run"].items()
    ]
    head = ["run", "seconds a run (median)", "CPU seconds a run", "µs a step"]
    lines = [
        f"A run of the synthetic experiment, {result['model']}, "
        f"{result['parameters']:,} parameters, {steps:,} steps of {sizes['batch']} new "
        f"examples; ours {result['runs']} runs at once, {result['together']} under one "
        f"vmap on each of {result['devices']} devices, with {sizes['held_out']:,} "
        f"examples for the final loss; {result['turns']} turns; jax "
        f"{result['versions']['jax']}; {measure.machine_line(result['machine'])}.",
        "",
        markdown_table(head, rows),
    ]
    if "error" in peer:
        return "\n".join([*lines, f"Without the rival: {peer['error']}.", ""])
    ratio = result["torch_over_ours"]
    times, *others = race.raced(peer, digits=3)
    cpu = result["cpu_seconds_a_run"]
    lines += [
        f"torch / ours: **{ratio['median']:.1f}x** (middle half of the turns "
        f"{ratio['low']:.1f} to {ratio['high']:.1f}); above 1, ours is faster. In CPU "
        f"seconds {cpu['torch'] / cpu['ours']:.1f}x.",
        "",
        f'torch {peer["torch"]}, "{peer["variant"]}", the fastest of: {times} a step '
        f"({peer['threads']} threads where not single).",
    ]
    lines += others
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = race.parser_of(__doc__ or "", Sizes()._asdict())
    parser.add_argument("--model", default="mmoe", help="shared-bottom, omoe or mmoe")
    parser.add_argument("--runs", type=int, default=32, help="of ours at once")
    parser.add_argument("--together", type=int, default=4, help="under one vmap")
    parser.add_argument("--turns", type=int, default=5, help="of ours and the rival")
    parser.add_argument("--race-steps", type=int, default=300, help="of every variant")
    parser.add_argument(
        "--compiled",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="race torch.compile too",
    )
    options = parser.parse_args(arguments)
    result = benchmark(options)
    print(report(result))
    measure.save(options.out, "synthetic_train", result, report(result))


if __name__ == "__main__":
    main()
