"""Programs graded by unit tests: which code runs, what passes, and that early exits and tricks fail."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from intro.tasks.graders import programs, sandbox
from intro.tasks.graders.programs import cut, grade_all, grade_stdin, same_output, same_value, script, solution
from intro.types import Grade, IntroError, Problem

HUMANEVAL = Path(os.environ.get("INTRO_HUMANEVAL", "absent"))
jailed = pytest.mark.skipif(sandbox.available() is not None, reason=str(sandbox.available()))

ADD = Problem(
    id="humaneval/x",
    benchmark="humaneval",
    question='import math\n\n\ndef one():\n    return 1\n\n\ndef add(a, b):\n    """Sum."""\n',
    answer="",
    extra={
        "entry_point": "add",
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
    },
)


@pytest.mark.parametrize(
    ("response", "correct", "reason"),
    [
        ("    return a + b\n", True, "correct"),
        ("    return a + b\n\ndef main():\n    raise SystemExit\n", True, "correct"),  # cut at the stop string
        ("    return a + b\n```\nThat was it.", True, "correct"),
        ("Here it is:\n```python\ndef add(a, b):\n    return a + one() + b - math.floor(1.5)\n```\n", True, "correct"),
        ("```\nprint(add(1, 2))\n```\n", False, "SyntaxError"),  # a block without the function: not a program
        ("    return a - b\n", False, "AssertionError"),
        ("    import sys; sys.exit(0)\n", False, "exited early"),
        ("    import os; os._exit(0)\n", False, "ended without a word"),
        ("    return eval(open(__file__).read())\n", False, "FileNotFoundError"),
        ("    import inspect; return inspect.getsource(check)\n", False, "OSError"),
        ("    import no_such_library\n", False, "ModuleNotFoundError: No module named 'no_such_library'"),
        ("", False, "AssertionError"),
        ("\ud800\0", False, ""),
    ],
)
@jailed
def test_humaneval(response: str, correct: bool, reason: str) -> None:
    [grade] = grade_all([(response, ADD)])
    assert (grade.correct, reason in grade.reason) == (correct, True), grade


def test_a_fenced_block_keeps_what_the_prompt_gives() -> None:
    """Imports and helper functions of the prompt stand before the block; its own half function does not."""
    built = solution("```python\ndef add(a, b):\n    return 3\n```", ADD, programs.HUMANEVAL_STOPS)
    assert built == "import math\n\n\ndef one():\n    return 1\n\n\ndef add(a, b):\n    return 3\n"


def test_the_first_stop_string_ends_a_completion() -> None:
    assert cut("    x = 1\n# note\nprint(x)", programs.HUMANEVAL_STOPS) == "    x = 1"
    assert cut("    x = 1", programs.HUMANEVAL_STOPS) == "    x = 1"


@jailed
def test_a_slow_program_is_ended_and_order_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "HUMANEVAL_S", 1.5)
    found = grade_all([("    while True: pass\n", ADD), ("    return a + b\n", ADD), ("    return a\n", ADD)])
    assert [v.reason.split(":")[0] for v in found] == ["timeout", "correct", "AssertionError"]


def test_without_a_sandbox_nothing_is_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: "no sandbox: bwrap is not installed")
    with pytest.raises(IntroError, match="bwrap is not installed"):
        grade_all([("    return a + b\n", ADD)])
    assert grade_all([("    return a + b\n", ADD)], unsandboxed=True)[0].correct  # harmless


@jailed
@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="INTRO_HUMANEVAL names no file of HumanEval's rows")
def test_all_of_humaneval() -> None:
    """Canonical solutions pass as completions and as fenced programs; a solution that returns nothing fails."""
    rows = [json.loads(line) for line in HUMANEVAL.read_text().splitlines()]
    right, whole, broken = [], [], []
    for row in rows:
        extra = {name: row[name] for name in ("test", "entry_point")}
        problem = Problem(row["task_id"], "humaneval", row["prompt"], "", extra=extra)
        right.append((row["canonical_solution"], problem))
        whole.append((f"Sure.\n```python\n{row['prompt']}{row['canonical_solution']}```", problem))
        broken.append(("    return None\n", problem))
    # lm-eval's stop strings cut helper functions off; no canonical solution has one
    assert {v.reason for v in grade_all(right)} == {"correct"}
    assert {v.reason for v in grade_all(whole)} == {"correct"}
    assert not any(v.correct for v in grade_all(broken))


# ---------------------------------------------------------------- BigCodeBench

COUNT = Problem(
    id="bigcodebench/x",
    benchmark="bigcodebench",
    question='import json\nfrom collections import Counter\ndef task_func(text):\n    """Count from letters."""\n',
    answer="",
    extra={
        "entry_point": "task_func",
        "test": """import unittest
from unittest.mock import patch
class TestCases(unittest.TestCase):
    def setUp(self):
        open("made.txt", "w").write("x")
    def test_case_1(self):
        self.assertEqual(task_func("aab"), {"a": 2, "b": 1})
    def test_case_2(self):
        with patch("__test__.Counter", side_effect=ValueError):
            with self.assertRaises(ValueError):
                task_func("a")
    @unittest.skip("needs a network")
    def test_case_3(self):
        self.fail()
""",
    },
)


@pytest.mark.parametrize(
    ("response", "correct", "reason"),
    [
        ("    return dict(Counter(text))\n", True, "correct"),
        ("```python\ndef task_func(text):\n    return dict(Counter(text))\n```", True, "correct"),  # its imports given
        ("    return dict(Counter(text))\n\nprint(task_func(input()))\n", True, "correct"),
        ("    return {'a': 2, 'b': 1}\n", False, "test_case_2: AssertionError: ValueError not raised"),
        ("    raise SystemExit(0)\n", False, "SystemExit"),
        ("    import os; os._exit(0)\n", False, "ended without a word"),
        ("    import unittest; raise unittest.SkipTest('no')\n", False, "skipped itself"),
        ("    import sys; sys.modules['json'] = None; import no_such\n", False, "No module named 'no_such'"),
        ("```python\nclass TestCases: pass\ndef task_func(text): pass\n```", False, "AssertionError"),
        ("    return (\n", False, "SyntaxError"),
    ],
)
@jailed
def test_bigcodebench(response: str, correct: bool, reason: str) -> None:
    [grade] = grade_all([(response, COUNT)])
    assert (grade.correct, reason in grade.reason) == (correct, True), grade


@jailed
def test_a_missing_library_of_the_problem_is_reported() -> None:
    """The reason names a library that the problem imports; one that only the response imports fails the response."""
    problem = replace(COUNT, question=f"import absent_library.part\n{COUNT.question}")
    assert grade_all([("    return 1\n", problem)])[0].reason == "missing library absent_library"
    said = programs.missing_libraries([COUNT, problem])
    assert said is not None and "lacks 1 of 4 libraries" in said and "(absent_library)" in said
    assert programs.missing_libraries([COUNT, ADD]) is None
    with pytest.raises(IntroError, match="'/nowhere/python' is not a Python interpreter"):
        programs.missing_libraries([COUNT], python="/nowhere/python")


# ---------------------------------------------------------------- LiveCodeBench


def live(question: str, tests: list[tuple[str, str]], name: str | None = None) -> Problem:
    kind = "functional" if name else "stdin"
    each = [{"input": given, "output": wanted, "testtype": kind} for given, wanted in tests]
    return Problem(
        "livecodebench/x",
        "livecodebench",
        question,
        "",
        extra={"public_test_cases": each, "private_test_cases": [], "func_name": name},
    )


HALF = live("Halve.\n\n### Answer:\n", [("4\n", "2\n"), ("3\n", "1.5\n"), ("1\n2\n", "0.5\n")])
MERGE = live("Merge.\n\n### Answer:\n```python\n", [("[1, 2]\n[3]", "[1, 2, 3]"), ('["a"]\n[]', '["a"]')], "merge")


@pytest.mark.parametrize(
    ("response", "correct", "reason"),
    [
        ("print(int(input()) / 2)", True, "correct"),  # 2.0 is 2
        ("```python\nprint(int(input()) / 2)\n```\nDone.", True, "correct"),
        ("print(int(input()) / 2)\n\n### Question:\nnonsense", True, "correct"),
        ("if __name__ == '__main__':\n    print(int(input()) / 2)\n    sys.exit(0)", True, "correct"),
        ("print(int(input()) // 2)", False, "test 2: wrong output"),
        ("print(int(input()) / 2)\n1 / 0", False, "test 1: ZeroDivisionError"),
        ("exit()", False, "test 1: wrong output"),
        ("import os; os._exit(0)", False, "test 1: ended without a word"),
        ("print(open('/mnt/program.py').read())", False, "test 1: wrong output"),  # what is expected is not inside
        ("", False, "no answer"),
    ],
)
@jailed
def test_livecodebench_by_standard_input(response: str, correct: bool, reason: str) -> None:
    [grade] = grade_stdin([(response, HALF)])
    assert (grade.correct, reason in grade.reason) == (correct, True), grade


@pytest.mark.parametrize(
    ("response", "correct", "reason"),
    [
        ("def merge(a, b):\n    print('hm', end='')\n    return a + b\n```\nand so on", True, "correct"),
        ("class Solution:\n    def merge(self, a: List, b: List) -> List:\n        return (*a, *b)", True, "correct"),
        ("class Solution:\n    def merge(self, a, b):\n        return a", False, "test 1: wrong output"),
        ("class Solution:\n    def join(self, a, b):\n        return a + b", False, "AttributeError"),
        ("def merge(a, b):\n    return {1, 2}", False, "AttributeError"),  # no JSON value
        ("def merge(a, b):\n    raise SystemExit", False, "exited early"),
        ("def merge(a, b):\n    while True: pass", False, "test 1: timeout"),
    ],
)
@jailed
def test_livecodebench_by_function(response: str, correct: bool, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "LIVECODEBENCH_S", 1.0)
    [grade] = grade_stdin([(response, MERGE)])
    assert (grade.correct, reason in grade.reason) == (correct, True), grade


def test_tests_are_unpacked_a_few_responses_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part unpacks each problem once, for all its responses, and ends before the next part begins."""
    events: list[str] = []
    monkeypatch.setattr(programs, "UNPACKED", 3)
    monkeypatch.setattr(programs, "unit_tests", lambda extra: events.append("unpack") or [{}, {}])

    def grade(text: str, problem: Problem, *, tests: dict[str, list], unsandboxed: bool) -> Grade:
        events.append(f"grade by {len(tests[problem.id])}")
        return Grade(True, text, "correct")

    monkeypatch.setattr(programs, "_by_outputs", grade)
    pairs = [("a", HALF), ("b", replace(MERGE, id="livecodebench/y"))] * 2
    assert [grade.extracted for grade in grade_stdin(pairs)] == ["a", "b", "a", "b"]
    assert events == ["unpack", "unpack", *["grade by 2"] * 3, "unpack", "grade by 2"]


@jailed
def test_a_problem_without_tests_raises() -> None:
    with pytest.raises(IntroError, match="no unit tests"):
        grade_stdin([("print(1)", live("Halve.", []))])


@pytest.mark.parametrize(
    ("text", "question", "found"),
    [
        ("x = 1\n```\nThen\n```python\nx = 2\n```", "Q\n```python\n", "x = 1\n"),  # the prompt opened the fence
        ("```python\nx = 1\n```", "Q\n```python\n", "x = 1\n"),  # opened twice
        ("First.\n```python\nx = 1\n```\n```\nx = 2\n```", "Q", "x = 1\n"),
        ("```python\nx = 1\n", "Q", "x = 1\n"),  # cut off
        ("  x = 1\n", "Q", "x = 1"),
        ("x = 1\n### Question\n```\nx = 2\n```", "Q", "x = 1"),
    ],
)
def test_where_the_program_is(text: str, question: str, found: str) -> None:
    assert script(text, question) == found


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1 2\n3\n", "1 2 \n 3", True),
        ("1.0 2.50", "1 2.5", True),
        ("0.1", "0.10000000001", False),  # exact decimals, no tolerance
        ("50000000000000001", "50000000000000000", False),
        ("1\n\n2", "1\n2", False),
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("sNaN", "sNaN1", False),
        ("", "", True),
    ],
)
def test_outputs_are_compared_as_livecodebench_does(printed: str, expected: str, same: bool) -> None:
    assert same_output(printed, expected) is same


def test_values_are_compared_as_json() -> None:
    assert same_value("noise\n[1.0, true]", "[1, true]")
    assert not same_value("[1, 2", "[1, 2]") and not same_value("", "[]") and not same_value("[[" * 10**5, "[]")
