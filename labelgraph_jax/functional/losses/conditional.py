"""Tasks that can be positive only where another one is, learned over all rows."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.losses.tasks import Task, task_slices


def task_parents(tasks: Sequence[Task]) -> tuple[int, ...]:
    """The place of the task that each is conditional on, -1 where there is none.

    Raises:
        ValueError: the tasks are malformed; a conditional task or its parent is not
            binary, there is no such parent, or parents go round in a circle.
    """
    task_slices(tasks)
    places = {task.name: place for place, task in enumerate(tasks)}
    for task in tasks:
        seen, at = [task.name], task
        while at.given:
            parent = tasks[places[at.given]] if at.given in places else None
            if parent is None or {at.kind, parent.kind} != {"binary"}:
                kind = "not there" if parent is None else parent.kind
                raise ValueError(
                    f"task {at.name} is conditional on {at.given}: both must be binary "
                    f"tasks; it is {at.kind}, {at.given} is {kind}"
                )
            if parent.name in seen:
                raise ValueError(
                    "tasks must not be conditional on each other in a circle; got "
                    f"{' on '.join([*seen, parent.name])}"
                )
            seen.append(parent.name)
            at = parent
    return tuple(places.get(task.given, -1) for task in tasks)


def joint_outputs(
    outputs: Float[ArrayLike, "B O"], tasks: Sequence[Task]
) -> Float[Array, "B O"]:
    """Make the logit of a conditional task that of the joint event, for all rows.

        p(t) = p(parent) sigmoid(x_t)
        logit p(t) = -log(exp(-a) + exp(-x_t) + exp(-a - x_t)),  a = logit p(parent)

    The network says how likely t is once its parent has come about; the loss is that of
    the product, over every row, so that nothing is learned from a selection alone.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> from labelgraph_jax.functional import Task, joint_outputs
        >>> tasks = [Task("click", "binary"), Task("buy", "binary", given="click")]
        >>> odds = jnp.array([[0.0, 0.0]])  # p(click) = p(buy | click) = 1/2
        >>> joint = lg.functional.task_probabilities(joint_outputs(odds, tasks), tasks)
        >>> joint.round(3).tolist()
        [[0.5, 0.25]]

    Args:
        outputs: of the network, the logits of conditional tasks conditional.
        tasks: which columns are whose; a parent may be conditional itself.

    Returns:
        Float32, the columns of all other tasks unchanged.

    Raises:
        ValueError: as `task_parents`, or the tasks own another number of columns.

    Reference: Ma et al., Entire Space Multi-Task Model (ESMM), SIGIR 2018, equations
    1 to 3.
    """
    parents, slices = task_parents(tasks), task_slices(tasks)
    check_axes(outputs=(outputs, f"B {slices[-1].stop}"))
    outputs = jnp.asarray(outputs, jnp.float32)
    joint: dict[int, Float[Array, " B"]] = {}

    def column(place: int) -> Float[Array, " B"]:
        own = outputs[:, slices[place].start]
        if parents[place] < 0:
            return own
        if place not in joint:
            above = column(parents[place])
            odds = jnp.stack([-above, -own, -above - own])
            joint[place] = -jax.nn.logsumexp(odds, axis=0)
        return joint[place]

    conditional = [place for place, parent in enumerate(parents) if parent >= 0]
    found = outputs
    for place in conditional:
        found = found.at[:, slices[place].start].set(column(place))
    return found
