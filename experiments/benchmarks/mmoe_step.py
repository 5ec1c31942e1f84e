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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments.benchmarks import measure, race
from experiments.benchmarks.measure import Peer, PeerUnavailableError
from experiments.study import markdown_table
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.predictors.network import count_parameters
from labelgraph_jax.training.compiled_step import compile_train_step
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step

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


class Ours(race.Steps):
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

        variables = model.init(jax.random.key(0), batches[0]["inputs"])
        self.params = jax.device_get(variables["params"])
        optimizer = optax.adam(sizes.learning_rate)
        step = make_train_step(
            multi_task_objective(apply, tasks), optimizer, jax.random.key(1)
        )
        compiled = compile_train_step(step, make_mesh(jax.devices("cpu")[:1]))
        state = init_train_state(self.params, optimizer)
        super().__init__(compiled, state, batches)


def first_steps(
    peer: Peer, variant: str, losses: Sequence[float], parameters: int
) -> None:
    """Warm a variant up; a plain one must count and learn as ours does."""
    if variant.startswith("plain"):
        race.check_same(peer, variant, parameters, losses)
    else:
        peer.ask({"variant": variant, "steps": len(losses)})


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
        peer = race.start_rival(
            "mmoe_step",
            options.peer_python,
            asdict(sizes),
            race.flat(ours.params),
            race.numbered(batches),
        )
        result["peer"] |= peer.facts
        for name, variants in VARIANTS.items():
            raced = [v for v in variants if options.compiled or "compiled" not in v]
            if not raced:
                continue
            first = partial(first_steps, peer, losses=losses, parameters=parameters)
            chosen[name] = race.fastest(
                peer, raced, first, options.steps, options.race_turns
            )
            variant = chosen[name]["variant"]
            answer = peer.ask({"variant": variant, "steps": 0})
            chosen[name]["parameters"] = int(answer["parameters"])
            runs[name] = race.peer_run(peer, variant, options.steps)
    except PeerUnavailableError as error:
        result["peer"]["error"] = str(error)
    timings = measure.alternate(runs, options.turns)
    if peer is not None:
        peer.close()
    return (
        result
        | race.times_of(timings, options.steps)
        | {
            "sizes": asdict(sizes),
            "parameters": parameters,
            "rivals": chosen,
            "turns": options.turns,
            "steps": options.steps,
            "first_losses": losses,
            "versions": {"jax": jax.__version__},
            "over_ours": {
                name: measure.ratio_of_turns(taken, timings["ours"])._asdict()
                for name, taken in timings.items()
                if name != "ours"
            },
        }
    )


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
        markdown_table(head, rows),
        "Ratios are of neighbouring turns, with their middle half. “plain”: without "
        "batch normalisation and gate biases, from our parameters, with our losses.",
    ]
    if "error" in peer:
        lines.append(f"Without the rival: {peer['error']}.")
    for rival in result["rivals"].values():
        times, *others = race.raced(rival, digits=1)
        lines += [
            f'torch {peer["torch"]}, {peer["threads"]} threads, "{rival["variant"]}", '
            f"the fastest of: {times}.",
            *others,
        ]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = race.parser_of(__doc__ or "", asdict(Sizes()))
    parser.add_argument("--turns", type=int, default=12, help="of ours and the rivals")
    parser.add_argument("--race-turns", type=int, default=3, help="of every variant")
    parser.add_argument("--steps", type=int, default=5, help="in a turn")
    parser.add_argument(
        "--compiled",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="race torch.compile too",
    )
    options = parser.parse_args(arguments)
    sizes = Sizes(**{name: getattr(options, name) for name in asdict(Sizes())})
    result = benchmark(sizes, options)
    print(report(result))
    measure.save(options.out, "mmoe_step", result, report(result))


if __name__ == "__main__":
    main()
