"""One process of several that rank together.

python -m tests.training.label_worker PORT PROCESSES PROCESS_ID FILE
"""

import os
import sys

from tests.xla import flags

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = flags(2)

import numpy as np

from labelgraph_jax.training import hosts
from labelgraph_jax.training.many_labels import (
    compile_top_labels,
    predict_top_labels,
)
from tests.training import many_label_model as model


def main() -> None:
    port, processes, process, file = sys.argv[1:5]
    count, own = int(processes), int(process)
    hosts.initialise(hosts.Hosts(f"localhost:{port}", count, own, timeout=60))
    rows = model.BATCH // count
    batches = [
        {name: column[own * rows : (own + 1) * rows] for name, column in batch.items()}
        for batch in model.batches()
    ]
    functions = model.document_fn, model.label_fn
    rank = compile_top_labels(*functions, k=6, chunk=model.CHUNK)
    top = predict_top_labels(rank, model.PARAMS, batches)
    np.savez(file, ids=top.ids, probabilities=top.probabilities)


if __name__ == "__main__":
    main()
