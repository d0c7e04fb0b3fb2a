"""Words to ids and back, prompt templates, and where a model stops. Uses `tokenizers` only: no transformers import."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from intro.types import IntroError, Problem


@dataclass(frozen=True, slots=True)
class Text:
    """A model folder's tokenizer with its pad and stop ids."""

    tokenizer: object  # tokenizers.Tokenizer
    pad: int
    stop: tuple[int, ...]  # from both config.json and generation_config.json: they differ for Qwen base models

    @classmethod
    def from_folder(cls, folder: str | Path) -> Text:
        from tokenizers import Tokenizer

        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise IntroError(f"{folder}: expected a Hugging Face model folder, found no tokenizer.json in it")
        stop, pad = set(), None
        try:
            tokenizer = Tokenizer.from_file(str(file))
            files = [folder / name for name in ("config.json", "generation_config.json")]
            records = [json.loads(file.read_text()) for file in files if file.is_file()]
        except Exception as error:  # tokenizers raises nothing more specific
            raise IntroError(f"{folder}: the model folder is damaged ({error}); delete it and make it again") from None
        for record in records:
            found = record.get("eos_token_id")
            stop |= set(found) if isinstance(found, list) else {found} - {None}
            pad = record.get("pad_token_id") if pad is None else pad
        if not stop:
            raise IntroError(f"{folder}: no eos_token_id in config.json, so nothing would ever end a response")
        return cls(tokenizer, min(stop) if pad is None else pad, tuple(sorted(stop)))

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        return [e.ids for e in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the tokens, special ones left out."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)


def render(template: str, problem: Problem, answer: str | None = None) -> str:
    """A prompt: `{question}` and, for x (+) y, `{answer}` (the problem's own unless another is given)."""
    return template.format(question=problem.question, answer=problem.answer if answer is None else answer)
