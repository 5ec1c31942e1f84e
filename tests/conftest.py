"""Settings every test shares: eight CPU devices, no network, and the data folder."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of local corpus copies; the test skips where there is none."""
    named = os.environ.get("LABELGRAPH_DATA")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no local copies of the public corpora at {root}")
    return root
