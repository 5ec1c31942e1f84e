"""The parameters of a checkpoint, as arrays on the host.

Orbax writes them, and reads what was written in whatever way; but it takes longer to
import and to begin than to read a small model. What it wrote in one process is read
here without it.
"""

import zlib
from pathlib import Path

import tensorstore

from labelgraph_jax.data.files import parse_json
from labelgraph_jax.functional.trees import Params


def read_parameters(folder: Path, which: str | int) -> tuple[Params, int]:
    """Read parameters as nested dicts of NumPy arrays, and of which step they are.

    Args:
        folder: of all checkpoints.
        which: `best`, `last` or a step.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    if which == "best":
        try:
            step = int(parse_json((folder / "best.json").read_text("utf-8"))["step"])
            return _read(folder / str(step)), step
        except Exception:
            # Damaged, or of another layout: what is wrong with it is said below.
            pass
    from labelgraph_jax.training.checkpoint import CheckpointStore

    with CheckpointStore(folder) as store:
        return store.restore_params(which), store.step_of(which)


def _read(folder: Path) -> Params:
    """Parameters of one checkpoint, whose files are what their checksums say."""
    sums = parse_json((folder / "checksums.json").read_text("utf-8"))
    own = {name: value for name, value in sums.items() if name.startswith("params/")}
    if any(zlib.crc32((folder / name).read_bytes()) != own[name] for name in own):
        raise ValueError("a file is not as it was written")
    about = parse_json((folder / "params/_METADATA").read_text("utf-8"))
    base = {"driver": "ocdbt", "base": (folder / "params").absolute().as_uri() + "/"}
    driver = "zarr3" if about["use_zarr3"] else "zarr"
    opened = {}
    for leaf in about["tree_metadata"].values():
        path = tuple(part["key"] for part in leaf["key_metadata"])
        store = {"driver": driver, "kvstore": {**base, "path": ".".join(path) + "/"}}
        opened[path] = tensorstore.open(store, open=True, read=True)
    reading = {path: store.result().read() for path, store in opened.items()}
    tree: Params = {}
    for path, array in reading.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = array.result()
    return tree
