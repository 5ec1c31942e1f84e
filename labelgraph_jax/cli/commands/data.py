"""Verbs about a corpus or file: data stats, validate, export, list."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from labelgraph_jax.cli.options import Data, Json, Quiet, Source
from labelgraph_jax.cli.output import in_options, remarks, show, tell, write
from labelgraph_jax.config import Config, ConfigError, DataConfig, TableConfig
from labelgraph_jax.config.wording import counted

if TYPE_CHECKING:
    from labelgraph_jax.data.problems import Problem


def source_config(source: str, data_config: DataConfig) -> DataConfig:
    """Return `source` as the corpus or file of a data configuration.

    Raises:
        ConfigError: it is neither.
    """
    from labelgraph_jax.data.corpora import corpus_names, is_corpus
    from labelgraph_jax.data.readers.folders import is_source

    if is_corpus(source):
        return dataclasses.replace(data_config, corpus=source, data="")
    if not is_source(source):
        raise ConfigError(
            f"{source}: neither a file nor a corpus; the corpora are "
            f"{', '.join(corpus_names())}"
        )
    return dataclasses.replace(data_config, data=source)


@dataclass(frozen=True, kw_only=True)
class DataStats:
    """Tell what a corpus or file holds: documents, labels, lengths, problems.

    With tasks of a table: how its tasks and columns would be read.

    Examples:
      labelgraph data stats mine.jsonl
      labelgraph data stats clicks.parquet --task click=binary --task rating=auto
    """

    source: Source
    """A file, or the name of a corpus."""
    data_config: Data = field(default_factory=DataConfig)
    table: TableConfig = field(default_factory=TableConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Read the corpus or the table, and print what it holds."""
        from labelgraph_jax.cli.corpora import print_statistics
        from labelgraph_jax.data.statistics import corpus_statistics
        from labelgraph_jax.runs.corpus import layout_lines, read_corpus

        if self.table.tasks:
            return self._execute_on_table()
        corpus = read_corpus(source_config(self.source, self.data_config), split=False)
        statistics = corpus_statistics(corpus)
        if not (self.json or self.quiet):
            write("\n".join(layout_lines(corpus)))
        return show(self, statistics, print_statistics)

    def _execute_on_table(self) -> int:
        from labelgraph_jax.runs.tables.problem import TableProblem

        data = dataclasses.replace(self.data_config, data=self.source)
        lines: list[str] = []
        problem = TableProblem(Config(data=data, table=self.table))
        prepared = problem.prepare(problem.read(), lines.append)
        tasks = [target.to_json() for target in prepared.targets]
        found = {"tasks": tasks, **json.loads(prepared.schema.to_json())}
        return show(self, found, lambda _: write("\n".join(lines)))


@dataclass(frozen=True, kw_only=True)
class DataValidate:
    """Check a corpus or file; exit code 2 where training on it would fail.

    With tasks of a table: every field that their run would refuse.

    Examples:
      labelgraph data validate mine.jsonl
      labelgraph data validate mine.csv --label-delimiter ";" --json
      labelgraph data validate clicks.parquet --task click=binary --task rating=squared
    """

    source: Source
    data_config: Data = field(default_factory=DataConfig)
    table: TableConfig = field(default_factory=TableConfig)
    json: Json = False

    def execute(self) -> int:
        """Print the problems; 2 where one of them is an error."""
        from labelgraph_jax.data.documents import DataError
        from labelgraph_jax.data.problems import unreadable, validate
        from labelgraph_jax.runs.corpus import read_corpus

        if self.table.tasks:
            return self._execute_on_table()
        wrong: list[DataError] = []
        config = source_config(self.source, self.data_config)
        corpus = read_corpus(config, split=False, complain=wrong.append)
        if len(wrong) == 1:
            raise wrong[0]
        problems = [
            dataclasses.replace(problem, message=in_options(problem.message))
            for problem in (*unreadable(wrong), *validate(corpus))
        ]
        return self._tell(problems, corpus.name)

    def _execute_on_table(self) -> int:
        from labelgraph_jax.runs.tables.validate import validate_table

        data = dataclasses.replace(self.data_config, data=self.source)
        problems = validate_table(Config(data=data, table=self.table))
        return self._tell(problems, Path(self.source).name)

    def _tell(self, problems: list[Problem], name: str) -> int:
        from labelgraph_jax.cli.corpora import print_problems

        show(self, problems, print_problems, name=name)
        return 2 if any(p.severity == "error" for p in problems) else 0


@dataclass(frozen=True, kw_only=True)
class DataCompare:
    """Tell whether two corpora or files are alike: texts, words and labels.

    A classifier of words, judged on documents it was not fitted on, says whether the
    two can be told apart. Labels are compared where both have them; no model is needed.

    Examples:
      labelgraph data compare old.jsonl new.jsonl
      labelgraph data compare train.csv raw.txt --json
    """

    first: Source
    second: Source
    data_config: Data = field(default_factory=DataConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Print what tells the two apart."""
        from labelgraph_jax.cli.corpora import print_comparison
        from labelgraph_jax.runs.compare import compare, read_side

        names = (self.first, self.second)
        say = remarks(self.quiet)
        sides = [
            read_side(source_config(name, self.data_config), say) for name in names
        ]
        found = compare(*sides, names=names)
        return show(self, found, print_comparison, names=names)


@dataclass(frozen=True, kw_only=True)
class DataExport:
    """Write a split of a corpus as JSONL.

    Example:
      labelgraph data export stdlib_docs --split test --out test.jsonl
    """

    source: Source
    out: str
    """Output file: .jsonl, .jsonl.gz or .jsonl.xz."""
    split: str = "test"
    """train, validation or test."""
    json: Json = False
    quiet: Quiet = False
    data_config: Data = field(default_factory=DataConfig)

    def execute(self) -> int:
        """Write the documents of the split."""
        from labelgraph_jax.data.readers.writers import write_jsonl
        from labelgraph_jax.runs.corpus import read_corpus

        if not re.search(r"\.(jsonl|ndjson)(\.gz|\.xz)?$", self.out, re.IGNORECASE):
            raise ConfigError(
                f"--out must end in .jsonl, .jsonl.gz or .jsonl.xz, got {self.out!r}"
            )
        corpus = read_corpus(source_config(self.source, self.data_config))
        if self.split not in corpus.splits:
            raise ConfigError(
                f"--split must be one of {list(corpus.splits)}, got {self.split!r}"
            )
        documents = corpus.splits[self.split]
        write_jsonl(documents, self.out)
        return tell(
            self,
            {"documents": len(documents), "split": self.split, "out": self.out},
            f"{counted(len(documents), 'document')} written to {self.out}",
        )


@dataclass(frozen=True, kw_only=True)
class DataTaxonomy:
    """Tell what a taxonomy file says of the labels of a corpus.

    Names with several parents, names that no document carries, labels that it lacks,
    and how many labels stand beside their parents. A cycle is an error.

    Examples:
      labelgraph data taxonomy taxonomy.tsv --data mine.jsonl
      labelgraph data taxonomy auto --corpus stdlib_docs
    """

    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILE|auto")]]
    """A line `parent<TAB>child<TAB>child...` per parent; auto is the corpus's own."""
    data_config: Data = field(default_factory=DataConfig)
    json: Json = False

    def execute(self) -> int:
        """Read the taxonomy and the corpus, and print how they fit."""
        from labelgraph_jax.cli.corpora import print_taxonomy
        from labelgraph_jax.runs.corpus import taxonomy_facts

        found = taxonomy_facts(self.file, self.data_config)
        return show(self, found, print_taxonomy)


@dataclass(frozen=True, kw_only=True)
class DataList:
    """Name the corpora that can be loaded.

    Example:
      labelgraph data list
    """

    json: Json = False

    def execute(self) -> int:
        """Print the names."""
        from labelgraph_jax.data.corpora import corpus_names

        return show(self, list(corpus_names()), lambda names: write("\n".join(names)))
