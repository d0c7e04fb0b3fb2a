"""Words to ids and back, prompt templates, and where a model stops. Uses `tokenizers` only: no transformers import."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from intro.types import IntroError, Problem

CONFIGS = ("config.json", "generation_config.json")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class ModelTokenizer:
    """A model folder's tokenizer with its pad and stop ids."""

    raw: object  # tokenizers.Tokenizer
    pad: int
    # from config.json, generation_config.json and the tokenizer's own settings: they differ for Qwen models
    stop: tuple[int, ...]
    bos: tuple[int, ...] = ()  # what the tokenizer itself puts before every text: nothing for Qwen

    @classmethod
    def from_folder(cls, folder: str | Path) -> ModelTokenizer:
        from tokenizers import Tokenizer

        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise IntroError(f"{folder}: expected a Hugging Face model folder, found no tokenizer.json in it")
        stop, pad = set(), None
        try:
            tokenizer = Tokenizer.from_file(str(file))
            records, settings = (
                [json.loads((folder / name).read_text()) for name in names if (folder / name).is_file()]
                for names in (CONFIGS, SETTINGS)
            )
            before = tokenizer.encode("").ids
        except Exception as error:  # tokenizers raises nothing more specific
            raise IntroError(f"{folder}: the model folder is damaged ({error}); delete it and make it again") from None
        for record in records:
            found = record.get("eos_token_id")
            stop |= set(found) if isinstance(found, list) else {found} - {None}
            pad = record.get("pad_token_id") if pad is None else pad
        for record in settings:
            stop |= {_named(tokenizer, record.get("eos_token"))} - {None}
            pad = _named(tokenizer, record.get("pad_token")) if pad is None else pad
        if not stop:
            raise IntroError(
                f"{folder}: no eos_token_id in config.json and no eos_token of the tokenizer, "
                "so nothing would ever end a response"
            )
        bos = tuple(takewhile(lambda token: token not in stop, before))  # a tokenizer may end texts as well
        return cls(tokenizer, min(stop) if pad is None else pad, tuple(sorted(stop)), bos)

    def prompts(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids of prompts: texts as the model expects them to begin, with its BOS where it has one."""
        return [[*self.bos, *ids] for ids in self.encode_all(texts)]

    def encode(self, text: str) -> list[int]:
        """Ids of the text and nothing else."""
        return self.raw.encode(text, add_special_tokens=False).ids

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        return [e.ids for e in self.raw.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the tokens, special ones left out."""
        return self.raw.decode(list(tokens), skip_special_tokens=True)


def _named(tokenizer: object, token: object) -> int | None:
    """The id of a special token as settings write it: its string, or a record that holds it."""
    content = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(content) if isinstance(content, str) else None


def render(template: str, problem: Problem, answer: str | None = None) -> str:
    """A prompt: `{question}` and, for x (+) y, `{answer}` (the problem's own unless another is given)."""
    return template.format(question=problem.question, answer=problem.answer if answer is None else answer)
