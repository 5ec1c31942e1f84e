"""Small folders as the Extreme Classification Repository and PECOS write them."""

import gzip
import json
from pathlib import Path

import numpy as np
from scipy import sparse

TEXTS = {"trn": ["red wine", "white wine", "red car"], "tst": ["a car", "wine"]}
NAMES = ["wine", "colour", "car", "unused"]
SETS = {"trn": [[0, 1], [0], [1, 2]], "tst": [[2], []]}


def matrix(split: str) -> sparse.csr_array:
    dense = np.zeros((len(SETS[split]), len(NAMES)), np.float32)
    for row, labels in enumerate(SETS[split]):
        dense[row, labels] = 1
    return sparse.csr_array(dense)


def pairs(split: str) -> str:
    rows = [" ".join(f"{i}:1.0" for i in labels) for labels in SETS[split]]
    return "\n".join([f"{len(rows)} {len(NAMES)}", *rows, ""])


def write_repository(folder: Path) -> Path:
    for split in ("trn", "tst"):
        (folder / f"{split}_X.txt").write_text("\n".join(TEXTS[split]) + "\n")
        (folder / f"{split}_X_Y.txt").write_text(pairs(split))
    (folder / "Y.txt").write_text("\n".join(NAMES) + "\n")
    return folder


def write_pecos(folder: Path) -> Path:
    for split in ("trn", "tst"):
        with gzip.open(folder / f"X.{split}.txt.gz", "wt") as file:
            file.write("\n".join(TEXTS[split]) + "\n")
        sparse.save_npz(folder / f"Y.{split}.npz", matrix(split))
    (folder / "output-labels.txt").write_text("\n".join(NAMES) + "\n")
    return folder


def write_json(folder: Path) -> Path:
    def write(name: str, rows: list[dict[str, object]]) -> None:
        with gzip.open(folder / f"{name}.json.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    write("lbl", [{"uid": f"L{n}", "title": n, "content": ""} for n in NAMES])
    for split in ("trn", "tst"):
        write(
            split,
            [
                {"uid": f"{split}{i}", "title": text, "content": "", "target_ind": s}
                for i, (text, s) in enumerate(
                    zip(TEXTS[split], SETS[split], strict=True)
                )
            ],
        )
    return folder


def write_features(folder: Path, *, npz: bool) -> Path:
    """Features in place of texts: three of them, a value of 0.5 each."""
    for split in ("trn", "tst"):
        rows = len(SETS[split])
        values = sparse.csr_array(np.eye(rows, 3, dtype=np.float32) / 2)
        if npz:
            sparse.save_npz(folder / f"X.{split}.npz", values)
            sparse.save_npz(folder / f"Y.{split}.npz", matrix(split))
        else:
            lines = [f"{i}:0.5" for i in range(rows)]
            text = "\n".join([f"{rows} 3", *lines, ""])
            (folder / f"{split}_X_Xf.txt").write_text(text)
            (folder / f"{split}_X_Y.txt").write_text(pairs(split))
    return folder
