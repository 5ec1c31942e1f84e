"""Settings of published encoders: `config.json`, and how their authors pool and prompt.

All of them are JSON; reading them executes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from labelgraph_jax.modules.transformer import TransformerShape


class PretrainedError(ValueError):
    """Raised where published weights are missing, or are not what they should be."""


FAMILIES = (
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "mpnet",
    "electra",
    "modernbert",
)
"""Values of `model_type` that are read."""
PADDED = ("roberta", "xlm-roberta", "camembert")
"""Families whose positions begin after that of the padding token."""
ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
Json = TypeVar("Json", list, dict)
MPNET_OFFSET = 2
MPNET_BUCKETS = 32
"""Both stand in MPNet's code and not in its settings."""


def _read_json(path: Path, kind: type[Json]) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, kind):
        word = "object" if kind is dict else "list"
        raise PretrainedError(f"{path} must hold a JSON {word}")
    return value


def read_shape(folder: Path) -> TransformerShape:
    """Read `config.json` into a `TransformerShape`, whose `pooling` stays empty.

    Raises:
        PretrainedError: not JSON, of another family, or a setting is missing.
    """
    path = Path(folder) / "config.json"
    settings = _read_json(path, dict)
    family = settings.get("model_type", "bert")
    if family not in FAMILIES:
        raise PretrainedError(
            f"{path}: model_type must be one of {', '.join(FAMILIES)}, got {family!r}"
        )
    if settings.get("position_embedding_type", "absolute") != "absolute":
        raise PretrainedError(f"{path}: position_embedding_type must be 'absolute'")
    try:
        if family == "modernbert":
            return _modern_shape(settings)
        return _bert_shape(settings, family)
    except KeyError as error:
        raise PretrainedError(f"{path} lacks the setting {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PretrainedError(f"{path}: {error}") from error


def _bert_shape(settings: Mapping[str, Any], family: str) -> TransformerShape:
    # The sizes of every family; DistilBERT names them differently.
    distilled = family == "distilbert"
    names = {
        "features": "dim" if distilled else "hidden_size",
        "layers": "n_layers" if distilled else "num_hidden_layers",
        "heads": "n_heads" if distilled else "num_attention_heads",
        "hidden_features": "hidden_dim" if distilled else "intermediate_size",
    }
    sizes: dict[str, Any] = {ours: int(settings[key]) for ours, key in names.items()}
    # What some families add: padded positions, buckets, a narrower embedding.
    offset = 0
    if family in PADDED:
        offset = int(settings.get("pad_token_id", 1)) + 1
    if family == "mpnet":
        offset = MPNET_OFFSET
        buckets = settings.get("relative_attention_num_buckets", MPNET_BUCKETS)
        _require(
            buckets == MPNET_BUCKETS, "relative_attention_num_buckets", buckets, 32
        )
        sizes["position_buckets"] = MPNET_BUCKETS
    if family == "electra":
        width = int(settings.get("embedding_size", sizes["features"]))
        sizes["embedding_features"] = 0 if width == sizes["features"] else width
    # Rates, and the shape.
    dropout = "dropout" if distilled else "hidden_dropout_prob"
    attention = "attention_dropout" if distilled else "attention_probs_dropout_prob"
    return TransformerShape(
        vocabulary_size=int(settings["vocab_size"]),
        max_positions=int(settings["max_position_embeddings"]) - offset,
        position_offset=offset,
        layer_norm_epsilon=float(settings.get("layer_norm_eps", 1e-12)),
        activation=_activation(settings, "activation" if distilled else "hidden_act"),
        dropout_rate=float(settings.get(dropout, 0.1)),
        attention_dropout_rate=float(settings.get(attention, 0.1)),
        **sizes,
    )


def _modern_shape(settings: Mapping[str, Any]) -> TransformerShape:
    # Refuse biases, which these layers do not have.
    layers = int(settings["num_hidden_layers"])
    for name in ("norm_bias", "attention_bias", "mlp_bias"):
        _require(not settings.get(name, False), name, settings.get(name), False)
    # Which layers attend to all tokens, and which to near ones.
    kinds = settings.get("layer_types")
    if kinds is None:
        every = int(settings.get("global_attn_every_n_layers", 3))
        _require(every >= 1, "global_attn_every_n_layers", every, "at least 1")
        kinds = ["sliding_attention" if n % every else GLOBAL for n in range(layers)]
    known = isinstance(kinds, list) and set(kinds) <= {GLOBAL, "sliding_attention"}
    _require(
        known and len(kinds) == layers,
        "layer_types",
        kinds,
        f"{layers} times {GLOBAL} or sliding_attention",
    )
    # The reach of near layers to either side, and the rotary bases.
    reach = int(settings.get("local_attention", 128)) // 2
    _require(reach >= 1, "local_attention", settings.get("local_attention"), ">= 2")
    bases = _rotary_bases(settings)
    return TransformerShape(
        vocabulary_size=int(settings["vocab_size"]),
        features=int(settings["hidden_size"]),
        layers=layers,
        heads=int(settings["num_attention_heads"]),
        hidden_features=int(settings["intermediate_size"]),
        max_positions=int(settings.get("max_position_embeddings", 8192)),
        layer_norm_epsilon=float(settings.get("norm_eps", 1e-5)),
        activation=_activation(settings, "hidden_activation"),
        dropout_rate=float(settings.get("mlp_dropout", 0.0)),
        attention_dropout_rate=float(settings.get("attention_dropout", 0.0)),
        rotary_bases=tuple(bases[kind] for kind in kinds),
        windows=tuple(0 if kind == GLOBAL else reach for kind in kinds),
    )


GLOBAL = "full_attention"


def _rotary_bases(settings: Mapping[str, Any]) -> dict[str, float]:
    """By kind of layer, as newer settings (`rope_parameters`) or older ones say."""
    scaling = settings.get("rope_scaling")
    _require(scaling is None, "rope_scaling", scaling, None)
    whole = settings.get("global_rope_theta") or 160_000.0
    # A base of null is that of the other layers.
    local = settings.get("local_rope_theta", 10_000.0) or whole
    bases = {}
    for kind, base in ((GLOBAL, whole), ("sliding_attention", local)):
        given = (settings.get("rope_parameters") or {}).get(kind) or {}
        how = given.get("rope_type", "default")
        _require(how == "default", f"the rope_type of {kind}", how, "default")
        bases[kind] = float(given.get("rope_theta", base))
        _require(bases[kind] > 0, f"the rope_theta of {kind}", bases[kind], "above 0")
    return bases


def _require(holds: bool, name: str, found: object, must: object) -> None:
    if not holds:
        raise ValueError(f"{name} must be {must}, got {found!r}")


def _activation(settings: Mapping[str, Any], name: str) -> str:
    activation = settings.get(name, "gelu")
    if activation not in ACTIVATION_NAMES:
        raise ValueError(
            f"the activation must be one of {', '.join(ACTIVATION_NAMES)}, "
            f"got {activation!r}"
        )
    return ACTIVATION_NAMES[activation]


# --- sentence-transformers ------------------------------------------------------------

POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_cls_token": "cls",
}
PROMPTS = "config_sentence_transformers.json"
MODULES = "modules.json"
INSTEAD = "give --text.pooling mean, max or cls"


def pooling_file(folder: Path) -> Path | None:
    """The settings of the pooling that `modules.json` names; None without that file.

    Raises:
        PretrainedError: `modules.json` is malformed, names no pooling or several, or
            something that is none of transformer, pooling and normalisation.
    """
    path = Path(folder) / MODULES
    if not path.is_file():
        return None
    places = []
    for module in _read_json(path, list):
        try:
            kind, place = module["type"].rsplit(".", 1)[-1], Path(module["path"])
        except (TypeError, LookupError, AttributeError) as error:
            raise PretrainedError(
                f"{path}: every module must have a type and a path, got {module!r}"
            ) from error
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise PretrainedError(
                f"{path}: a module must be a Transformer, a Pooling or a Normalize, "
                f"got {module['type']!r}; {INSTEAD}"
            )
        if kind == "Pooling":
            places.append(place)
    if len(places) != 1 or places[0].is_absolute() or ".." in places[0].parts:
        told = ", ".join(str(place) for place in places) or "none"
        raise PretrainedError(
            f"{path}: there must be one Pooling, in a folder beside it, got {told}; "
            f"{INSTEAD}"
        )
    return Path(folder) / places[0] / "config.json"


def read_pooling(folder: Path, features: int) -> str:
    """Return how an encoder's authors pool a text; "" where they do not say.

    A `Normalize` after the pooling is accepted and has no effect: a classifier learns
    the scale of its vectors.

    Args:
        folder: of the encoder, as sentence-transformers writes one.
        features: width of its token vectors.

    Raises:
        PretrainedError: another pooling than mean, max or cls, or several together, or
            vectors of another width; the error names the file.
    """
    path = pooling_file(folder)
    if path is None:
        return ""
    settings = _read_json(path, dict)
    modes = [
        name
        for name, value in settings.items()
        if name.startswith("pooling_mode_") and value
    ]
    # Newer files name the mode, or several, in one setting.
    given = settings.get("pooling_mode")
    if isinstance(given, str):
        modes.append(given)
    elif isinstance(given, Sequence):
        modes += [str(mode) for mode in given]
    found = list(dict.fromkeys(POOLINGS.get(mode, mode) for mode in modes))
    if len(found) != 1 or found[0] not in POOLINGS.values():
        raise PretrainedError(
            f"{path}: the pooling must be one of mean, max and cls, got "
            f"{' and '.join(modes) or 'none'}; {INSTEAD}"
        )
    width = settings.get("word_embedding_dimension", features)
    if width != features:
        raise PretrainedError(
            f"{path}: word_embedding_dimension must be {features}, as in config.json, "
            f"got {width!r}"
        )
    return found[0]


def read_prompt(folder: Path) -> str:
    """Return what an encoder's authors put before a text to classify; mostly "".

    Of the prompts in `config_sentence_transformers.json` the one that is the default,
    or else is named `classification`, or else is E5's `query: `, which its authors
    advise for whatever is not search.

    Raises:
        PretrainedError: the file is malformed, or its default is none of its prompts.
    """
    path = Path(folder) / PROMPTS
    if not path.is_file():
        return ""
    settings = _read_json(path, dict)
    prompts = settings.get("prompts") or {}
    texts = prompts.values() if isinstance(prompts, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise PretrainedError(f"{path}: prompts must be texts by name, got {prompts!r}")
    default = settings.get("default_prompt_name")
    if default is not None:
        if default not in prompts:
            raise PretrainedError(
                f"{path}: default_prompt_name must be one of "
                f"{', '.join(prompts) or 'the prompts, of which there are none'}, "
                f"got {default!r}"
            )
        return str(prompts[default])
    for name, text in prompts.items():
        if name.lower() == "classification":
            return str(text)
    return "query: " if prompts.get("query") == "query: " else ""
