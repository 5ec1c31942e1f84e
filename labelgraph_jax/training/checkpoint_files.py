"""The files of one checkpoint: trees by path, JSON values, checksums; reading them."""

import base64
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np
import optax
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from labelgraph_jax.data.files import parse_json, write_json
from labelgraph_jax.functional.trees import Leaf, Params
from labelgraph_jax.training.hosts import gather_text
from labelgraph_jax.training.step import path_string

JSON_ITEMS = ("step", "data", "config")
ITEMS = ("params", "opt_state", *JSON_ITEMS)


class CheckpointError(ValueError):
    """No checkpoint, or none that can be read."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint of another model."""


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read and an earlier one is used."""


class Best(TypedDict):
    """The best checkpoint: its step, and the value of a metric that says so."""

    step: int
    value: float
    metric: str | None


@dataclass(frozen=True)
class Restored:
    """State that `CheckpointStore.restore_all` gives back."""

    step: int
    params: Params
    opt_state: optax.OptState
    data_state: object
    config: dict[str, object]
    progress: dict[str, Any] = field(default_factory=dict)


def flat_tree(tree: PyTree) -> dict[str, Leaf]:
    """The leaves of a tree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_string(path): leaf for path, leaf in leaves}


def nested_tree(tree: PyTree) -> dict[str, PyTree]:
    """Any tree as nested dicts by its paths, so that no class is needed to read it."""
    nested: dict[str, PyTree] = {}
    for path, leaf in flat_tree(tree).items():
        *parents, name = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return nested


def abstract_leaf(leaf: Leaf) -> np.ndarray | jax.ShapeDtypeStruct:
    """Return the form to restore a leaf in: on its sharding, else on the host."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return np.empty(leaf.shape, leaf.dtype)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def check_fits(
    folder: Path, item: str, saved: Mapping[str, Leaf], wanted: Mapping[str, Leaf]
) -> None:
    """Compare shapes and types of a saved tree with those that a model wants.

    Raises:
        CheckpointMismatchError: they differ; says how, both sides.
    """

    def describe(leaf: Leaf) -> str:
        return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"

    def listing(names: set[str], tree: Mapping[str, Leaf]) -> str:
        shown = [f"{name} {describe(tree[name])}" for name in sorted(names)[:5]]
        return ", ".join(shown) + (f" and {len(names) - 5} more" * (len(names) > 5))

    differing = [
        f"{name} is {describe(saved[name])} there and {describe(wanted[name])} here"
        for name in sorted(saved.keys() & wanted.keys())
        if describe(saved[name]) != describe(wanted[name])
    ]
    problems = differing[:5]
    if len(differing) > 5:
        problems.append(f"{len(differing) - 5} more differ in shape or type")
    if only_saved := saved.keys() - wanted.keys():
        problems.append(f"only in the checkpoint: {listing(only_saved, saved)}")
    if only_wanted := wanted.keys() - saved.keys():
        problems.append(f"only in this model: {listing(only_wanted, wanted)}")
    if problems:
        raise CheckpointMismatchError(
            f"{item} of checkpoint {folder} do not fit this model: "
            + "; ".join(problems)
        )


def encode_json(value: object) -> object:
    """JSON values, bytes spelled out, NumPy numbers made plain."""
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {str(key): encode_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode_json(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def decode_json(value: object) -> object:
    """Undo `encode_json`."""
    if isinstance(value, dict):
        if value.keys() == {"__bytes__"}:
            return base64.b64decode(value["__bytes__"])
        return {key: decode_json(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [decode_json(entry) for entry in value]
    return value


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def write_checksums(folder: Path, items: tuple[str, ...]) -> None:
    """Write `checksums.json`: the CRC-32 of every file of some items."""
    files = [path for item in items for path in (folder / item).rglob("*")]
    write_json(
        folder / "checksums.json",
        {
            path.relative_to(folder).as_posix(): _checksum(path)
            for path in sorted(files)
            if path.is_file()
        },
    )


def forget_items(folder: Path, items: tuple[str, ...]) -> None:
    """Remove some items of a checkpoint, their checksums first."""
    path = folder / "checksums.json"
    if path.is_file():
        known = parse_json(path.read_text("utf-8"))
        left = {n: v for n, v in known.items() if n.split("/", 1)[0] not in items}
        write_json(path, left)
    for item in items:
        shutil.rmtree(folder / item, ignore_errors=True)


def has_checksums(folder: Path) -> bool:
    """Return whether a checkpoint has its checksums, which are written last."""
    return (folder / "checksums.json").is_file()


def verify_checksums(
    folder: Path, items: tuple[str, ...], *, required: bool = False
) -> None:
    """Compare the files of some items with their checksums.

    The arrays' own format does not notice a flipped bit.

    Args:
        folder: of the checkpoint.
        items: which.
        required: whether they must exist.
    """
    if not required and not has_checksums(folder):
        return
    try:
        checksums = dict(parse_json((folder / "checksums.json").read_text("utf-8")))
    except FileNotFoundError:
        raise CheckpointError(
            "checksums.json is missing, so it was not written to its end"
        ) from None
    except (ValueError, TypeError):
        raise CheckpointError("checksums.json must be a JSON object") from None
    for name, expected in checksums.items():
        if name.split("/", 1)[0] not in items:
            continue
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{name} is missing")
        if _checksum(path) != expected:
            raise CheckpointError(f"{name} is not as it was written")


def require_whole_everywhere(folder: Path, items: tuple[str, ...]) -> None:
    """Refuse a checkpoint that one of several processes finds damaged.

    Raises:
        CheckpointError: on every process.
    """
    if jax.process_count() == 1:
        return
    found = ""
    try:
        verify_checksums(folder, items, required=True)
    except (CheckpointError, OSError, ValueError) as error:
        found = str(error) or type(error).__name__
    said = [reason for reason in gather_text(found) if reason]
    if said:
        raise CheckpointError(f"checkpoint {folder} cannot be read: {said[0]}")


def load_items(
    folder: Path,
    templates: Mapping[str, PyTree],
    items: tuple[str, ...],
    context: ocp.Context,
    *,
    checked: bool = False,
) -> dict[str, PyTree]:
    """Load some items of a checkpoint, after its files are compared with checksums.

    Args:
        folder: of the checkpoint.
        templates: of the items that are trees, see `CheckpointStore.restore_all`.
        items: which.
        context: from `orbax_context`.
        checked: whether it must have checksums.

    Raises:
        CheckpointError: a file is damaged or missing.
        CheckpointMismatchError: a tree is of another model.
    """
    try:
        verify_checksums(folder, items, required=checked)
        loaded: dict[str, PyTree] = {}
        for item in items:
            if item in JSON_ITEMS:
                with context:
                    loaded |= ocp.load_checkpointables(folder, {item: None})
            else:
                loaded[item] = _load_tree(folder, item, templates.get(item), context)
        return loaded
    except CheckpointMismatchError:
        raise
    except Exception as error:
        cause = str(error.__cause__ or error) or type(error).__name__
        cause = cause.splitlines()[0]
        raise CheckpointError(f"checkpoint {folder} cannot be read: {cause}") from error


def _load_tree(
    folder: Path, item: str, template: PyTree | None, context: ocp.Context
) -> PyTree:
    saved: PyTree = {}
    if (folder / item).is_dir():
        with context:
            saved = ocp.checkpointables_metadata(folder).metadata[item]
    if template is None:
        abstract = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), saved)
    else:
        check_fits(folder, item, flat_tree(saved), flat_tree(template))
        abstract = nested_tree(jax.tree.map(abstract_leaf, template))
    if not jax.tree.leaves(abstract):
        return {} if template is None else template
    with context:
        tree = ocp.load_checkpointables(folder, {item: abstract})[item]
    if template is None:
        return tree
    leaves = flat_tree(tree)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: leaves[path_string(path)], template
    )


def orbax_context() -> ocp.Context:
    """Make what Orbax reads and writes these checkpoints with."""
    registry = ocp.handlers.local_registry()
    for name in JSON_ITEMS:
        registry.add(ocp.handlers.JsonHandler, checkpointable_name=name)
    context = ocp.Context()
    context.checkpointables_options.registry = registry
    # Weights hardly compress (8 %), and trying takes four times as long.
    context.array_options.saving.use_compression = False
    return context


def remove(folder: Path, name: str) -> None:
    """Remove a checkpoint, which is not taken for a whole one meanwhile."""
    doomed = folder / f"{name}.deleted"
    shutil.rmtree(doomed, ignore_errors=True)
    (folder / name).rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run left half-written or half-deleted."""
    if jax.process_index() != 0 or not folder.is_dir():
        return
    for entry in folder.iterdir():
        written = entry.name.isdecimal() and has_checksums(entry)
        if entry.is_dir() and not written:
            shutil.rmtree(entry, ignore_errors=True)


def read_best(folder: Path, steps: list[int]) -> Best | None:
    """Return which checkpoint is the best: of best.json, or else the newest record.

    Args:
        folder: of all checkpoints.
        steps: of those that are there, ascending.
    """
    records = [folder / "best.json"] if steps else []
    records += [folder / str(step) / "step" / "data.json" for step in steps[::-1]]
    for path in records:
        try:
            best = parse_json(path.read_text("utf-8"))
            best = best if path.name == "best.json" else best["best"]
            if best is None or int(best["step"]) + float(best["value"]) is not None:
                return best
        except FileNotFoundError:
            if path.name == "best.json":
                return None
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def unwritten(folder: Path, step: int, kept: list[int], error: Exception) -> OSError:
    """Take away what a failed save left, so that its space is free again.

    Returns:
        What to raise: what happened, and which checkpoints there are.
    """
    if jax.process_index() == 0:
        for entry in folder.glob(f"{step}.*"):
            shutil.rmtree(entry, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free / 2**20
    full = "No space left on device" in str(error)
    said = str(error).splitlines()[0][:300]
    why = f"the disk is full ({free:,.0f} MiB free)" if full else said
    left = f"that of step {kept[-1]} is whole" if kept else "there is none before it"
    return OSError(
        f"the checkpoint of step {step} could not be written to {folder}: {why}; {left}"
    )
