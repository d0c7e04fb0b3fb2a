"""Text to token ids and back, prompt templates, and stop tokens. Imports `tokenizers` only, not transformers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from intro.model.checkpoints import read_json, read_tokenizer
from intro.types import IntroError, Problem

CONFIGS = ("config.json", "generation_config.json")
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class ModelTokenizer:
    """A model folder's tokenizer with its pad and stop ids."""

    raw: object  # tokenizers.Tokenizer
    pad: int
    # end tokens of config.json, generation_config.json and the tokenizer's settings, which differ for Qwen models
    stop: tuple[int, ...]
    bos: tuple[int, ...] = ()  # the tokens that the tokenizer puts before every text: none for Qwen

    @classmethod
    def from_folder(cls, folder: str | Path) -> ModelTokenizer:
        """Read tokenizer.json and the settings beside it.

        Raises IntroError when tokenizer.json is missing, a file is damaged, or no file names an end token.
        """
        folder = Path(folder)
        tokenizer = read_tokenizer(folder)
        configs, settings = (
            [read_json(folder / name) for name in names if (folder / name).is_file()] for names in (CONFIGS, SETTINGS)
        )
        eos = [_id_of(tokenizer, record.get("eos_token")) for record in settings]
        for ids in (record.get("eos_token_id") for record in configs):
            eos += ids if isinstance(ids, list) else [ids]
        stop = sorted(set(eos) - {None})
        if not stop:
            problem = "no eos_token_id in config.json and no eos_token of the tokenizer, so no response would end"
            raise IntroError(f"{folder}: {problem}; add one of them")
        pads = [record.get("pad_token_id") for record in configs]
        pads += [_id_of(tokenizer, record.get("pad_token")) for record in settings]
        pad = next((token for token in pads if token is not None), stop[0])
        bos = tuple(takewhile(lambda token: token not in stop, tokenizer.encode("").ids))  # an end token may follow
        return cls(tokenizer, pad, tuple(stop), bos)

    def prompts(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of prompts, each after the model's BOS token if it has one."""
        return [[*self.bos, *e.ids] for e in self.raw.encode_batch(list(texts), add_special_tokens=False)]

    def encode(self, text: str) -> list[int]:
        """Token ids of the text, without special tokens."""
        return self.raw.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the tokens, without special tokens."""
        return self.raw.decode(list(tokens), skip_special_tokens=True)


def _id_of(tokenizer: object, token: object) -> int | None:
    """The id of a special token, which settings write as a string or as {"content": string}; None when unknown."""
    content = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(content) if isinstance(content, str) else None


def render(template: str, problem: Problem, answer: str | None = None) -> str:
    """Fill a prompt template: `{question}` and, for x (+) y, `{answer}`, the gold answer unless `answer` is given."""
    return template.format(question=problem.question, answer=problem.answer if answer is None else answer)
