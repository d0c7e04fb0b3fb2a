"""Loads and saves models of transformers, which is imported in the functions since it takes long."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from intro.model.checkpoints import TOKENIZER_FILES, first_line, weight_files
from intro.types import IntroError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def load_model(folder: str | Path, dtype: str = "float32", device: str | torch.device = "cpu") -> PreTrainedModel:
    """A causal LM from a Hugging Face folder, in eval mode; "auto" keeps the dtype that its config names.

    Only safetensors are read, and code in the folder is never run. Raises IntroError when it is not a model folder or
    lacks some of the model's weights, which transformers would fill with random numbers.
    """
    folder = Path(folder)
    weight_files(folder)
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises many kinds for a damaged folder
        raise IntroError(f"{folder}: transformers cannot load this model folder ({first_line(error)})") from None
    if missing := sorted(report["missing_keys"]):
        problem = f"{len(missing)} of the model's weights are in no file, such as {missing[0]}"
        raise IntroError(f"{folder}: {problem}; fetch or make it again")
    # under ZeRO-3 the weights are partitioned already: "cpu", the default, leaves every weight on its device
    return (model if str(device) == "cpu" else model.to(device)).eval()


def save_model(model: PreTrainedModel, folder: Path, tokenizer_from: Path | None = None) -> None:
    """Write an ordinary Hugging Face folder; `tokenizer_from` is a folder whose tokenizer and generation settings are
    copied."""
    for file in folder.glob("*"):
        if file.is_symlink():  # in a fetched folder: writing through the link would change the published file
            file.unlink()
    model.save_pretrained(folder)
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        if tokenizer_from is not None and (tokenizer_from / name).is_file():
            shutil.copy(tokenizer_from / name, folder / name)
