"""Model folders to models and back; transformers is imported here and nowhere earlier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from intro.types import IntroError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_model(folder: str | Path) -> PreTrainedModel:
    """A causal LM from a Hugging Face folder, in eval mode. Raises IntroError when the folder is not one."""
    folder = Path(folder)
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise IntroError(
            f"{folder}: expected a Hugging Face model folder with config.json and *.safetensors, found none"
        )
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    except Exception as error:  # transformers raises many kinds for a damaged folder
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise IntroError(f"{folder}: transformers cannot load this model folder ({first_line})") from None


def save_model(model: PreTrainedModel, folder: Path, tokenizer_from: Path | None = None) -> None:
    """Write an ordinary Hugging Face folder; the tokenizer's files are copied from another folder when given."""
    import shutil

    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if tokenizer_from is not None and (tokenizer_from / name).is_file():
            shutil.copy(tokenizer_from / name, folder / name)
