"""Published rows become the benchmarks' problems, and no code in them is executed."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from intro import config
from intro.tasks.graders.dispatch import GRADERS
from intro.tasks.graders.unit_tests import unit_tests
from intro.tasks.published.collections import COLLECTIONS, collection
from intro.tasks.published.readers import boxed, integer
from intro.types import IntroError
from mirrors import FUNCTIONAL, HIDDEN, PUBLIC, ROWS

SAMPLE_ROWS = os.environ.get("INTRO_BENCHMARK_ROWS")
ROOT = Path(__file__).parents[3]
PAPER, DOCS = ROOT / "config" / "paper.yaml", ROOT / "docs" / "data.md"


def read(name: str, index: int = 0) -> dict[str, Any]:
    return COLLECTIONS[name].read(ROWS[name][index], index)


# ---------------------------------------------------------------- the registry


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_collection_reads_its_rows(name: str) -> None:
    """Fields of a Problem, a grader that exists, and JSON-able extras."""
    published = COLLECTIONS[name]
    assert published.name == name and published.grader in GRADERS and published.rows > 0
    assert published.revision is None or len(published.revision) == 40
    for i, row in enumerate(ROWS[name]):
        assert published.missing(row) == []
        fields = published.read(row, i)
        assert fields["question"].strip() and isinstance(fields["answer"], str)
        assert set(fields) <= {"question", "answer", "rationale", "extra"}
        assert json.loads(json.dumps(fields.get("extra", {}))) == fields.get("extra", {})


def test_the_paper_config_asks_for_whole_sets() -> None:
    """The counts of the config and of the collections are equal."""
    data = config.load(PAPER).data
    assert isinstance(data, config.HubData)
    assert {name: b.problems for name, b in data.benchmarks.items()} == {n: collection(n).rows for n in data.benchmarks}
    assert len(data.benchmarks) == 11


@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_documentation_has_the_same_facts(name: str) -> None:
    """docs/data.md says where every set lives, how many rows it has and which commit is read."""
    published = COLLECTIONS[name]
    (line,) = [line for line in DOCS.read_text().splitlines() if line.startswith("|") and f"`{name}`" in line]
    assert published.hub_id in line and f"{published.rows:,}" in line
    assert (published.revision[:7] if published.revision else "first fetch") in line


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(IntroError, match=r"expected one of math500, .*ifeval, found 'gsm9k'"):
        collection("gsm9k")


def test_missing_columns_name_their_alternatives() -> None:
    assert COLLECTIONS["amc23"].missing({"id": 1}) == ["problem or question", "answer"]
    assert COLLECTIONS["minerva_math"].missing({"problem": "?", "solution": "!"}) == []


# ---------------------------------------------------------------- mathematics


@pytest.mark.parametrize(
    ("published", "meant"),
    [(27.0, "27"), ("27.0", "27"), ("033", "33"), ("000", "0"), (70, "70"), ("$1,024$", "1024"), ("-5", "-5"),
     ("336^\\circ", "336"), ("336^{\\circ}", "336"), ("3159.0", "3159")],
)  # fmt: skip
def test_contest_answers_are_whole_numbers(published: object, meant: str) -> None:
    assert integer(published) == meant


@pytest.mark.parametrize("published", ["27.5", "x", "", "nan", "inf", "1/2"])
def test_other_contest_answers_are_refused(published: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        integer(published)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"First $\boxed{1}$, then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"So it is $\boxed 2$.", "2"),
        (r"So $x=\boxed 3,$ done", "3"),
        (r"So it is \fbox{4}.", "4"),
        (r"Hence \[x = \boxed{\{1,2\}}.\]", r"\{1,2\}"),
        (r"Empty $\boxed{}$ but the answer is $7$.", "7"),
        (r"No box at all, but $x = 5$.", "x = 5"),
    ],
)
def test_every_reference_solution_gives_an_answer(solution: str, answer: str) -> None:
    """The training set's count is published, so a solution without a braced box may not be dropped."""
    assert boxed(solution) == answer


def test_a_solution_that_states_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="states no answer"):
        boxed("It is left to the reader.")


def test_math_keeps_solution_and_level() -> None:
    fields = read("math_train", 2)
    assert fields["answer"] == "3" and fields["extra"] == {"level": 3}
    assert fields["rationale"] == ROWS["math_train"][2]["solution"]
    assert read("math_train", 20)["extra"] == {"level": None}


def test_olympiadbench_takes_the_first_answer_its_tolerance_and_no_unit() -> None:
    assert read("olympiadbench")["answer"] == "2" and read("olympiadbench")["extra"] == {}
    fields = read("olympiadbench", 1)
    assert fields["answer"] == "$\\frac{600}{7}$"
    assert fields["extra"] == {"unit": "km/h", "tolerance": 0.1}
    assert fields["question"] == "A train leaves.\nHow long does it take?"


def test_minerva_takes_either_form() -> None:
    assert read("minerva_math")["answer"] == "4.5e33"
    assert read("minerva_math", 1)["answer"] == "\\arcsin(10/13)"


@pytest.mark.parametrize(("name", "column"), [("math500", "answer"), ("college_math", "question"), ("amc23", "answer")])
def test_an_empty_field_is_refused(name: str, column: str) -> None:
    with pytest.raises(ValueError, match=column):
        COLLECTIONS[name].read({**ROWS[name][0], column: None}, 0)


# ---------------------------------------------------------------- programs


def test_livecodebench_tests_unpack_public_first() -> None:
    assert unit_tests(read("livecodebench")["extra"]) == PUBLIC + HIDDEN
    fields = read("livecodebench", 1)
    assert unit_tests(fields["extra"]) == FUNCTIONAL + FUNCTIONAL
    assert fields["extra"]["func_name"] == "total" and fields["extra"]["starter_code"] in fields["question"]
    assert read("livecodebench")["extra"]["func_name"] is None and "stdin" in read("livecodebench")["question"]


def evil(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["INTRO_EVIL"],)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    """Hidden tests are published as pickles; code in a pickle must not run."""
    monkeypatch.setenv("INTRO_EVIL", str(tmp_path / "made"))
    text = base64.b64encode(zlib.compress(pickle.dumps(Runs(), protocol))).decode()
    with pytest.raises(IntroError, match=r"livecodebench q: private_test_cases .*mkdir"):
        unit_tests({"question_id": "q", "public_test_cases": "[]", "private_test_cases": text})
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["", "no base64!", base64.b64encode(b"no zlib").decode(), evil([1]), evil(b"[]"), "3"])
def test_damaged_tests_raise(text: str) -> None:
    with pytest.raises(IntroError, match="fetch the set again"):
        unit_tests({"question_id": "q", "public_test_cases": "[]", "private_test_cases": text})


def test_too_large_tests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intro.tasks.graders.unit_tests.LARGEST_TESTS", 1000)
    with pytest.raises(IntroError, match="larger"):
        unit_tests({"public_test_cases": "[]", "private_test_cases": evil("[" + " " * 10_000 + "]")})


def test_completions_continue_the_published_prompt() -> None:
    assert read("humaneval")["question"] == ROWS["humaneval"][0]["prompt"]
    assert read("bigcodebench")["question"] == ROWS["bigcodebench"][0]["complete_prompt"]


# ---------------------------------------------------------------- choices, instructions


def test_options_are_shuffled_by_the_row_alone() -> None:
    """The same row at the same index gives the same options; over rows, the right letter varies."""
    letters = []
    for i, row in enumerate(ROWS["gpqa"]):
        fields = COLLECTIONS["gpqa"].read(row, i)
        assert fields == COLLECTIONS["gpqa"].read(dict(row), i)
        options = fields["extra"]["options"]
        assert options["ABCD".index(fields["answer"])] == f"right {i}"
        assert sorted(options) == sorted([f"right {i}", "wrong one", "wrong two", " "])
        assert all(option in fields["question"] for option in options)
        letters.append(fields["answer"])
    assert set(letters) == set("ABCD") and max(Counter(letters).values()) < 8


def test_instructions_lose_arguments_that_are_not_set() -> None:
    fields = read("ifeval")
    assert fields["extra"]["kwargs"] == [{}, {"num_words": 3, "relation": "at least"}]
    assert fields["extra"]["key"] == 1000 and fields["question"] == "Write without commas."


# ---------------------------------------------------------------- real rows


@pytest.mark.skipif(not SAMPLE_ROWS, reason="INTRO_BENCHMARK_ROWS names no folder with published rows")
@pytest.mark.parametrize("name", ["college_math", "olympiadbench", "humaneval", "ifeval"])
def test_real_rows_are_read(name: str) -> None:
    """Rows of the public sets, where INTRO_BENCHMARK_ROWS names some."""
    lines = (Path(str(SAMPLE_ROWS)) / f"{name}.jsonl").read_text().splitlines()
    published = COLLECTIONS[name]
    for i, row in enumerate(map(json.loads, lines)):
        assert published.missing(row) == []
        fields = published.read(row, i)
        assert fields["question"].strip()
        assert fields["answer"] or published.grader != "mathematics"
