"""Programs that a model wrote, graded by unit tests: HumanEval, BigCodeBench and LiveCodeBench.

Everything runs in the sandbox, several programs at once. A program passes when it runs to its end and every test
passes; LiveCodeBench's expected outputs never enter the sandbox.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from intro.infra.gpus import workers
from intro.tasks.graders import sandbox
from intro.tasks.graders.sandbox import run_python
from intro.tasks.graders.unit_tests import unit_tests
from intro.types import Grade, IntroError, Problem

# seconds of wall clock: for a HumanEval program, a BigCodeBench one, a LiveCodeBench test and an interpreter's start
HUMANEVAL_S, BIGCODEBENCH_S, LIVECODEBENCH_S, START_S = 10.0, 240.0, 6.0, 1.0
UNPACKED = 64  # responses whose unit tests are in memory together: some problems have tens of megabytes
BIGCODEBENCH_MB = 16 << 10  # of address space, of which tensorflow reserves more than it uses

# where a completion ends, as in lm-eval and BigCodeBench; a fence at the start of a line ends it too
FENCE = "\n```"
HUMANEVAL_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", FENCE)
BIGCODEBENCH_STOPS = (
    "<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(",
    "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", FENCE,
)  # fmt: skip
NEXT_QUESTION = "\n### Question"  # of the prompt's layout, which base models continue

# the tests of BigCodeBench are a unittest class, those of HumanEval a function
_TEST_CASES = re.compile(r"^class TestCases\b", re.MULTILINE)
_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_MISSING = re.compile(r"No module named '([A-Za-z_]\w*)")

Pairs = Sequence[tuple[str, Problem]]


def grade_all(pairs: Pairs, *, unsandboxed: bool = False, python: str | None = None) -> list[Grade]:
    """Grades of completions of HumanEval's or BigCodeBench's problems, whose question is the program's beginning.

    python: the interpreter whose environment has the libraries that the problems import. Raises IntroError without a
    sandbox, unless `unsandboxed` allows it.
    """
    return _all_cores(partial(_by_unit_tests, unsandboxed=unsandboxed, python=python), pairs)


def grade_stdin(pairs: Pairs, *, unsandboxed: bool = False) -> list[Grade]:
    """Grades of LiveCodeBench's problems, as `grade_all`; the first failed test decides.

    Raises IntroError for a problem whose unit tests are damaged or missing.
    """
    grades: list[Grade] = []
    for start in range(0, len(pairs), UNPACKED):
        part = pairs[start : start + UNPACKED]
        tests = {problem.id: unit_tests(problem.extra) for problem in {p.id: p for _, p in part}.values()}
        grades += _all_cores(partial(_by_outputs, tests=tests, unsandboxed=unsandboxed), part)
    return grades


def _all_cores(grade: Callable[[str, Problem], Grade], pairs: Pairs) -> list[Grade]:
    with ThreadPoolExecutor(workers()) as pool:
        return list(pool.map(lambda pair: grade(*pair), pairs))


# ---------------------------------------------------------------- HumanEval and BigCodeBench


def _by_unit_tests(text: str, problem: Problem, **how: Any) -> Grade:
    in_classes = bool(_TEST_CASES.search(problem.extra["test"]))
    code = solution(text, problem, BIGCODEBENCH_STOPS if in_classes else HUMANEVAL_STOPS)
    program = f"{code}\n{problem.extra['test']}\n"
    if in_classes:
        how["memory_mb"] = BIGCODEBENCH_MB
        result = run_python(_UNITTEST.format(program=program), timeout_s=BIGCODEBENCH_S, **how)
    else:
        result = run_python(f"{program}check({problem.extra['entry_point']})\n", timeout_s=HUMANEVAL_S, **how)
    missing = _MISSING.search(result.reason)
    if missing and missing.group(1) in libraries(problem):  # not one that only the response imports
        return Grade(False, code, f"missing library {missing.group(1)}")
    return Grade(result.passed, code, "correct" if result.passed else result.reason)


def solution(text: str, problem: Problem, stops: Sequence[str]) -> str:
    """The program without its tests: a fenced block that defines the entry point, else prompt and completion."""
    entry = re.compile(rf"^def[ \t]+{re.escape(problem.extra['entry_point'])}\b", re.MULTILINE)
    block = next((b for b in map(textwrap.dedent, blocks(text)) if entry.search(b)), None)
    if block is None:
        return problem.question + cut(text, stops)
    begin = entry.search(problem.question)
    given = problem.question[: begin.start()] if begin else ""  # imports, and helpers that the prompt defines
    return f"{given}{block}"


def blocks(text: str) -> list[str]:
    """What stands in fenced blocks, in order; the last one may be cut off."""
    return _BLOCK.findall(text)


def cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string."""
    return text[: min((at for at in map(text.find, stops) if at >= 0), default=len(text))]


# A separate module, as in BigCodeBench: its tests patch and pickle by that name. A test that the program under test
# skips at run time has failed; a test that the benchmark marks as skipped is not counted.
_UNITTEST = """
import os, sys, types, unittest
module, loader, result = types.ModuleType("__test__"), unittest.TestLoader(), unittest.TestResult()
module.__dict__.update(__file__="__test__.py", sys=sys, os=os, environ=os.environ)
exec(compile({program!r}, "__test__.py", "exec"), module.__dict__)
sys.modules["__test__"] = module
loader.loadTestsFromTestCase(module.TestCases).run(result)
def marked(test):
    method = getattr(test, test._testMethodName)
    return getattr(type(test), "__unittest_skip__", False) or getattr(method, "__unittest_skip__", False)
bad = result.errors + result.failures + [(test, "skipped itself") for test, _ in result.skipped if not marked(test)]
if bad or not result.testsRun:
    test, trace = bad[0] if bad else ("TestCases", "no test ran")
    raise AssertionError(str(test).split()[0] + ": " + trace.strip().splitlines()[-1])
"""


# ---------------------------------------------------------------- LiveCodeBench


def _by_outputs(text: str, problem: Problem, *, tests: Mapping[str, list[dict[str, str]]], **how: Any) -> Grade:
    code = script(text, problem.question)
    if not code.strip():
        return Grade(False, None, "no answer")
    name = problem.extra["func_name"]
    for number, test in enumerate(tests[problem.id], start=1):
        functional = test["testtype"] == "functional"
        program = f"{_PRELUDE}\n{code}\n{_CALL.format(name=name) if functional else ''}"
        result = run_python(program, timeout_s=LIVECODEBENCH_S + START_S, stdin=test["input"], **how)
        ended = result.passed or (not functional and result.reason.startswith(sandbox.EARLY))  # exit() ends a script
        if not ended:
            return Grade(False, code, f"test {number}: {result.reason}")
        if not (same_value if functional else same_output)(result.stdout, test["output"]):
            return Grade(False, code, f"test {number}: wrong output")
    return Grade(True, code, "correct")


def script(text: str, question: str) -> str:
    """A response's program: the first fenced block (which the prompt may have opened), else the whole of it."""
    opening = question.rstrip().rsplit("\n", 1)[-1]
    answer = cut(text, [NEXT_QUESTION])
    if opening.startswith("```") and not answer.lstrip().startswith("```"):
        answer = f"{opening}\n{answer}"
    return next((textwrap.dedent(b) for b in blocks(answer) if b.strip()), answer.strip())


def same_output(printed: str, expected: str) -> bool:
    """Equal line by line, spaces at the ends apart, or number by number within a line (1.0 is 1)."""
    ours, theirs = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(ours) == len(theirs) and all(map(_same_line, ours, theirs))


def _same_line(a: str, b: str) -> bool:
    try:
        return a == b or [Decimal(part) for part in a.split()] == [Decimal(part) for part in b.split()]
    except InvalidOperation:
        return False


def same_value(printed: str, expected: str) -> bool:
    """Whether the last printed line is the expected JSON value."""
    try:
        return bool(json.loads(printed.rsplit("\n", 1)[-1]) == json.loads(expected))
    except (ValueError, RecursionError):
        return False


_MODULES = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
).split()
_STAR_IMPORTS = [f"from {name} import *" for name in [*_MODULES, "builtins", "typing"]]
_PRELUDE = "\n".join([*_STAR_IMPORTS, *(f"import {name}" for name in _MODULES), "sys.setrecursionlimit(50000)"])
# the program may have rebound these names, so they are imported again
_CALL = """
_json, _stdin = __import__("json"), __import__("sys").stdin
_found = getattr(Solution(), {name!r}) if "Solution" in globals() else globals()[{name!r}]
_value = _found(*(_json.loads(line) for line in _stdin.read().strip().split("\\n")))
__import__("builtins").print("\\n" + _json.dumps(_value, default=lambda array: array.tolist()), end="")
"""


# ---------------------------------------------------------------- libraries


def libraries(problem: Problem) -> set[str]:
    """Top-level modules that a problem's prompt and tests import."""
    found: set[str] = set()
    for part in (problem.question, problem.extra.get("test", "")):
        try:
            nodes = list(ast.walk(ast.parse(part)))
        except SyntaxError:  # a question in words
            continue
        found |= {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module.split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return found


def missing_libraries(problems: Sequence[Problem], *, python: str | None = None) -> str | None:
    """None where the interpreter has every library that the problems import, else what is missing and what to do."""
    wanted = sorted(set().union(*map(libraries, problems)) - {"__future__", "__main__", "__test__"})
    find = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    interpreter = python or sys.executable
    try:
        asked = subprocess.run([interpreter, "-I", "-c", find, *wanted], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise IntroError(f"'{interpreter}' is not a Python interpreter that runs ({error})") from error
    absent = asked.stdout.split()
    lacks = f"{interpreter} lacks {len(absent)} of {len(wanted)} libraries that the problems import"
    remedy = "create workflow/envs/bigcodebench.yaml and name its interpreter"
    return f"{lacks} ({', '.join(absent)}); {remedy}" if absent else None
