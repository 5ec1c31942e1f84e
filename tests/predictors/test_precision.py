"""Products in bfloat16 and gradient checkpointing: what they change, and what not."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    HeadConfig,
    MixtureConfig,
    TextConfig,
    TrainingConfig,
)
from labelgraph_jax.config.schema import with_absolute_paths
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import (
    GATES,
    MIXTURE_KINDS,
    Mixture,
    MultiTaskNetwork,
    gate_weights_of,
)
from labelgraph_jax.modules.transformer import Transformer, TransformerShape
from labelgraph_jax.predictors.building import build_classifier
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.labels import label_objective
from labelgraph_jax.runs.steps import optimizer_and_step
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.step import init_train_state
from tests.tiny import tiny_config

HALF = TrainingConfig(compute_dtype="bfloat16")
REMATERIALISED = TrainingConfig(rematerialise=True)
GRAPH = LabelGraphArrays(
    np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32),
    np.eye(5, dtype=np.float32),
    np.full(5, 0.3, np.float32),
    np.full(5, 9.0, np.float32),
)
BATCH = {
    "token_ids": np.random.default_rng(1).integers(1, 20, size=(6, 8)),
    "token_mask": np.arange(8) < np.array([[8], [5], [1], [8], [3], [8]]),
    "targets": np.random.default_rng(2).integers(0, 2, (6, 5)).astype(np.float32),
    "example_mask": np.array([True] * 5 + [False]),
}
TRANSFORMER = {"encoder": "transformer", "dim": 8, "layers": 1}


def configured(
    encoder: dict[str, Any], head: Any = "product", **training: Any
) -> Config:
    return dataclasses.replace(
        tiny_config(DataConfig(), text=encoder, graph={"layers": 0}, training=training),
        head=HeadConfig(kind=head),
    )


def classifier(
    encoder: dict[str, Any], head: Any = "product", **training: Any
) -> Classifier:
    config = configured(encoder, head, **training)
    return build_classifier(config, GRAPH, vocabulary_size=20)


def drawn(init: Any) -> Any:
    """Parameters without the compilation of their initialisers."""
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: 0.5 * generator.normal(size=leaf.shape).astype(leaf.dtype),
        jax.eval_shape(init, jax.random.key(0)),
    )


def dtypes(tree: Any) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize(
    "settings",
    [
        {"text": TextConfig(encoder="bag")},
        {"text": TextConfig(encoder="bilstm")},
        {
            "text": TextConfig(
                encoder="transformer", vectors="pretrained", trainable=False
            )
        },
    ],
    ids=["bag", "bilstm", "frozen transformer"],
)
def test_half_precision_is_refused_where_nothing_uses_it(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(
        ConfigError,
        match=r"training.compute_dtype='bfloat16' is of a trained transformer's, a "
        "CNN's and a mixture's products; this run has none of them",
    ):
        Config(**settings, training=HALF)


@pytest.mark.parametrize(
    "settings",
    [
        {"text": TextConfig(encoder="transformer")},
        {"text": TextConfig(encoder="transformer", trainable=False)},
        {"text": TextConfig(encoder="transformer", vectors="pretrained")},
        {"text": TextConfig(encoder="cnn")},
        {"mixture": MixtureConfig(kind="mmoe")},
    ],
    ids=["transformer", "frozen table", "pretrained", "cnn", "mixture"],
)
def test_half_precision_is_taken_where_something_uses_it(
    settings: dict[str, Any],
) -> None:
    assert Config(**settings, training=HALF).training.compute_dtype == "bfloat16"


@pytest.mark.parametrize("encoder", ["bag", "bilstm"])
def test_half_precision_is_taken_under_a_layer_over_a_transformer_that_is_trained(
    encoder: str,
) -> None:
    text = TextConfig(encoder=encoder, vectors="pretrained", trainable=True)
    for training in (HALF, REMATERIALISED):
        assert Config(text=text, training=training).training == training


def test_an_unknown_number_type_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training.compute_dtype must be one of .*"):
        TrainingConfig(compute_dtype="float16")  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", ["bag", "cnn", "bilstm"])
def test_gradient_checkpointing_is_refused_without_a_transformer(encoder: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=r"training.rematerialise is of a transformer that is trained; this run "
        f"has text.encoder='{encoder}'",
    ):
        Config(text=TextConfig(encoder=encoder), training=REMATERIALISED)


def test_gradient_checkpointing_is_refused_over_a_frozen_transformer() -> None:
    frozen = TextConfig(encoder="transformer", vectors="pretrained", trainable=False)
    with pytest.raises(ConfigError, match="of a transformer that is trained"):
        Config(text=frozen, training=REMATERIALISED)


@pytest.mark.parametrize("head", ["product", "label_attention", "recurrent"])
@pytest.mark.parametrize("encoder", ["transformer", "cnn"])
def test_logits_losses_and_gradients_are_float32(encoder: str, head: str) -> None:
    text = {"encoder": encoder, "dim": 8, "hidden": 4}
    model = classifier(text, head, compute_dtype="bfloat16")
    params = jax.eval_shape(lambda key: model.init(key, BATCH), jax.random.key(0))
    assert dtypes(params) == {"float32"}
    logits = jax.eval_shape(lambda p: model.apply(p, BATCH), params)
    assert logits.dtype == jnp.float32
    loss = model.own_loss or multi_label_objective(model.apply, binary_cross_entropy)
    sums = jax.eval_shape(lambda p: loss(p, BATCH, jax.random.key(1)), params)
    assert dtypes(sums) == {"float32"}
    gradient = jax.eval_shape(
        jax.grad(lambda p: loss(p, BATCH, jax.random.key(1))[0]), params
    )
    assert dtypes(gradient) == {"float32"}


@pytest.mark.parametrize("encoder", [TRANSFORMER, {"encoder": "cnn", "dim": 8}])
def test_half_precision_changes_logits_by_less_than_a_twentieth(
    encoder: dict[str, Any],
) -> None:
    whole = classifier(encoder)
    half = classifier(encoder, compute_dtype="bfloat16")
    params = drawn(lambda key: whole.init(key, BATCH))
    ours, theirs = jax.jit(lambda p: (whole.apply(p, BATCH), half.apply(p, BATCH)))(
        params
    )
    error = np.max(np.abs(ours - theirs)) / np.std(ours)
    assert 1e-6 < error < 0.05


SHAPE = TransformerShape(
    vocabulary_size=20,
    features=8,
    layers=2,
    heads=2,
    hidden_features=16,
    max_positions=8,
    dropout_rate=0.2,
    attention_dropout_rate=0.2,
)
LONG = dataclasses.replace(SHAPE, features=32, layers=6, heads=4, max_positions=512)


def squares(shape: TransformerShape, rematerialise: bool) -> Any:
    """A loss `(params, key)` over every token, with dropout; and the module."""
    model = Transformer(shape, rematerialise=rematerialise)
    ids = jnp.arange(2 * shape.max_positions).reshape(2, -1) % shape.vocabulary_size
    mask = ids > 0

    def loss(params: Any, key: jax.Array) -> jax.Array:
        rngs = {"dropout": key}
        vectors = model.apply(params, ids, mask, deterministic=False, rngs=rngs)
        return jnp.sum(jnp.sin(vectors) * mask[..., None])

    def init(key: jax.Array, *, deterministic: bool = True) -> Any:
        return model.init(
            {"params": key, "dropout": key}, ids, mask, deterministic=deterministic
        )

    return loss, init


def test_gradient_checkpointing_changes_no_gradient_with_dropout() -> None:
    shape = dataclasses.replace(SHAPE, layers=1)
    plain, init = squares(shape, False)
    saving, _ = squares(shape, True)
    params = drawn(init)

    @jax.jit
    def run(params: Any, key: jax.Array) -> Any:
        return [jax.grad(loss)(params, key) for loss in (plain, saving)]

    ours, theirs = run(params, jax.random.key(3))
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = float(np.max(np.abs(left)))
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5 * scale)
        assert scale > 0


@pytest.mark.parametrize("deterministic", [True, False])
def test_gradient_checkpointing_changes_no_parameter_s_path(
    deterministic: bool,
) -> None:
    plain, saving = (
        jax.eval_shape(partial(init, deterministic=deterministic), jax.random.key(0))
        for _, init in (squares(SHAPE, False), squares(SHAPE, True))
    )
    assert jax.tree_util.tree_leaves_with_path(
        plain
    ) == jax.tree_util.tree_leaves_with_path(saving)


def kept_bytes(shape: TransformerShape, rematerialise: bool) -> int:
    """What the gradient holds on to between its two passes; nothing is compiled."""
    loss, init = squares(shape, rematerialise)
    key = jax.random.key(0)
    backward = jax.eval_shape(
        lambda params: jax.vjp(lambda p: loss(p, key), params)[1],
        jax.eval_shape(init, key),
    )
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


def test_gradient_checkpointing_keeps_one_input_per_layer() -> None:
    plain, saving = (kept_bytes(LONG, rematerialise) for rematerialise in (False, True))
    assert saving < plain / 20
    deeper = dataclasses.replace(LONG, layers=LONG.layers + 1)
    grown = kept_bytes(deeper, True) - saving
    tokens = 2 * LONG.max_positions
    # One float32 vector a token, and the new layer's own parameters.
    assert tokens * LONG.features * 4 <= grown < 2 * tokens * LONG.features * 4


@pytest.mark.skipif(
    jax.default_backend() == "cpu",
    reason="XLA's CPU compiler merges what is computed again with the first time",
)
def test_gradient_checkpointing_takes_less_memory_in_the_compiled_program() -> None:
    def temporary(rematerialise: bool) -> int:
        loss, init = squares(LONG, rematerialise)
        key = jax.random.key(0)
        params = jax.eval_shape(init, key)
        program = jax.jit(jax.grad(loss)).lower(params, key).compile()
        return int(program.memory_analysis().temp_size_in_bytes)

    assert temporary(True) < 0.6 * temporary(False)


@pytest.mark.parametrize("kind", MIXTURE_KINDS)
def test_a_mixture_in_half_precision_gives_float32_outputs(kind: Any) -> None:
    tasks = (Task("click", "binary"), Task("colour", "multi_class", 3))
    model = MultiTaskNetwork(
        tasks, kind=kind, experts=4, shared=(5,), dtype=jnp.bfloat16
    )
    inputs = jax.ShapeDtypeStruct((5, 6), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
    assert dtypes(variables["params"]) == {"float32"}
    assert jax.eval_shape(model.apply, variables, inputs).dtype == jnp.float32


def test_the_gates_of_a_mixture_in_half_precision_are_float32() -> None:
    inputs = np.random.default_rng(0).normal(size=(32, 6))
    # Exact in bfloat16, so that what differs is the gates' own arithmetic.
    rows = jnp.asarray(inputs, jnp.bfloat16).astype(jnp.float32)
    whole = Mixture("mmoe", tasks=2, hidden=(16,), experts=4)
    half = whole.clone(dtype=jnp.bfloat16)

    @jax.jit
    def run(key: jax.Array) -> Any:
        params = whole.init(key, rows)["params"]
        params["gate_kernel"] *= 4.0
        return [
            model.apply({"params": params}, rows, mutable=GATES)
            for model in (whole, half)
        ]

    (ours, ours_left), (theirs, theirs_left) = run(jax.random.key(0))
    weights = gate_weights_of(theirs_left)
    assert weights is not None and weights.dtype == jnp.float32
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(weights, gate_weights_of(ours_left), atol=1e-5)
    assert np.max(np.abs(ours - theirs.astype(jnp.float32))) < 0.05 * np.std(ours)


def test_a_step_in_half_precision_keeps_the_whole_state_in_float32() -> None:
    encoder = {"encoder": "transformer", "dim": 4, "layers": 1}
    settings = {"compute_dtype": "bfloat16", "rematerialise": True}
    config = configured(encoder, **settings).resolved()
    model = classifier(encoder, **settings)
    optimizer, step = optimizer_and_step(
        config, label_objective(config, model), jax.random.key(0), total_steps=5
    )
    params = drawn(lambda key: model.init(key, BATCH))
    before = jax.eval_shape(lambda p: init_train_state(p, optimizer), params)
    before = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), before)
    before = before._replace(params=params)
    after, metrics = jax.jit(step)(before, BATCH)
    assert dtypes(after.params) == dtypes(metrics) == {"float32"}
    assert dtypes(after.opt_state) <= {"float32", "int32"}
    moved = jax.tree.map(lambda x, y: bool(np.any(x != y)), before, after)
    assert jax.tree.leaves(moved.params["text_encoder"]).count(True) > 9
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


def test_a_run_in_another_precision_is_another_run(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    half, whole = (
        tiny_config(
            tiny_data,
            text={"encoder": "transformer"},
            training={"compute_dtype": dtype},
        )
        for dtype in ("bfloat16", "float32")
    )
    place = Workdir(tmp_path / "w")
    place.claim(with_absolute_paths(half.resolved()), {})
    (place.checkpoints / "3").mkdir(parents=True)  # something was trained
    with pytest.raises(WorkdirError, match="belongs to a run of another") as refused:
        fit(whole, place.path, progress=False)
    assert (
        '(training.compute_dtype: "bfloat16" -> "float32"); choose another --workdir'
    ) in str(refused.value)
    assert not (place.path / ".lock").exists()
