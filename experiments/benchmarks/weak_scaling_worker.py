"""One process of `weak_scaling.py`: it pins itself to a core, and takes steps.

Started with its settings as JSON; one request `{"steps": k}` a line, one answer a line.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

# A script in a folder: the repository is what it imports from.
sys.path.insert(0, str(Path(__file__).parents[2]))


def main(settings: dict[str, Any]) -> None:
    """Fine-tune on one core, alone or with others, as standard input asks for steps."""
    # Before JAX counts the cores, and sizes its threads by them.
    os.sched_setaffinity(0, {settings["core"]})
    # Gloo greets on standard output, which is for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import jax

    from experiments.benchmarks.finetuning import Finetuning, Sizes, make_batch

    number = settings["process_id"]
    if settings["coordinator"]:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            settings["coordinator"],
            settings["processes"],
            number,
            initialization_timeout=60,
        )
    sizes = Sizes(**settings["sizes"])
    training = Finetuning(sizes)
    batches = itertools.cycle(
        [make_batch(sizes, seed=10 * number + place) for place in range(4)]
    )
    first = training.run(batches, 2)  # compiles
    facts = {
        "jax": jax.__version__,
        "parameters": training.parameters,
        "devices": jax.device_count(),
        "cores": sorted(os.sched_getaffinity(0)),
        "first_losses": first.losses,
    }
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        turn = training.run(batches, json.loads(line)["steps"])
        answer = turn.timing._asdict() | {"losses": turn.losses}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
