"""Calibration as loops over cells."""

import math


def calibration_bins(probabilities, targets, bins, mask=None):
    cells, positives, sums = [0] * bins, [0] * bins, [0.0] * bins
    for place, probability in enumerate(probabilities):
        if mask is not None and not mask[place]:
            continue
        number = min(math.floor(float(probability) * bins), bins - 1)
        cells[number] += 1
        positives[number] += targets[place] > 0
        sums[number] += float(probability)
    return cells, positives, sums


def expected_calibration_error(cells, positives, sums):
    total, error = sum(cells), 0.0
    for count, positive, summed in zip(cells, positives, sums, strict=True):
        if count:
            error += count / total * abs(summed / count - positive / count)
    return error
