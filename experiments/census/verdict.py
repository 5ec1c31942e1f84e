"""Whether MMoE wins, in sentences that are made from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {"single_task": "two single-task networks", "cross_stitch": "cross-stitch"}


def verdict(record: Mapping[str, Any]) -> list[str]:
    """What the differences say of MMoE against the shared bottom, and why.

    A difference counts where the interval over rows and seeds leaves out zero.
    """
    found = {(row["model"], row["task"]): row for row in record["differences"]}
    tasks = record["tasks"]
    if ("mmoe", tasks[0]) not in found:
        return []
    lines = [_against(found["mmoe", task], task) for task in tasks]
    won = [task for task in tasks if found["mmoe", task]["interval"][0] > 0]
    if len(won) == len(tasks):
        lines.append("MMoE wins on both tasks.")
    else:
        lost = [task for task in tasks if task not in won]
        lines.append(f"MMoE does not win on {_listed(lost)}. Why:")
        lines += _reasons(record, found, lost)
    lines += _spread(record, tasks)
    return lines


def _against(row: Mapping[str, Any], task: str) -> str:
    low, high = row["interval"]
    says = "is better" if low > 0 else "is worse" if high < 0 else "is level"
    return (
        f"On {task} MMoE {says}: {_points(row['difference'])} points of AUC against "
        f"the shared bottom, 95 % interval [{_points(low)}, {_points(high)}]."
    )


def _reasons(
    record: Mapping[str, Any], found: Mapping[Any, Any], lost: Sequence[str]
) -> list[str]:
    correlation = record["correlation"]["train"]
    reasons = [f"The labels correlate by {correlation:.3f} (Pearson)."]
    if any(("single_task", task) in found for task in lost):
        reasons.append(
            "What sharing costs is what the shared bottom loses to networks that share "
            "nothing:"
        )
    for task in lost:
        row = found.get(("single_task", task))
        if row is None:
            continue
        low, high = row["interval"]
        cost = (
            "sharing costs something here, and the gates do not win it back"
            if low > 0
            else "sharing helps, and there is no conflict for gates to resolve"
            if high < 0
            else "no cost that can be seen, so that gates have no conflict to resolve"
        )
        reasons.append(
            f"on {task} single-task networks stand at {_points(row['difference'])} "
            f"[{_points(low)}, {_points(high)}] against it: {cost}."
        )
    gates = next((g for g in record["gates"] if g["model"] == "mmoe"), None)
    if gates is not None:
        over = gates["over_runs"]
        overlap, similarity = over["overlap"]["mean"], over["similarity"]["mean"]
        used = (
            "the two gates choose much the same experts"
            if overlap > 0.75
            else "the gates do part the experts between the tasks"
            if overlap < 0.5
            else "the gates share some experts and part others"
        )
        reasons.append(
            f"The tasks' gates overlap by {overlap:.2f} of their weight on the same "
            f"row, their mean weights have a cosine of {similarity:.2f}: {used}. A "
            f"gate's entropy is {over['entropy']['mean']:.2f} of the largest possible, "
            f"the least used expert has {100 * over['least_used']['mean']:.1f} % of "
            "the weight."
        )
    return reasons


def _spread(record: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    sds = {
        model["model"]: model["auc"][0]["sd"]
        for model in record["models"]
        if model["auc"][0]["sd"] is not None
    }
    if not {"mmoe", "shared_bottom"} <= sds.keys():
        return []
    means = {model["model"]: model["auc"][0]["mean"] for model in record["models"]}
    first, last = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    return [
        f"Runs of one model differ by a standard deviation of {sds['mmoe']:.5f} (MMoE) "
        f"and {sds['shared_bottom']:.5f} (shared bottom) on {tasks[0]}; from the best "
        f"model ({_name(first)}) to the last ({_name(last)}) it is "
        f"{means[first] - means[last]:.5f}."
    ]


def _name(model: str) -> str:
    return _NAMES.get(model, model.replace("_", " "))


def _points(value: float) -> str:
    return f"{100 * value:+.3f}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
