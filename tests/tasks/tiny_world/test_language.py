from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from intro.tasks.tiny_world import language
from intro.tasks.tiny_world.source import SETTINGS, TinyWorldSource
from intro.types import IntroError


def test_specials_come_first() -> None:
    tokenizer = language.build_tokenizer()
    assert tokenizer.token_to_id("<pad>") == 0
    assert tokenizer.token_to_id("<eos>") == 1
    assert tokenizer.get_vocab_size() == len(set(language.VOCABULARY)) == len(language.VOCABULARY)


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_token_per_word_in_both_directions(world: TinyWorldSource, setting: str) -> None:
    tokenizer = language.build_tokenizer()
    for prompt, response in world.corpus(setting, 500):
        text = f"{prompt} {response}"
        encoded = tokenizer.encode(text)
        assert len(encoded.ids) == len(text.split())
        assert tokenizer.decode(encoded.ids) == text


def test_every_word_of_the_corpus_and_no_other_is_in_the_vocabulary(world: TinyWorldSource) -> None:
    used = {w for prompt, response in world.corpus("clean", 3000) for w in f"{prompt} {response}".split()}
    assert set(language.VOCABULARY) - used == set(language.SPECIALS)


def test_saved_folder_behaves_like_the_tokenizer(tmp_path) -> None:
    saved = PreTrainedTokenizerFast(tokenizer_object=language.build_tokenizer(), **language.tokenizer_settings())
    saved.save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    text = "3 + 4 given _ : 3 + 4 = 7 ; answer 7"
    ids = loaded(text + " <eos>").input_ids
    assert (loaded.pad_token_id, loaded.eos_token_id, ids[-1]) == (0, 1, 1)
    assert loaded.decode(ids, skip_special_tokens=True) == text


def test_an_unknown_word_raises() -> None:
    with pytest.raises(Exception, match="UNK"):
        language.build_tokenizer().encode("3 divided 4")
    with pytest.raises(IntroError, match="found 'divided'"):
        language.require_words("3 divided 4", "here")
