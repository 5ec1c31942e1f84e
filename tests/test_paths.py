"""A work directory finds its files from any current directory."""

from pathlib import Path

import pytest

from labelgraph_jax.config import Config, DataConfig, TextConfig
from labelgraph_jax.config.schema import with_absolute_paths


def test_the_paths_of_a_run_do_not_depend_on_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(
        data=DataConfig(data="a.jsonl", test=str(tmp_path / "t.jsonl")),
        text=TextConfig(vectors="file", vectors_file="sub/v.txt"),
    )
    monkeypatch.chdir(tmp_path)
    stored = with_absolute_paths(config)
    assert stored.data.data == str(tmp_path / "a.jsonl")
    assert stored.data.test == str(tmp_path / "t.jsonl")
    assert stored.data.validation == stored.data.data_dir == ""
    assert stored.text.vectors_file == str(tmp_path / "sub" / "v.txt")
    monkeypatch.chdir("/")
    assert with_absolute_paths(stored) == stored
    assert with_absolute_paths(Config()) == Config()
