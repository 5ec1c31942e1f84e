"""What a checkpoint's files hold: trees by path, JSON values, checksums."""

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from labelgraph_jax.data.files import write_json
from labelgraph_jax.training.step import path_string


class CheckpointError(ValueError):
    """No checkpoint, or none that can be read."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint of another model."""


def flat_tree(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_string(path): leaf for path, leaf in leaves}


def nested_tree(tree: Any) -> dict[str, Any]:
    """Any tree as nested dicts by its paths, so that no class is needed to read it."""
    nested: dict[str, Any] = {}
    for path, leaf in flat_tree(tree).items():
        *parents, name = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return nested


def abstract_leaf(leaf: Any) -> Any:
    """What to restore a leaf as: on its sharding, or on the host if it has none."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        return np.empty(leaf.shape, leaf.dtype)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def check_fits(
    folder: Path, item: str, saved: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Compare shapes and types of a saved tree with those that a model wants.

    Raises:
      CheckpointMismatchError: they differ; says how, both sides.
    """

    def describe(leaf: Any) -> str:
        return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"

    def listing(names: set[str], tree: dict[str, Any]) -> str:
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


def encode_json(value: Any) -> Any:
    """JSON values, bytes spelled out, NumPy numbers made plain."""
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {str(key): encode_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode_json(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def decode_json(value: Any) -> Any:
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


def verify_checksums(folder: Path, items: tuple[str, ...]) -> None:
    """Compare the files of some items with their checksums, where these exist.

    The arrays' own format does not notice a flipped bit.
    """
    try:
        checksums = json.loads((folder / "checksums.json").read_text("utf-8"))
    except FileNotFoundError:
        return
    for name, expected in checksums.items():
        if name.split("/", 1)[0] not in items:
            continue
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{name} is missing")
        if _checksum(path) != expected:
            raise CheckpointError(f"{name} is not as it was written")
