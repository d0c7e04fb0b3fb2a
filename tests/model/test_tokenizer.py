"""Tokenizers of model folders: pad and stop ids from all of its files, and one-line errors for damaged folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intro.model.tokenizer import ModelTokenizer, render
from intro.tasks.tiny_world.language import build_tokenizer
from intro.types import IntroError, Problem
from toy import tokenizer_of

PROBLEM = Problem("p", "chain-2", "3 + 4", "7")


def folder(path: Path, config: object, generation: object | None = None) -> Path:
    (path / "tokenizer.json").write_text(build_tokenizer().to_str())
    (path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (path / "generation_config.json").write_text(json.dumps(generation))
    return path


def test_words_and_ids_round_trip(toy_config) -> None:
    """A saved base model's tokenizer decodes what it encodes, without special tokens."""
    tokenizer = tokenizer_of(toy_config, "qwen2-s")
    ids = tokenizer.encode("3 + 4 = 7 ; answer 7")
    assert tokenizer.decode([*ids, *tokenizer.stop]) == "3 + 4 = 7 ; answer 7"
    assert tokenizer.prompts(["3 + 4", "no"]) == [tokenizer.encode("3 + 4"), tokenizer.encode("no")]
    assert tokenizer.stop == (1,) and tokenizer.pad == 0


def test_stop_ids_come_from_both_files(tmp_path: Path) -> None:
    """Base checkpoints name different stop tokens in the two files, and each ends a response."""
    tokenizer = ModelTokenizer.from_folder(
        folder(tmp_path, {"eos_token_id": 5}, {"eos_token_id": [7, 5], "pad_token_id": 3})
    )
    assert tokenizer.stop == (5, 7) and tokenizer.pad == 3
    (tmp_path / "generation_config.json").unlink()
    assert ModelTokenizer.from_folder(tmp_path).pad == 5  # without a pad id a stop id is used: padding is never read


def test_folder_without_a_stop_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match="no eos_token_id"):
        ModelTokenizer.from_folder(folder(tmp_path, {"eos_token_id": None}))


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_damaged_folder_is_a_one_line_error(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {"eos_token_id": 1})
    (tmp_path / name).write_text('{"eos_token_id"')
    with pytest.raises(IntroError) as error:
        ModelTokenizer.from_folder(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(IntroError, match=r"found no tokenizer\.json"):
        ModelTokenizer.from_folder(tmp_path)


def test_prompts_hold_the_gold_answer_or_another() -> None:
    assert render("{question} :", PROBLEM) == "3 + 4 :"
    assert render("{question} given {answer} :", PROBLEM) == "3 + 4 given 7 :"
    assert render("{question} given {answer} :", PROBLEM, "_") == "3 + 4 given _ :"


def test_stop_and_pad_ids_come_from_the_tokenizer_too(tmp_path: Path) -> None:
    """Qwen's config.json and its tokenizer name different stop tokens, and each ends a response."""
    words = json.loads(build_tokenizer().to_str())["model"]["vocab"]
    (eos, one), (pad, two) = ((w, i) for w, i in list(words.items())[4:6])
    folder(tmp_path, {"eos_token_id": 1})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos, "pad_token": pad, "bos_token": None}))
    tokenizer = ModelTokenizer.from_folder(tmp_path)
    assert tokenizer.stop == tuple(sorted((1, one))) and tokenizer.pad == two
    settings = {"eos_token": {"content": pad, "lstrip": False}, "pad_token": "no such word"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(settings))
    assert set(ModelTokenizer.from_folder(tmp_path).stop) == {1, one, two}
    (tmp_path / "config.json").write_text("{}")
    assert set(ModelTokenizer.from_folder(tmp_path).stop) == {one, two}
    folder(tmp_path, {"eos_token_id": 1, "pad_token_id": 0})
    assert ModelTokenizer.from_folder(tmp_path).pad == 0, "the config's pad comes first"


def test_prompts_begin_with_the_tokenizers_bos(tmp_path: Path) -> None:
    """Llama's tokenizer puts a BOS token before every text, Qwen's none; `encode` adds no special token."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    folder(tmp_path, {"eos_token_id": 1})
    plain = ModelTokenizer.from_folder(tmp_path)
    assert plain.bos == () and plain.prompts(["3 + 4"]) == [plain.encode("3 + 4")]
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    bos, eos = tokenizer.id_to_token(5), tokenizer.id_to_token(1)
    tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A {eos}", special_tokens=[(bos, 5), (eos, 1)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer = ModelTokenizer.from_folder(tmp_path)
    assert tokenizer.bos == (5,) and tokenizer.encode("3 + 4") == plain.encode("3 + 4")
    assert tokenizer.prompts(["3 + 4", "no"]) == [[5, *plain.encode("3 + 4")], [5, *plain.encode("no")]]
