"""Balance of several tasks by their gradients: conflicts, and norms that are evened."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, PyTree

from labelgraph_jax.functional.checks import check_axes, check_numbers


def gradient_products(gradients: PyTree[ArrayLike]) -> Float[Array, "T T"]:
    """Inner products of the tasks' gradients, in float32.

        products[t, u] = sum over parameters of g_t g_u

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> gradients = {"kernel": jnp.array([[1.0, 2.0], [-1.0, 0.0]])}  # two tasks
        >>> lg.functional.gradient_products(gradients).tolist()
        [[5.0, -1.0], [-1.0, 1.0]]

    Args:
        gradients: a tree whose leaves are `[T, ...]`, one gradient per task.

    Raises:
        ValueError: no leaf, or leaves of different T.
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(gradients)]
    shapes = [leaf.shape for leaf in leaves]
    if not leaves or not all(s and s[0] == shapes[0][0] for s in shapes):
        raise ValueError(
            "gradients must have leaves [T, ...], all of the same T; got shapes "
            f"{shapes[:3]}"
        )
    flat = (leaf.reshape(len(leaf), -1).astype(jnp.float32) for leaf in leaves)
    return sum((part @ part.T for part in flat), jnp.float32(0.0))


def project_conflicts(
    products: Float[ArrayLike, "T T"], *, key: Key[Array, ""] | None = None
) -> Float[Array, " T"]:
    """Weights of the tasks' gradients once what conflicts has been projected away.

    For every task t and every other task u in turn, where the gradient of t points
    against that of u, its part along u is taken away:

        g_t <- g_t - min(g_t . g_u, 0) / |g_u|^2 g_u

    with u's gradient as it was. What is left of all tasks is summed: a weighted sum of
    the first gradients, whose weights need their inner products alone.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> opposed = jnp.array([[4.0, -1.0], [-1.0, 1.0]])  # lengths 2 and 1
        >>> lg.functional.project_conflicts(opposed).tolist()
        [1.25, 2.0]

    Args:
        products: from `gradient_products`.
        key: draws in which order each task meets the others; in their own order by
            default. Of two tasks it makes no difference.

    Returns:
        Float32 weights; all 1 where no two gradients conflict.

    Raises:
        ValueError: products are not square.

    Reference: Yu et al., Gradient Surgery for Multi-Task Learning (PCGrad), NeurIPS
    2020, algorithm 1.
    """
    check_numbers(products=products)
    check_axes(products=(products, "T T"))
    products = jnp.asarray(products, jnp.float32)
    count = len(products)
    orders = jnp.broadcast_to(jnp.arange(count), (count, count))
    if key is not None:
        keys = jax.random.split(key, count)
        orders = jax.vmap(lambda k: jax.random.permutation(k, count))(keys)

    def of_task(task: Array, order: Array) -> Array:
        def meet(weights: Array, other: Array) -> tuple[Array, None]:
            along = weights @ products[:, other]
            length = products[other, other]
            safe = jnp.where(length > 0, length, 1.0)
            takes = (other != task) & (length > 0)
            share = jnp.where(takes, jnp.minimum(along, 0.0) / safe, 0.0)
            return weights.at[other].add(-share), None

        alone = (jnp.arange(count) == task).astype(jnp.float32)
        return jax.lax.scan(meet, alone, order)[0]

    return jax.vmap(of_task)(jnp.arange(count), orders).sum(axis=0)


def gradient_norm_loss(
    log_weights: Float[ArrayLike, " T"],
    norms: Float[ArrayLike, " T"],
    losses: Float[ArrayLike, " T"],
    first_losses: Float[ArrayLike, " T"],
    *,
    restoring: float = 1.5,
) -> Float[Array, ""]:
    """Distance of the tasks' weighted gradient norms from what their progress asks for.

        w = T softmax(log_weights)
        loss = sum_t | w_t n_t - mean(w n) r_t^restoring |

    r_t is the part of its first loss that task t still has, over the mean of all: a
    task that lags behind may pull harder. What is asked for counts as a constant: the
    gradient in `log_weights` moves the weights alone.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> loss = lg.functional.gradient_norm_loss
        >>> ones = jnp.ones(2)
        >>> float(loss(jnp.zeros(2), jnp.array([3.0, 1.0]), ones, ones))
        2.0

    Args:
        log_weights: a parameter; zeros weigh all tasks alike, 1 each.
        norms: n, of every task's own gradient in what the tasks share.
        losses: of every task, now.
        first_losses: the same before training.
        restoring: how strongly a task that lags behind is helped; 0 evens the norms.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Chen et al., GradNorm, ICML 2018, equations 1 and 2. Theirs clips and
    rescales the weights after each step; a softmax keeps them positive with sum T.
    """
    given = {
        "log_weights": log_weights,
        "norms": norms,
        "losses": losses,
        "first_losses": first_losses,
    }
    check_numbers(**given)
    check_axes(**{name: (array, "T") for name, array in given.items()})
    log_weights, norms, losses, first = (
        jnp.asarray(array, jnp.float32) for array in given.values()
    )
    weighted = balanced_weights(log_weights) * norms
    left = losses / jnp.maximum(first, jnp.finfo(jnp.float32).tiny)
    rates = left / jnp.maximum(left.mean(), jnp.finfo(jnp.float32).tiny)
    asked = jax.lax.stop_gradient(weighted.mean() * rates**restoring)
    return jnp.sum(jnp.abs(weighted - asked))


def balanced_weights(log_weights: Float[ArrayLike, " T"]) -> Float[Array, " T"]:
    """Weights of the tasks from a parameter of `gradient_norm_loss`; their sum is T.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> lg.functional.balanced_weights(jnp.zeros(3)).tolist()
        [1.0, 1.0, 1.0]
    """
    check_axes(log_weights=(log_weights, "T"))
    log_weights = jnp.asarray(log_weights, jnp.float32)
    return len(log_weights) * jax.nn.softmax(log_weights)
