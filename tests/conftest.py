"""Settings every test shares: one CPU device, no network, and the data folder."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("LABELGRAPH_TEST_DEVICES", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import pytest

import tests.examples  # noqa: F401  how many examples hypothesis draws
from tests.compiled import keep_compiled_programs
from tests.xla import flags

# What a shell starts in the background ignores Ctrl-C, and so would what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

devices = int(os.environ["LABELGRAPH_TEST_DEVICES"])
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags(devices)}"
keep_compiled_programs()

# Each folder has its number of devices; test_devices.py starts the other one.
collect_ignore = [] if devices == 8 else ["devices"]

if TYPE_CHECKING:
    from labelgraph_jax.config import DataConfig
    from tests.zoo import Zoo


# Files that take long begin, so that none of them is left when all others are done.
LONGEST_FIRST = (
    "tests/test_devices.py",
    "tests/runs/test_fit.py",
    "tests/runs/test_stopping.py",
    "tests/inspection/report/test_kinds_of_runs.py",
)
# What starts other programs does so through one of these fixtures.
MARKED_BY_FIXTURE = {
    "browser": ("browser", "process"),
    "served": ("process",),
    "shell": ("process",),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by their fixtures, and begins with the files that take longest."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            for mark in MARKED_BY_FIXTURE.get(fixture, ()):
                item.add_marker(mark)
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.split("::")[0], len(place)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of local corpus copies; the test skips where there is none."""
    named = os.environ.get("LABELGRAPH_DATA")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no local copies of the public corpora at {root}")
    return root


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> "Zoo":
    """Finished runs of every kind, shared by all processes of this test run."""
    from tests.zoo import Zoo

    base = tmp_path_factory.getbasetemp()
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    return Zoo((base.parent if parallel else base) / "zoo")


@pytest.fixture(scope="session")
def tiny_data(zoo: "Zoo") -> "DataConfig":
    """A made corpus of 48, 16 and 24 documents and five labels."""
    return zoo.data


@pytest.fixture(scope="session")
def trained(zoo: "Zoo") -> Path:
    """The work directory of a finished run; tests read it and leave it as it is."""
    return zoo("bag")


@pytest.fixture
def minilm() -> Path:
    """The folder of the MiniLM encoder; the test skips where it is not installed."""
    from labelgraph_jax.modules.pretrained import PretrainedError, find_pretrained

    try:
        return find_pretrained("minilm")
    except PretrainedError as error:
        pytest.skip(str(error))


@pytest.fixture
def encodings_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which encodings are cached during the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "labelgraph_jax" / "encodings"
