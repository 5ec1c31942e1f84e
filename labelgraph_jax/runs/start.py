"""A run begun from the parameters of another one: what is taken, by name and shape."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.files import read_json, write_json
from labelgraph_jax.functional.trees import Leaf, Params
from labelgraph_jax.predictors.manifest import require_unchanged
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.checkpoint_files import flat_tree
from labelgraph_jax.training.step import path_string

FILE = "start.json"
"""File that names the run from which this one was begun."""
NAMED_AXES = {
    "label_bias": 1,
    "features": 1,
    "free_vectors": 1,
    "queries": 1,
    "receiver_factors": 1,
    "sender_factors": 1,
    "edge_bias": 2,
    "edge_weights": 2,
}
"""Arrays of whose axes the first one, or two, are the labels."""
OF_ALL = ("towers", "gate_kernel", "log_variance", "decoder", "mixture")
"""Parts of a network that are taken only where labels and tasks are the same."""
READING = ("vectors", "pretrained", "prompt", "reads_ngrams", "reads_static")
"""Settings of texts that two runs must share, so that tokens mean the same."""


def started_from(
    place: Workdir, config: Config, start: str | Path | None
) -> Workdir | None:
    """The run that one is, or was, begun from; None for none.

    Args:
        place: of the new run.
        config: its settings.
        start: the work directory that was named.

    Raises:
        ConfigError: it cannot be begun from that one.
        WorkdirError: it is no work directory, or the run was begun otherwise.
    """
    # A run that goes on keeps the one it was begun from.
    kept = place.path / FILE
    known = _kept(kept) if kept.is_file() else ""
    begun = Workdir(Path(known)) if known else None
    if start is None or (place.has_checkpoints and _same_folder(start, known)):
        return begun
    # Else the other must be a trained run over the same kind of data.
    other = Workdir.existing(start)
    require_unchanged(other)
    if place.has_checkpoints:
        began = f"from {known}" if known else "from no other run"
        raise WorkdirError(
            f"{place.path}: holds a run that was begun {began}; choose another "
            "--workdir, or leave --from out"
        )
    if other.is_ensemble or not other.has_checkpoints:
        raise ConfigError(
            f"--from {start}: must be a run that was trained and has a checkpoint"
        )
    if other.is_table != bool(config.table.tasks):
        kinds = ("texts", "a table")
        raise ConfigError(
            f"--from {start}: is a run over {kinds[other.is_table]}, and this one is "
            f"over {kinds[not other.is_table]}"
        )
    # It must read texts as this run does.
    theirs = other.config().text
    for name in () if other.is_table else READING:
        if getattr(theirs, name) != getattr(config.text, name):
            raise ConfigError(
                f"--from {start}: reads texts otherwise; text.vectors, "
                "text.pretrained, text.prompt and text.ngrams must be those of that "
                "run, and text.encoder='bag+static' of both or of neither"
            )
    return other


def _kept(path: Path) -> str:
    """The path that start.json holds."""
    held = read_json(path, error=WorkdirError)
    known = held.get("from") if isinstance(held, dict) else None
    if not isinstance(known, str):
        raise WorkdirError(f'{path}: must hold {{"from": the path of a run}}')
    return known


def _same_folder(start: str | Path, known: str) -> bool:
    """Return whether a path is that of the run that another was begun from."""
    return known != "" and Path(start).absolute().resolve() == Path(known).resolve()


def keep_start(place: Workdir, start: Workdir) -> None:
    """Write down which run this one was begun from."""
    write_json(place.path / FILE, {"from": str(start.path.absolute())})


def warm_start(
    start: Workdir, params: Params, names: Sequence[str], known: Sequence[str]
) -> tuple[Params, str]:
    """Parameters that begin where those of another run ended.

    Args:
        start: the other run.
        params: first parameters of this one.
        names: its labels, or tasks.
        known: those of the other run.

    Returns:
        The parameters, and a sentence about what was taken.

    Raises:
        ConfigError: nothing of it fits.
    """
    with CheckpointStore(start.checkpoints) as store:
        old = flat_tree(store.restore_params("best"))
    shared = [name for name in names if name in set(known)]
    to = np.asarray([list(names).index(name) for name in shared], int)
    at = np.asarray([list(known).index(name) for name in shared], int)
    same = tuple(names) == tuple(known)
    left: list[str] = []

    def take(path: KeyPath, leaf: Leaf) -> Leaf:
        name = path_string(path)
        found = _taken(name, leaf, old, (to, at), same)
        if found is None:
            left.append(name)
            return leaf
        return found

    joined = jax.tree_util.tree_map_with_path(take, params)
    count = len(jax.tree.leaves(params))
    if len(left) == count:
        raise ConfigError(
            f"--from {start.path}: none of its parameters has the shape of this "
            "network's"
        )
    what = "task" if start.is_table else "label"
    said = (
        f"begun from {start.path}: {count - len(left):,} of {counted(count, 'array')} "
        f"of parameters taken, with {len(shared):,} of {counted(len(names), what)}"
    )
    if left:
        shown = ", ".join(left[:5]) + ", ..." * (len(left) > 5)
        said += f"; of another shape or of other {what}s, and begun anew: {shown}"
    return joined, said


def _taken(
    name: str,
    leaf: Leaf,
    old: Mapping[str, Leaf],
    places: tuple[np.ndarray, np.ndarray],
    same: bool,
) -> jax.Array | None:
    """One array with what is taken of the other run's; None where nothing is."""
    if name not in old:
        return None
    value, last = np.asarray(old[name]), name.rsplit("/", 1)[-1]
    axes, (to, at) = NAMED_AXES.get(last, 0), places
    if same or not axes:
        whole = same or not any(part in name for part in OF_ALL)
        return jnp.asarray(value) if whole and value.shape == leaf.shape else None
    if value.ndim < axes or value.ndim != leaf.ndim or not len(to):
        return None
    if value.shape[axes:] != leaf.shape[axes:]:
        return None
    if axes == 1:
        return jnp.asarray(leaf).at[to].set(value[at])
    return jnp.asarray(leaf).at[np.ix_(to, to)].set(value[np.ix_(at, at)])
