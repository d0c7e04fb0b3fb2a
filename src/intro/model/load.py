"""Model folders to models and back; transformers is imported here and nowhere earlier."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from intro.model.checkpoints import TOKENIZER_FILES, weight_files
from intro.types import IntroError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def load_model(folder: str | Path, dtype: str = "float32", device: str | torch.device = "cpu") -> PreTrainedModel:
    """A causal LM from a Hugging Face folder, in eval mode; "auto" keeps the dtype that its config names.

    Only safetensors are read, and no code that lies in the folder is run. Raises IntroError when the folder is not one,
    or lacks weights, which transformers would fill with random numbers.
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
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise IntroError(f"{folder}: transformers cannot load this model folder ({first_line})") from None
    if lost := sorted(report["missing_keys"]):
        raise IntroError(
            f"{folder}: {len(lost)} of the model's weights are in no file, such as {lost[0]}; fetch or make it again"
        )
    # under ZeRO-3 the weights already lie where they belong, so nothing moves unless it was asked for
    return (model if str(device) == "cpu" else model.to(device)).eval()


def save_model(model: PreTrainedModel, folder: Path, tokenizer_from: Path | None = None) -> None:
    """Write an ordinary Hugging Face folder; tokenizer and generation settings are copied from another when given."""
    for file in folder.glob("*"):
        if file.is_symlink():  # of a fetched folder: writing would go through to the published file
            file.unlink()
    model.save_pretrained(folder)
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        if tokenizer_from is not None and (tokenizer_from / name).is_file():
            shutil.copy(tokenizer_from / name, folder / name)
