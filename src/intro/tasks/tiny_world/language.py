"""The tiny world's language: 34 words, one token each, separated by single spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intro.types import IntroError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, EOS = "<pad>", "<eos>"
SPECIALS = (PAD, EOS)
DIGITS = tuple("0123456789")
ANSWER, CHECK, WAIT, SO = "answer", "check", "wait", "so"
END = ";"  # closes a statement
UNKNOWN = "_"  # replaces an unknown answer
_SIGNS = ("+", "-", "*", "@", "=", END, ":", "given", UNKNOWN)
_OPERATIONS = ("max", "count", "in", "yes", "no", "reverse", "before", "rotate", "turn")
VOCABULARY = (*SPECIALS, *DIGITS, *_SIGNS, ANSWER, CHECK, WAIT, SO, *_OPERATIONS)
_KNOWN = frozenset(VOCABULARY)


def require_words(text: str, where: str) -> None:
    """Raises IntroError when `text` has a word without a token."""
    unknown = [word for word in text.split() if word not in _KNOWN]
    if unknown:
        known = " ".join(VOCABULARY)
        raise IntroError(f"{where}: expected words of the tiny world, found '{unknown[0]}'; it knows {known}")


def build_tokenizer() -> Tokenizer:
    """One token per word, ids in the order of VOCABULARY: `<pad>` is 0, `<eos>` is 1.

    There is no unknown token, so a word from outside the language raises.
    """
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in SPECIALS])
    return tokenizer


def tokenizer_settings() -> dict[str, object]:
    """Keyword arguments of `PreTrainedTokenizerFast` beside `tokenizer_object`."""
    return {"pad_token": PAD, "eos_token": EOS, "clean_up_tokenization_spaces": False}
