"""A made table of five tasks, and the smallest run over it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.config import (
    Config,
    DataConfig,
    MixtureConfig,
    TableConfig,
    TrainingConfig,
)

JOBS = ("clerk", "baker", "pilot")
TASKS = (
    "click=binary",
    "rating=squared:0.5",
    "genre=multi_class",
    "tags=multi_label",
    "never=binary",
)


def made_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows whose targets follow from the job and the age; some targets are missing."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        job = int(generator.integers(len(JOBS)))
        age = float(np.round(generator.uniform(20, 60), 1))
        rows.append(
            {
                "id": f"r{number}",
                "job": JOBS[job],
                "age": "" if number % 10 == 0 else age,
                "country": "de",
                "click": "" if number % 6 == 5 else int(job == 0),
                "rating": "" if number % 4 == 3 else round(100 + 5 * job + age, 2),
                "genre": ("news", "sport", "art")[job],
                "tags": "|".join(
                    tag for tag in ("old", "clerk") if _has(tag, job, age)
                ),
                "never": 0,
            }
        )
    return rows


def _has(tag: str, job: int, age: float) -> bool:
    return age > 40 if tag == "old" else job == 0


def rare_rows(count: int, seed: int, *, share: float = 0.005) -> list[dict[str, Any]]:
    """Payments of which few are fraud: those with the highest of a noisy score."""
    generator = np.random.default_rng(seed)
    amount = generator.lognormal(3, 1, count).round(2)
    hour, shop = generator.integers(0, 24, count), generator.integers(0, 12, count)
    effect = np.random.default_rng(0).normal(0, 1, 12)[shop]
    score = np.log(amount) + effect + (hour < 5) + generator.normal(0, 0.5, count)
    fraud = score >= np.quantile(score, 1 - share)
    returned = generator.random(count) < 1 / (1 + np.exp(-effect / 2))
    columns = (amount, hour, shop, fraud, returned)
    return [
        {"amount": a, "hour": h, "shop": f"s{s}", "fraud": int(f), "returned": int(r)}
        for a, h, s, f, r in zip(*columns, strict=True)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def tiny_table_config(
    data: Path,
    *,
    tasks: tuple[str, ...] = TASKS,
    drop: tuple[str, ...] = (),
    **mixture: Any,
) -> Config:
    """A run of a second or two."""
    return Config(
        data=DataConfig(data=str(data)),
        table=TableConfig(tasks=tasks, drop=drop, dim=4, min_count=1),
        mixture=MixtureConfig(**{"experts": 2, "hidden": (8,), "towers": ()} | mixture),
        training=TrainingConfig(
            epochs=3, batch_size=32, learning_rate=0.04, evaluation_batch_size=64
        ),
    )
