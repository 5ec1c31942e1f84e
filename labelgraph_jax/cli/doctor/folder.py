"""Check that every process can write to the same work directory."""

import contextlib
import dataclasses
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from labelgraph_jax.cli.doctor.facts import Finding, spans
from labelgraph_jax.cli.doctor.machine import writing_trouble
from labelgraph_jax.runs.lock import holder
from labelgraph_jax.training.hosts import gather_text, is_first

SHARED_SECONDS = 10.0
"""Seconds until a file of process 0 must be visible to the others."""


_PART = 2000


def examine_workdir(workdir: str) -> tuple[list[Finding], str]:
    """Check that a work directory is writable, shared by all processes, and free.

    Returns:
        Problems, and the holder of the directory.
    """
    # A bucket is no folder.
    if "://" in workdir:
        what = f"--workdir {workdir}: must be a folder of a file system"
        return [Finding(what, "mount the bucket, with Cloud Storage FUSE for one")], ""
    # Process zero writes a token there, and all others read it.
    path = Path(workdir)
    first = is_first()
    created = _absent_folders(path) if first else []
    token = uuid.uuid4().hex if first else ""
    trouble = _write_token(path, token) if first else ""
    said = gather_json([token, trouble])
    token, written = said[0]
    if not first:
        trouble = "" if written else _read_token(path, token)
    troubles = [text for _, text in gather_json([token, trouble])]
    # Note who uses the folder; remove what the check has made.
    held = gather_json((holder(path) or "") if first else "")[0]
    if first:
        with contextlib.suppress(OSError):
            (path / _token_name(token)).unlink(missing_ok=True)
            for folder in created:
                folder.rmdir()
    # What is wrong, and in which processes.
    hint = "name a folder that can be written"
    if len(troubles) > 1:
        hint = (
            "it must be one folder for every process: on a shared file system, under "
            "the same path on every machine"
        )
    found = []
    for trouble in dict.fromkeys(filter(None, troubles)):
        numbers = spans([n for n, text in enumerate(troubles) if text == trouble])
        found.append(
            Finding(f"--workdir {workdir}, process {numbers}: {trouble}", hint)
        )
    if held:
        what = f"--workdir {workdir} is in use: {held}"
        found.append(Finding(what, "wait for it to end, or name another folder"))
    return found, held


def _absent_folders(path: Path) -> list[Path]:
    """The folders that writing to the path would create, the innermost first."""
    with contextlib.suppress(OSError):
        return [folder for folder in (path, *path.parents) if not folder.exists()]
    return []


def _token_name(token: str) -> str:
    return f".doctor-{token}"


def _write_token(folder: Path, token: str) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _token_name(token)).write_text(token)
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return ""


def _read_token(folder: Path, token: str) -> str:
    """Return why this is not the folder with process 0's file, or cannot be written."""
    end = time.monotonic() + SHARED_SECONDS
    while True:
        with contextlib.suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208 (asks a network file system anew)
            if _token_name(token) in names:
                return writing_trouble(folder)
        if time.monotonic() >= end:
            return "not the folder that process 0 writes to"
        time.sleep(0.2)


def gather_json(value: object) -> list[Any]:
    """Return the values of all processes, of any length; all must call it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    text = json.dumps(value)
    longest = max(int(said) for said in gather_text(str(len(text))))
    parts = [
        gather_text(text[start : start + _PART]) for start in range(0, longest, _PART)
    ]
    return [json.loads("".join(own)) for own in zip(*parts, strict=True)]
