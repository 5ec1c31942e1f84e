"""Every function of `lg.functional` on odd input: types, empty arrays, NaN, transforms.

The calls stand in `example_calls.py`; a function that has none fails here.
"""

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import labelgraph_jax as lg
from tests.functional.example_calls import EXAMPLES, drawn

NAMES = sorted(EXAMPLES)
ON_DEVICE = [name for name in NAMES if not EXAMPLES[name].host]
SMOOTH = [
    name
    for name in ON_DEVICE
    if EXAMPLES[name].smooth
    and any(x.dtype == np.float32 for x in drawn(name).values())
]


@pytest.fixture(autouse=True)
def as_users_call() -> Iterator[None]:
    """Without the checks of shapes and types that the tests switch on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def called(name: str, arrays: dict[str, np.ndarray]) -> Any:
    """What a function returns: the host's for NumPy arrays, the device's jitted."""
    example = EXAMPLES[name]
    if example.host:
        return example.call(**arrays)
    on_device = {array: jnp.asarray(x) for array, x in arrays.items()}
    return jax.jit(lambda a: example.call(**a))(on_device)


@functools.cache
def expected(name: str) -> Any:
    """What a function returns in float32; nothing that was traced outlives the call."""
    with jax.checking_leaks():
        return called(name, drawn(name))


def numbers(result: Any) -> list[np.ndarray]:
    """All numbers of a result, in float64."""
    leaves = jax.tree.leaves(result)
    return [
        np.asarray(x, np.float64)
        for x in leaves
        if isinstance(x, (np.ndarray, np.generic, jax.Array, float, int))
    ]


def alike(result: Any, expected: Any, tolerance: float) -> None:
    found, wanted = numbers(result), numbers(expected)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def in_type(arrays: dict[str, np.ndarray], dtype: Any) -> dict[str, np.ndarray]:
    """The arrays, those of floats in another type."""
    return {
        name: x.astype(dtype) if x.dtype == np.float32 else x
        for name, x in arrays.items()
    }


def floats(name: str) -> list[str]:
    return [array for array, x in drawn(name).items() if x.dtype == np.float32]


def test_every_function_has_an_example():
    exported = {
        name
        for name in lg.functional.__all__
        if not inspect.isclass(getattr(lg.functional, name))
    }
    assert {name.split(":")[0] for name in NAMES} - {"ThresholdFits"} == exported


@pytest.mark.parametrize("name", ON_DEVICE)
def test_numpy_arrays_and_jit_give_what_device_arrays_give(name):
    alike(EXAMPLES[name].call(**drawn(name)), expected(name), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_taken_and_promotion_is_never_left_to_jax(name):
    arrays = drawn(name)
    with jax.numpy_dtype_promotion("strict"):
        alike(called(name, arrays), expected(name), 1e-5)
        with jax.enable_x64(True):
            alike(called(name, in_type(arrays, np.float64)), expected(name), 1e-4)
            alike(called(name, arrays), expected(name), 1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_taken(name, dtype):
    arrays = in_type(drawn(name), dtype)
    with jax.numpy_dtype_promotion("strict"):
        found = called(name, arrays)
    if EXAMPLES[name].half is None:
        numbers(found)
    else:
        alike(found, expected(name), EXAMPLES[name].half)


def has_axis(name: str, letter: str) -> bool:
    forms = EXAMPLES[name].arrays.values()
    return any(letter in axis for form in forms for axis in form.split()[:-1])


@pytest.mark.parametrize(
    ("name", "letter", "count"),
    [
        (name, letter, count)
        for name in NAMES
        for letter in "BN"
        for count in (0, 1)
        if has_axis(name, letter)
    ],
)
def test_no_or_one_document_or_label_gives_numbers_or_a_sentence(name, letter, count):
    arrays = drawn(name, **{letter: count})
    try:
        found = called(name, arrays)
    except ValueError as refused:
        assert not count, refused
        assert str(refused) and "\n" not in str(refused)
        return
    for x in numbers(found):
        assert x.dtype.kind == "f"


@pytest.mark.parametrize("name", NAMES)
def test_nan_comes_out_or_is_refused(name):
    example, arrays = EXAMPLES[name], drawn(name)
    told = floats(name) if example.nan is None else example.nan
    for array in told:
        spoiled = arrays | {array: arrays[array].copy()}
        if array in example.partly:
            spoiled[array][:] = np.nan
        else:
            spoiled[array].flat[0] = np.nan
        try:
            found = example.call(**spoiled)
        except ValueError as refused:
            assert "\n" not in str(refused)
            continue
        assert any(np.isnan(x).any() for x in numbers(found)), array


@pytest.mark.parametrize("name", ON_DEVICE)
def test_vmap_is_one_after_the_other(name):
    example, arrays = EXAMPLES[name], drawn(name)
    one = {array: jnp.asarray(x) for array, x in arrays.items()}
    other = {
        array: x[::-1] if x.ndim and array != "key" else x for array, x in one.items()
    }
    both = jax.tree.map(lambda *x: jnp.stack(x), one, other)
    found = jax.jit(jax.vmap(lambda a: example.call(**a)))(both)
    single = jax.jit(lambda a: example.call(**a))
    alike(
        found, jax.tree.map(lambda *x: jnp.stack(x), single(one), single(other)), 1e-5
    )


def total(name: str, moving: dict[str, Any], fixed: dict[str, Any]) -> Any:
    """The sum of all floats that a function returns."""
    found = EXAMPLES[name].call(**moving, **fixed)
    parts = [
        jnp.sum(jnp.square(x.astype(jnp.float32)))
        for x in jax.tree.leaves(found)
        if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    return sum(parts, jnp.float32(0))


def moving_and_fixed(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, moving = drawn(name), floats(name)
    return (
        {array: jnp.asarray(arrays[array]) for array in moving},
        {array: x for array, x in arrays.items() if array not in moving},
    )


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_finite_and_forward_mode_agrees_or_is_refused(name):
    moving, fixed = moving_and_fixed(name)
    value = jax.jit(lambda moving: total(name, moving, fixed))
    gradient = jax.grad(value)(moving)
    for x in jax.tree.leaves(gradient):
        assert np.isfinite(x).all()
    ahead = jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), moving
    )
    if not EXAMPLES[name].forward:
        with pytest.raises(TypeError, match="forward-mode"):
            jax.jvp(value, (moving,), (ahead,))
        return
    _, slope = jax.jvp(value, (moving,), (ahead,))
    sloped = sum(
        float(jnp.sum(x * y))
        for x, y in zip(*map(jax.tree.leaves, (gradient, ahead)), strict=True)
    )
    np.testing.assert_allclose(slope, sloped, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_an_axis_too_many_is_refused_with_the_shapes_also_under_jit(name):
    arrays = drawn(name)
    for array, x in arrays.items():
        if array == "key" or array in EXAMPLES[name].any_shape:
            continue
        with pytest.raises(ValueError, match=r"\(.*\)|shape"):
            called(name, arrays | {array: x[..., None]})
