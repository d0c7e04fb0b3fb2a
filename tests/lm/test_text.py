"""Tokenizer folders: pad and stop ids from either config file, and one sentence for a folder that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intro.lm.text import Text, render
from intro.tasks.language import tokenizer_json
from intro.types import IntroError, Problem
from toy import text_of

PROBLEM = Problem("p", "chain-2", "3 + 4", "7")


def folder(path: Path, config: object, generation: object | None = None) -> Path:
    (path / "tokenizer.json").write_text(tokenizer_json())
    (path / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (path / "generation_config.json").write_text(json.dumps(generation))
    return path


def test_words_and_ids_round_trip(toy_config) -> None:
    """A saved base model's folder reads back: special words are left out of the text."""
    text = text_of(toy_config, "qwen2-s")
    ids = text.encode("3 + 4 = 7 ; answer 7")
    assert text.decode([*ids, *text.stop]) == "3 + 4 = 7 ; answer 7"
    assert text.encode_all(["3 + 4", "no"]) == [text.encode("3 + 4"), text.encode("no")]
    assert text.stop == (1,) and text.pad == 0


def test_stop_ids_come_from_both_files(tmp_path: Path) -> None:
    """Base checkpoints differ between the two; missing one would let responses run on."""
    text = Text.from_folder(folder(tmp_path, {"eos_token_id": 5}, {"eos_token_id": [7, 5], "pad_token_id": 3}))
    assert text.stop == (5, 7) and text.pad == 3
    (tmp_path / "generation_config.json").unlink()
    assert Text.from_folder(tmp_path).pad == 5  # no pad id anywhere: any id will do, it is never seen


def test_folder_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match="no eos_token_id"):
        Text.from_folder(folder(tmp_path, {"eos_token_id": None}))


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_damaged_folder_is_one_sentence(tmp_path: Path, name: str) -> None:
    folder(tmp_path, {"eos_token_id": 1})
    (tmp_path / name).write_text('{"eos_token_id"')
    with pytest.raises(IntroError) as error:
        Text.from_folder(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(IntroError, match=r"found no tokenizer\.json"):
        Text.from_folder(tmp_path)


def test_prompts_hold_the_problems_own_answer_or_another() -> None:
    assert render("{question} :", PROBLEM) == "3 + 4 :"
    assert render("{question} given {answer} :", PROBLEM) == "3 + 4 given 7 :"
    assert render("{question} given {answer} :", PROBLEM, "_") == "3 + 4 given _ :"
