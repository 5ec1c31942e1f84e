"""A made copy of Census-Income: few people, whose answers follow from columns."""

import gzip
from pathlib import Path

import numpy as np

from experiments.census import corpus
from experiments.census.corpus import COLUMNS

SIZES = (240, 60, 60)


def made_people(count: int, seed: int) -> list[dict[str, str]]:
    """People: the older are married, those who own dividends earn more."""
    generator = np.random.default_rng(seed)
    people = []
    for _ in range(count):
        person = dict.fromkeys(COLUMNS, "0")
        person |= dict.fromkeys(("class_worker", "union_member"), "Not in universe")
        age, dividends = int(generator.integers(0, 90)), int(generator.integers(4))
        noise = generator.random(3) < 0.1
        person |= {
            "age": str(age),
            "stock_dividends": str(500 * dividends),
            "race": str(generator.choice(["White", "Black", "Other"])),
            "hisp_origin": str(generator.choice(["All other", "NA"])),
            "country_self": str(generator.choice(["United-States", "?"])),
            "marital_stat": ["Widowed", "Never married"][int((age < 30) ^ noise[0])],
            "education": str(
                generator.choice(
                    [
                        "Children",
                        "Associates degree-academic program",
                        "Bachelors degree(BA AB BS)",
                    ]
                )
            ),
            "income_50k": ["- 50000.", "50000+."][int((dividends > 2) ^ noise[1])],
        }
        people.append(person)
    return people


def write_named(folder: Path, name: str, people: list[dict[str, str]]) -> None:
    """A CSV with a header."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(person[column] for column in COLUMNS) for person in people]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_raw(folder: Path, name: str, people: list[dict[str, str]]) -> None:
    """As published: no header, a blank after each comma, weight and year inside."""
    lines = []
    for person in people:
        fields = [person[column] for column in COLUMNS]
        fields.insert(COLUMNS.index("mig_chg_msa"), "1700.09")
        fields.insert(len(fields) - 1, "95")
        lines.append(", ".join(fields))
    text = "\n".join(lines) + "\n"
    (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))


def make_copy(parent: Path, *, raw: bool = False, sizes=SIZES) -> Path:
    """A local copy in `parent`; its sizes must be those that the reader expects."""
    folder = parent / corpus.SOURCE.name
    folder.mkdir(parents=True)
    names = ("census-income.data", "census-income.test")
    write = write_raw if raw else write_named
    for number, rows in enumerate((sizes[0], sizes[1] + sizes[2])):
        name = names[number] if raw else ("train.csv", "test.csv")[number]
        write(folder, name, made_people(rows, seed=number))
    return parent
