"""Small made copies of public corpora, and no way to the network."""

import dataclasses
import importlib
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from labelgraph_jax.data.corpora.sources import Source


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only file: addresses open, and no local copies are named from outside."""
    real = urllib.request.urlopen

    def urlopen(url, *args, **kwargs):
        if not str(url).startswith("file:"):
            raise urllib.error.URLError("no network in tests")
        return real(url, *args, **kwargs)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.delenv("LABELGRAPH_DATA", raising=False)


@pytest.fixture
def change_source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Replaces fields of a corpus's source, for a test with small made files."""

    def change(name: str, **fields) -> Source:
        package = f"labelgraph_jax.data.corpora.{name}"
        module = importlib.import_module(package)
        changed = dataclasses.replace(module.SOURCE, **fields)
        monkeypatch.setattr(module, "SOURCE", changed)
        return changed

    return change
