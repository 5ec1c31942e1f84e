"""One MMoE train step: ours against the MMOE of torch-rechub, in one run.

    python -m experiments.benchmarks.mmoe_step --peer-python TORCH_PYTHON \
        [--turns 12] [--steps 5] [--out FOLDER]

One step: 1,024 rows of 256 features; 8 experts of one layer of 256 units; a gate and a
tower of 64 units for each of 4 binary tasks; the sum of their cross-entropies,
gradient, Adam; the batch starts in NumPy on both sides.

torch-rechub's class normalises experts, gates and towers by batch statistics and gives
its gates a bias; ours, like the paper, does neither. So it runs twice: as it comes, and
with both taken out and our first parameters put in, where the losses of the first
steps must agree with ours or the benchmark stops. Of each, the fastest form of Adam is
taken, and once more under torch.compile, where it runs. Then blocks of steps alternate,
the other side asleep, both on the CPU with as many threads as there are cores.
Compilation is not timed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from experiments.benchmarks import measure
from experiments.benchmarks.measure import Peer, PeerUnavailableError, Timing
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.predictors.network import count_parameters
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step, path_string

VARIANTS = {
    "torch-rechub": ("rechub fused", "rechub foreach"),
    "torch-rechub, torch.compile": ("rechub fused compiled",),
    "torch-rechub, plain": ("plain fused", "plain foreach"),
    "torch-rechub, plain, torch.compile": ("plain fused compiled",),
}
FIRST_STEPS = 3
BATCHES = 4


@dataclass(frozen=True)
class Sizes:
    """The model and the batches, the same on both sides."""

    batch: int = 1024
    features: int = 256
    experts: int = 8
    units: int = 256
    tasks: int = 4
    tower: int = 64
    learning_rate: float = 1e-3


def make_batches(sizes: Sizes, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random rows; each task's target is 1 on one side of a plane."""
    random = np.random.default_rng(seed)
    planes = random.normal(size=(sizes.features, sizes.tasks))
    batches = []
    for _ in range(BATCHES):
        inputs = random.normal(size=(sizes.batch, sizes.features)).astype(np.float32)
        targets = (inputs @ planes > 0).astype(np.float32)
        batches.append({"inputs": inputs, "targets": targets})
    return batches


class Ours:
    """Our compiled train step over the batches, round and round."""

    def __init__(self, sizes: Sizes, batches: list[dict[str, np.ndarray]]) -> None:
        tasks = tuple(Task(f"task {n}", "binary") for n in range(sizes.tasks))
        model = MultiTaskNetwork(
            tasks,
            kind="mmoe",
            hidden=(sizes.units,),
            experts=sizes.experts,
            towers=(sizes.tower,),
        )

        def apply(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
            outputs = model.apply({"params": params}, batch["inputs"])
            assert isinstance(outputs, jax.Array)
            return outputs

        self.batches = batches
        variables = model.init(jax.random.key(0), batches[0]["inputs"])
        self.params = jax.device_get(variables["params"])
        optimizer = optax.adam(sizes.learning_rate)
        step = make_train_step(
            multi_task_objective(apply, tasks), optimizer, jax.random.key(1)
        )
        self.step = compile_train_step(step, make_mesh(jax.devices("cpu")[:1]))
        self.state = self.step.place_state(init_train_state(self.params, optimizer))
        self.steps = 0

    def run(self, steps: int) -> tuple[Timing, list[float]]:
        """Some steps, and the loss of each."""
        start, cpu = time.perf_counter(), time.process_time()
        losses = []
        for _ in range(steps):
            batch = self.batches[self.steps % len(self.batches)]
            self.steps += 1
            placed = self.step.place_batch(batch)
            self.state, metrics = self.step(self.state, placed)
            losses.append(metrics["loss"])
        values = [float(loss) for loss in losses]
        seconds = time.perf_counter() - start
        return Timing(seconds, time.process_time() - cpu), values


def start_peer(
    python: str, ours: Ours, sizes: Sizes, batches: list[dict[str, np.ndarray]]
) -> Peer:
    """The rival, with our first parameters and our batches."""
    leaves = jax.tree_util.tree_leaves_with_path(ours.params)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "sizes.json").write_text(json.dumps(asdict(sizes)))
        params = {path_string(path): leaf for path, leaf in leaves}
        np.savez(str(folder / "params.npz"), allow_pickle=False, **params)
        flat = {
            f"{number}/{name}": value
            for number, batch in enumerate(batches)
            for name, value in batch.items()
        }
        np.savez(str(folder / "batches.npz"), allow_pickle=False, **flat)
        script = Path(__file__).with_name("mmoe_step_peer.py")
        # It answers once it has read everything, so the folder may go.
        return Peer(python, script, scratch, str(measure.cores()))


def peer_run(peer: Peer, variant: str, steps: int) -> Callable[[], Timing]:
    """A run of some steps of a variant."""

    def run() -> Timing:
        answer = peer.ask({"variant": variant, "steps": steps})
        return Timing(answer["seconds"], answer["cpu_seconds"])

    return run


def first_steps(
    peer: Peer, variant: str, losses: Sequence[float], parameters: int
) -> int:
    """Warms a variant up; a plain one must count and learn as ours does.

    Returns:
        How many parameters it has.

    Raises:
        RuntimeError: a plain variant has other losses, or another size.
    """
    answer = peer.ask({"variant": variant, "steps": len(losses)})
    count = int(answer["parameters"])
    if variant.startswith("plain"):
        if count != parameters:
            raise RuntimeError(f"{variant} has {count} parameters, ours {parameters}")
        if not np.allclose(answer["losses"], losses, rtol=1e-3):
            raise RuntimeError(
                f"{variant} has losses {answer['losses']}, ours {list(losses)}"
            )
    return count


def fastest(
    peer: Peer,
    variants: Sequence[str],
    losses: Sequence[float],
    parameters: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The fastest of some variants: its name, size, times and why others do not run."""
    runs, refused, counts = {}, {}, {}
    for variant in variants:
        try:
            counts[variant] = first_steps(peer, variant, losses, parameters)
        except PeerUnavailableError as error:
            refused[variant] = str(error)
        else:
            runs[variant] = peer_run(peer, variant, options.steps)
    timings = measure.alternate(runs, options.race_turns)
    race = {name: measure.median_ms(t, options.steps) for name, t in timings.items()}
    if not race:
        raise PeerUnavailableError("; ".join(refused.values()))
    variant = min(race, key=lambda name: race[name])
    return {
        "variant": variant,
        "parameters": counts[variant],
        "race_ms": race,
        "refused": refused,
    }


def benchmark(sizes: Sizes, options: argparse.Namespace) -> dict[str, Any]:
    """Measure ours and, where it runs, the rival; see the module."""
    result: dict[str, Any] = {"machine": measure.machine_facts(), "peer": {}}
    batches = make_batches(sizes)
    ours = Ours(sizes, batches)
    parameters = count_parameters(ours.params)
    _, losses = ours.run(FIRST_STEPS)
    runs = {"ours": lambda: ours.run(options.steps)[0]}
    peer, chosen = None, {}
    try:
        peer = start_peer(options.peer_python, ours, sizes, batches)
        result["peer"] |= peer.facts
        for name, variants in VARIANTS.items():
            raced = [v for v in variants if options.compiled or "compiled" not in v]
            if not raced:
                continue
            chosen[name] = fastest(peer, raced, losses, parameters, options)
            runs[name] = peer_run(peer, chosen[name]["variant"], options.steps)
    except PeerUnavailableError as error:
        result["peer"]["error"] = str(error)
    timings = measure.alternate(runs, options.turns)
    if peer is not None:
        peer.close()
    return result | {
        "sizes": asdict(sizes),
        "parameters": parameters,
        "rivals": chosen,
        "turns": options.turns,
        "steps": options.steps,
        "first_losses": losses,
        "versions": {"jax": jax.__version__},
        "milliseconds": {
            name: measure.median_ms(taken, options.steps)
            for name, taken in timings.items()
        },
        "cpu_milliseconds": {
            name: 1000 * statistics.median(t.cpu_seconds for t in taken) / options.steps
            for name, taken in timings.items()
        },
        "over_ours": {
            name: measure.ratio_of_turns(taken, timings["ours"])._asdict()
            for name, taken in timings.items()
            if name != "ours"
        },
    }


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    sizes, peer = result["sizes"], result["peer"]
    rows = []
    for name, milliseconds in result["milliseconds"].items():
        ratio = result["over_ours"].get(name)
        shown = "1" if ratio is None else f"**{ratio['median']:.2f}x**"
        if ratio is not None:
            shown += f" ({ratio['low']:.2f} to {ratio['high']:.2f})"
        cpu = result["cpu_milliseconds"][name]
        size = result["rivals"].get(name, {}).get("parameters", result["parameters"])
        rows.append([name, f"{milliseconds:.1f}", f"{cpu:.1f}", shown, f"{size:,}"])
    head = ["run", "ms a step (median)", "CPU ms a step", "over ours", "parameters"]
    lines = [
        f"MMoE train step: {sizes['batch']:,} rows of {sizes['features']} features, "
        f"{sizes['experts']} experts of {sizes['units']} units, {sizes['tasks']} "
        f"tasks with towers of {sizes['tower']}; {result['turns']} turns of "
        f"{result['steps']} steps; jax {result['versions']['jax']}; "
        f"{measure.machine_line(result['machine'])}.",
        "",
        measure.markdown_table(head, rows),
        "Ratios are of neighbouring turns, with their middle half. “plain”: without "
        "batch normalisation and gate biases, from our parameters, with our losses.",
    ]
    if "error" in peer:
        lines.append(f"Without the rival: {peer['error']}.")
    for rival in result["rivals"].values():
        raced = ", ".join(f"{n} {ms:.1f} ms" for n, ms in rival["race_ms"].items())
        lines.append(
            f'torch {peer["torch"]}, {peer["threads"]} threads, "{rival["variant"]}", '
            f"the fastest of: {raced}."
        )
        lines += [f"Not run: {why}." for why in rival["refused"].values()]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Race a step of our mixture against torch-rechub's, and keep the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter with torch-rechub"
    )
    parser.add_argument("--turns", type=int, default=12, help="of ours and the rivals")
    parser.add_argument("--race-turns", type=int, default=3, help="of every variant")
    parser.add_argument("--steps", type=int, default=5, help="in a turn")
    parser.add_argument(
        "--compiled",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="race torch.compile too",
    )
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    for name, default in asdict(Sizes()).items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default)
    options = parser.parse_args(arguments)
    sizes = Sizes(**{name: getattr(options, name) for name in asdict(Sizes())})
    result = benchmark(sizes, options)
    print(report(result))
    measure.save(options.out, "mmoe_step", result, report(result))


if __name__ == "__main__":
    main()
