"""A trained model as bytes: the files of its work directory that it needs."""

import io
import tempfile
import zipfile
from pathlib import Path

from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.restore import load_model

LEFT_OUT = ("tensorboard", "opt_state")
"""Parts of a work directory that a trained model does not need."""


def pack(folder: Path, step: int | None) -> bytes:
    """Return the files of a work directory that a model of this checkpoint needs."""
    kept = {(str(step),), ("best.json",)}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            other = parts[0] == "checkpoints" and parts[1:2] not in kept
            if path.is_file() and not other and not set(parts) & set(LEFT_OUT):
                files.write(path, "/".join(parts))
    return archive.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write what `pack` gave into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)


def load_packed(archive: bytes) -> Model:
    """Restore the model of what `pack` gave."""
    with tempfile.TemporaryDirectory(prefix="labelgraph-") as folder:
        unpack(archive, Path(folder))
        return load_model(folder)
