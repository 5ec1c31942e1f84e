"""The metrics as plain loops in float64, written from their definitions."""

import math

import numpy as np


def ratio(numerator, denominator):
    return numerator / denominator if denominator else 0.0


def rank_labels(scores):
    """Label indices from the highest score down, ties by index."""
    return sorted(range(len(scores)), key=lambda n: (-float(scores[n]), n))


def hits(scores, targets, k):
    return [bool(targets[n] > 0) for n in rank_labels(scores)[:k]]


def positives(targets):
    return sum(1 for target in targets if target > 0)


def precision_at_k(scores, targets, k):
    return sum(hits(scores, targets, k)) / k


def recall_at_k(scores, targets, k):
    return ratio(sum(hits(scores, targets, k)), positives(targets))


def r_precision_at_k(scores, targets, k):
    return ratio(sum(hits(scores, targets, k)), min(k, positives(targets)))


def ndcg_at_k(scores, targets, k):
    gain, ideal = 0.0, 0.0
    for rank, hit in enumerate(hits(scores, targets, k), start=1):
        gain += hit / math.log2(rank + 1)
    for rank in range(1, min(k, positives(targets)) + 1):
        ideal += 1 / math.log2(rank + 1)
    return ratio(gain, ideal)


def inverse_propensities(counts, documents, a=0.55, b=1.5):
    c = max(math.log(documents) - 1, 0) * (b + 1) ** a
    return [1 + c * (count + b) ** -a for count in counts]


def psp_at_k(scores, targets, worth, k):
    ranked = rank_labels(scores)[:k]
    gained = sum(worth[n] for n in ranked if targets[n] > 0) / k
    values = sorted((w for w, t in zip(worth, targets, strict=True) if t > 0))
    return gained, sum(values[::-1][:k]) / k


def average_precision(scores, targets):
    """Of one list of scores: by recall steps over the distinct scores."""
    total, previous, area = positives(targets), 0.0, 0.0
    for cut in sorted({float(score) for score in scores}, reverse=True):
        predicted = [float(score) >= cut for score in scores]
        tp = sum(p and t > 0 for p, t in zip(predicted, targets, strict=True))
        recall = ratio(tp, total)
        area += (recall - previous) * tp / sum(predicted)
        previous = recall
    return area


def label_ranking_average_precision(scores, targets):
    """Of one document: over its labels, by ranks that count ties against them."""
    shares = []
    for n, target in enumerate(targets):
        if target > 0:
            at_least = [m for m in range(len(scores)) if scores[m] >= scores[n]]
            shares.append(sum(targets[m] > 0 for m in at_least) / len(at_least))
    return sum(shares) / len(shares) if shares else 1.0


def f1_parts(predictions, targets):
    """tp, fp, fn of one list of decisions."""
    tp = fp = fn = 0
    for predicted, target in zip(predictions, targets, strict=True):
        tp += bool(predicted and target > 0)
        fp += bool(predicted and not target > 0)
        fn += bool(not predicted and target > 0)
    return tp, fp, fn


def precision_recall_f1(tp, fp, fn):
    return ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn)


def evaluate_masked(
    scores, targets, thresholds, train_label_counts, train_documents, ks, mask
):
    """Every metric by lists of the annotated cells alone: there is nothing to mask."""
    m, n = scores.shape
    rows = []
    for i in range(m):
        kept = [j for j in range(n) if mask[i, j]]
        if kept:
            rows.append((scores[i, kept], targets[i, kept], thresholds[kept], kept))
    columns = []
    for j in range(n):
        kept = [i for i in range(m) if mask[i, j]]
        if kept:
            columns.append((scores[kept, j], targets[kept, j], thresholds[j]))
    by_row = [f1_parts(s >= t, y) for s, y, t, _ in rows]
    by_column = [f1_parts(s >= t, y) for s, y, t in columns]
    pooled = [sum(parts) for parts in zip(*by_column, strict=True)]
    result = {}
    for average, groups in (
        ("micro", [pooled]),
        ("macro", by_column),
        ("samples", by_row),
    ):
        each = [precision_recall_f1(*group) for group in groups]
        for name, values in zip(
            ("precision", "recall", "f1"), zip(*each, strict=True), strict=True
        ):
            result[f"{average}_{name}"] = sum(values) / len(each)
    seen = [precision_recall_f1(*p)[2] for p in by_column if p[0] + p[2]]
    result["macro_f1_present"] = ratio(sum(seen), len(seen))
    cells = sum(len(kept) for _, _, _, kept in rows)
    result["hamming_loss"] = sum(fp + fn for _, fp, fn in by_row) / cells
    result["subset_accuracy"] = sum(fp + fn == 0 for _, fp, fn in by_row) / len(rows)
    worth = [
        inverse_propensities([count], documents)[0]
        for count, documents in zip(train_label_counts, train_documents, strict=True)
    ]
    for k in ks:
        for name, metric in (
            ("P", precision_at_k),
            ("R", recall_at_k),
            ("RP", r_precision_at_k),
            ("nDCG", ndcg_at_k),
        ):
            values = [metric(s, y, k) for s, y, _, _ in rows]
            result[f"{name}@{k}"] = sum(values) / len(rows)
        halves = [psp_at_k(s, y, [worth[j] for j in kept], k) for s, y, _, kept in rows]
        result[f"PSP@{k}"] = ratio(*(sum(half) for half in zip(*halves, strict=True)))
    shares = [label_ranking_average_precision(s, y) for s, y, _, _ in rows]
    result["LRAP"] = sum(shares) / len(rows)
    precisions = [average_precision(s, y) for s, y, _ in columns if positives(y)]
    result["mAP"] = ratio(sum(precisions), len(precisions))
    return {name: float(np.float64(value)) for name, value in result.items()}


def evaluate_scores(
    scores, targets, thresholds, train_label_counts, train_documents, ks
):
    m, n = scores.shape
    predictions = [[scores[i, j] >= thresholds[j] for j in range(n)] for i in range(m)]
    columns = [
        f1_parts([row[j] for row in predictions], targets[:, j]) for j in range(n)
    ]
    rows = [f1_parts(predictions[i], targets[i]) for i in range(m)]
    result = {}

    def put(average, values):
        for name, value in zip(("precision", "recall", "f1"), values, strict=True):
            result[f"{average}_{name}"] = value

    put(
        "micro",
        precision_recall_f1(*(sum(parts) for parts in zip(*columns, strict=True))),
    )
    for average, groups in (("macro", columns), ("samples", rows)):
        each = [precision_recall_f1(*group) for group in groups]
        put(average, (sum(values) / len(each) for values in zip(*each, strict=True)))
    seen = [precision_recall_f1(*parts)[2] for parts in columns if parts[0] + parts[2]]
    result["macro_f1_present"] = ratio(sum(seen), len(seen))
    result["hamming_loss"] = sum(fp + fn for _, fp, fn in rows) / (m * n)
    result["subset_accuracy"] = sum(fp + fn == 0 for _, fp, fn in rows) / m
    worth = inverse_propensities(train_label_counts, train_documents)
    for k in ks:
        for name, metric in (
            ("P", precision_at_k),
            ("R", recall_at_k),
            ("RP", r_precision_at_k),
            ("nDCG", ndcg_at_k),
        ):
            values = [metric(scores[i], targets[i], k) for i in range(m)]
            result[f"{name}@{k}"] = sum(values) / m
        halves = [psp_at_k(scores[i], targets[i], worth, k) for i in range(m)]
        result[f"PSP@{k}"] = ratio(*(sum(half) for half in zip(*halves, strict=True)))
    result["LRAP"] = (
        sum(label_ranking_average_precision(scores[i], targets[i]) for i in range(m))
        / m
    )
    with_positives = [j for j in range(n) if positives(targets[:, j])]
    result["mAP"] = ratio(
        sum(average_precision(scores[:, j], targets[:, j]) for j in with_positives),
        len(with_positives),
    )
    return {name: float(np.float64(value)) for name, value in result.items()}
