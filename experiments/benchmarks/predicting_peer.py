"""A peer of `labelgraph predict`: what `predicting` fits and times, in its own process.

python predicting_peer.py {svm,fasttext} fit TRAIN MODEL
python predicting_peer.py {svm,fasttext} predict MODEL TEXTS OUT
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

AT_LEAST = 0.0
"""Distance from an SVM's hyperplane from which a label is predicted."""


def fit_svm(rows: list[dict[str, Any]], model: str) -> None:
    """Fit linear SVMs on TF-IDF of words and of characters, and keep them in a file."""
    import joblib
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import MultiLabelBinarizer
    from sklearn.svm import LinearSVC

    options: dict[str, Any] = {"min_df": 2, "sublinear_tf": True, "dtype": "float32"}
    reads = make_union(
        TfidfVectorizer(ngram_range=(1, 2), **options),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **options),
    )
    pipeline = make_pipeline(reads, OneVsRestClassifier(LinearSVC()))
    labels = MultiLabelBinarizer()
    targets = labels.fit_transform([row["labels"] for row in rows])
    pipeline.fit([row["text"] for row in rows], targets)
    joblib.dump((pipeline, labels.classes_), model)


def predict_svm(model: str, texts: list[str]) -> list[dict[str, Any]]:
    """Return the labels of texts by the kept SVMs, the surest first."""
    import joblib
    import numpy as np

    pipeline, names = joblib.load(model)
    found: list[dict[str, Any]] = []
    for scores in pipeline.decision_function(texts):
        chosen = np.flatnonzero(scores >= AT_LEAST)
        chosen = chosen[np.argsort(-scores[chosen])]
        found.append(_row(len(found), names[chosen], scores[chosen]))
    return found


def fit_fasttext(rows: list[dict[str, Any]], model: str) -> None:
    """Train fastText, one label against the rest, and keep the model in a file."""
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for row in rows:
            marks = " ".join(f"__label__{n.replace(' ', '_')}" for n in row["labels"])
            file.write(f"{marks} {' '.join(row['text'].lower().split())}\n")
        file.flush()
        options: dict[str, Any] = {"wordNgrams": 2, "minn": 3, "maxn": 5, "dim": 256}
        made = fasttext.train_supervised(file.name, loss="ova", epoch=25, **options)
        made.save_model(model)


def predict_fasttext(model: str, texts: list[str]) -> list[dict[str, Any]]:
    """Return the labels of texts by the kept fastText model."""
    import fasttext

    names, scores = fasttext.load_model(model).predict(
        [text.lower() for text in texts], k=-1, threshold=0.5
    )
    pairs = enumerate(zip(names, scores, strict=True))
    return [
        _row(place, [n.removeprefix("__label__") for n in own], each)
        for place, (own, each) in pairs
    ]


def _row(place: int, names: Any, scores: Any) -> dict[str, Any]:
    rounded = [round(float(score), 6) for score in scores]
    return {"id": str(place), "labels": list(names), "scores": rounded}


def main(kind: str, verb: str, *paths: str) -> None:
    """Fit or predict as the command line says, from and to files of JSON lines."""
    if verb == "fit":
        lines = Path(paths[0]).read_text("utf-8").splitlines()
        fit = {"svm": fit_svm, "fasttext": fit_fasttext}[kind]
        fit([json.loads(line) for line in lines], paths[1])
        return
    texts = Path(paths[1]).read_text("utf-8").splitlines()
    predict = {"svm": predict_svm, "fasttext": predict_fasttext}[kind]
    with Path(paths[2]).open("w", encoding="utf-8") as file:
        for row in predict(paths[0], texts):
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
