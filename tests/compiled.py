"""Compiled programs are kept between the processes of the tests and between runs.

Compiling is most of what the tests do, and a program that was compiled once need not be
compiled again: not by another worker, and not by tomorrow's run. JAX's cache writes its
files in place, so that one process may read what another has half written; here they
come into being whole.
"""

import hashlib
import os
import platform
import tempfile
import time
from pathlib import Path

import jax
import jaxlib
from jax._src import compilation_cache, lru_cache

DAYS = 30
"""Programs that nobody has asked for as long are deleted."""


def folder() -> Path:
    """Where the compiled programs of this version of JAX, for this processor, lie."""
    named = os.environ.get("LABELGRAPH_TEST_CACHE")
    if named:
        return Path(named)
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(errors="replace").splitlines() if cpu.is_file() else []
    kind = [line for line in lines if line.startswith(("model name", "flags"))][:2]
    what = [jax.__version__, jaxlib.__version__, platform.machine(), *kind]
    key = hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "labelgraph_jax" / "tests" / key


class WholeFiles(lru_cache.LRUCache):
    """JAX's cache on disk, whose files are either whole or not there."""

    def put(self, key: str, value: bytes) -> None:
        path = Path(str(self.path)) / f"{key}-cache"
        if path.exists():
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(value)
        Path(temporary).replace(path)

    def get(self, key: str) -> bytes | None:
        value = super().get(key)
        if value is not None:
            os.utime(Path(str(self.path)) / f"{key}-cache")
        return value


def keep_compiled_programs() -> None:
    """Turns the cache on, for this process."""
    kept = folder()
    kept.mkdir(parents=True, exist_ok=True)
    old = time.time() - DAYS * 24 * 3600
    for path in kept.iterdir():
        try:
            if path.stat().st_mtime < old:
                path.unlink()
        except FileNotFoundError:
            continue
    compilation_cache.LRUCache = WholeFiles
    jax.config.update("jax_compilation_cache_dir", str(kept))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
