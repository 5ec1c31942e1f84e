"""Description of a service's model."""

from typing import Any

from labelgraph_jax.predictors.ensemble import Ensemble
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.training.checkpoint import CheckpointStore


def about_model(model: Model) -> dict[str, Any]:
    """Name and step, encoder, labels, decision, and what its test split gave."""
    place, text = model.workdir, model.config.text
    found: dict[str, Any] = {
        "model": {"name": place.path.resolve().name, "step": _step(model)},
        "encoder": text.encoder,
        "vectors": text.vectors,
        "max_length": text.max_length,
        "long_documents": text.long_documents,
        "labels": len(model.labels),
        "tasks": list(model.task_names),
        "label_chunk": model.label_chunk,
        "decision": model.decision.summary(),
        "memory": None if model.memory is None else model.memory.config.kind,
        "members": None,
        "corpus": None,
        "metrics": None,
    }
    if isinstance(model, Ensemble):
        found["members"] = [
            {**about_model(member)["model"], "weight": float(weight)}
            for member, weight in zip(model.members, model.weights, strict=True)
        ]
    try:
        results = place.results()
    except WorkdirError:
        return found
    test = results.get("test") or {}
    return found | {"corpus": results.get("corpus"), "metrics": test.get("metrics")}


def _step(model: Model) -> int:
    """Return the step of the restored checkpoint, of an ensemble the first member's."""
    if isinstance(model, Ensemble):
        return _step(model.members[0])
    with CheckpointStore(model.workdir.checkpoints) as store:
        step = store.best_step
    return -1 if step is None else int(step)


def label_rows(model: Model, offset: int, limit: int) -> dict[str, object]:
    """A page of the labels.

    Args:
        model: whose labels they are.
        offset: the first one, from 0.
        limit: how many at most.
    """
    space, thresholds = model.label_space, model.thresholds
    names = space.names[offset : offset + limit]
    rows = [
        {
            "name": name,
            "threshold": round(float(thresholds[offset + i]), 6),
            "description": space.descriptions.get(name, ""),
            "parents": list(space.parents.get(name, ())),
        }
        for i, name in enumerate(names)
    ]
    last = offset + len(rows) >= len(space)
    return {
        "labels": rows,
        "total": len(space),
        "offset": offset,
        "next": None if last else offset + len(rows),
    }
