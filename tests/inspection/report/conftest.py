"""One finished run, its report, and a browser to open it in."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.config import DataConfig
from labelgraph_jax.inspection.report import WrittenReport, write_report
from labelgraph_jax.runs.fit import fit
from tests.tiny import tiny_config
from tests.zoo import Zoo


@pytest.fixture(scope="session")
def nasty_data(zoo: Zoo) -> DataConfig:
    return zoo.nasty


@pytest.fixture(scope="session")
def finished(zoo: Zoo) -> Path:
    """A finished run with a learned graph, and a baseline beside it; leave it so."""
    return zoo("report")


@pytest.fixture(scope="session")
def written(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    return write_report(finished, out=tmp_path_factory.mktemp("written") / "here")


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; the test skips where there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"needs a browser: one of {', '.join(names)}")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"]
        )
        yield started
        started.close()


def tiny_run(folder: Path, data: DataConfig, **changes: Any) -> Path:
    """Another kind of run, as short as can be."""
    sections = {
        name: changes.pop(name)
        for name in ("text", "graph", "training")
        if name in changes
    }
    config = tiny_config(data, **sections)
    fit(dataclasses.replace(config, **changes), folder, progress=False)
    return folder


def data_of(page: Path) -> dict[str, Any]:
    """What the script of a page reads."""
    text = page.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found
