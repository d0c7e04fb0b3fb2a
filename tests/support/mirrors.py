"""Small mirrors in the published formats, a few made-up rows of each set."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from intro.config import HubData


def packed(tests: list[dict[str, str]]) -> str:
    """Hidden tests as LiveCodeBench publishes them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def math_row(i: int, level: int | str, subject: str = "Algebra") -> dict[str, Any]:
    solution = f"Adding one to ${i}$ gives $\\boxed{{{i + 1}}}$."
    return {"problem": f"What is\n${i} + 1$?", "level": f"Level {level}", "type": subject, "solution": solution}


HIDDEN = [{"input": "2\n", "output": "4\n", "testtype": "stdin"}]
PUBLIC = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}]
FUNCTIONAL = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]

ROWS: dict[str, list[dict[str, Any]]] = {
    "math500": [
        {
            "problem": f"What is ${i} + 1$?",
            "solution": f"It is $\\boxed{{{i + 1}}}$.",
            "answer": str(i + 1),
            "subject": "Algebra",
            "level": 3,
            "unique_id": f"test/algebra/{i}.json",
        }
        for i in (100, 101)
    ],
    "minerva_math": [
        {"question": "How far is the star, in parsecs?", "answer": "4.5e33"},
        {"problem": "At which angle?", "solution": "So it is $\\boxed{\\arcsin(10/13)}$."},
    ],
    "olympiadbench": [
        {
            "id": 1606,
            "question": "How many moves are needed?",
            "solution": ["Two."],
            "final_answer": ["2"],
            "context": None,
            "image_1": None,
            "unit": None,
            "error": None,
            "answer_type": "Numerical",
            "is_multiple_answer": False,
        },
        {
            "id": 1700,
            "question": "How long does it take?",
            "final_answer": ["$\\frac{600}{7}$", "other"],
            "context": "A train leaves.",
            "unit": "km/h",
            "error": "1e-1",
            "answer_type": "Numerical",
            "is_multiple_answer": False,
        },
    ],
    "college_math": [
        {"question": "Simplify: $-10-4(n-5)$", "answer": "$10-4 n$", "question_number": "exercise.0.4.61"}
    ],
    "amc23": [
        {"id": 0, "question": "When do they meet?", "answer": 27.0, "url": "..."},
        {"question": "?", "answer": "5.0"},
    ],
    "aime25": [{"problem": "Find it.", "answer": "033", "id": "0"}, {"problem": "Angle?", "answer": "336^\\circ"}],
    "math_train": [*(math_row(i, 1 + i % 5) for i in range(20)), math_row(20, "?")],
    "math_test": [math_row(i, 5) for i in range(98, 104)],  # 100 and 101 are in math500
    "livecodebench": [
        {
            "question_title": "Double",
            "question_content": "Print twice the number.",
            "platform": "atcoder",
            "question_id": "abc300_a",
            "contest_date": "2023-04-29T00:00:00",
            "starter_code": "",
            "difficulty": "easy",
            "public_test_cases": json.dumps(PUBLIC),
            "private_test_cases": packed(HIDDEN),
            "metadata": "{}",
        },
        {
            "question_title": "Sum",
            "question_content": "Return the sum.",
            "platform": "leetcode",
            "question_id": "2800",
            "contest_date": "2023-04-29T00:00:00",
            "starter_code": "class Solution:\n    def total(self, xs, y):\n        ",
            "difficulty": "easy",
            "public_test_cases": json.dumps(FUNCTIONAL),
            "private_test_cases": json.dumps(FUNCTIONAL),
            "metadata": json.dumps({"func_name": "total"}),
        },
    ],
    "bigcodebench": [
        {
            "task_id": "BigCodeBench/0",
            "complete_prompt": "import math\ndef task_func(x):\n    '''The root.'''\n",
            "instruct_prompt": "Write the root.",
            "canonical_solution": "    return math.sqrt(x)",
            "code_prompt": "import math\ndef task_func(x):\n",
            "test": "import unittest\nclass TestCases(unittest.TestCase):\n"
            "    def test_four(self):\n        self.assertEqual(task_func(4), 2)\n",
            "entry_point": "task_func",
            "doc_struct": "{}",
            "libs": "['math']",
        }
    ],
    "gpqa": [
        {
            "Record ID": f"rec{i}",
            "Question": f"Made-up question {i}?",
            "Correct Answer": f"right {i}\n",
            "Incorrect Answer 1": "wrong  one",
            "Incorrect Answer 2": "wrong two",
            "Incorrect Answer 3": None,
        }
        for i in range(12)
    ],
    "humaneval": [
        {
            "task_id": "HumanEval/0",
            "prompt": 'def double(x):\n    """Twice x."""\n',
            "canonical_solution": "    return 2 * x\n",
            "test": "def check(candidate):\n    assert candidate(2) == 4\n",
            "entry_point": "double",
        }
    ],
    "ifeval": [
        {
            "key": 1000,
            "prompt": "Write without commas.",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [
                {"num_words": None, "relation": None},
                {"num_words": 3, "relation": "at least", "num_highlights": None},
            ],
        }
    ],
}

TRAIN = 12 + 4  # levels 3 to 5 of math_train and math_test without the two of math500


def write_rows(mirror: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    mirror.mkdir(exist_ok=True, parents=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (mirror / f"{name}.jsonl").write_text(text)


def write_mirror(mirror: Path, rows: Mapping[str, list[dict[str, Any]]] = ROWS) -> Path:
    for name in rows:
        write_rows(mirror, name, rows[name])
    return mirror


def hub_config(folder: Path, **more: Any) -> HubData:
    """Every benchmark with all of its made-up rows, from `folder`/mirror."""
    benchmarks = {n: {"stands_for": n, "problems": len(ROWS[n])} for n in ROWS if n not in ("math_train", "math_test")}
    settings = {
        "source": "hub",
        "train_problems": TRAIN,
        "validation_problems": 0,
        "mirror": str(folder / "mirror"),
        "sample": True,
        "lock": str(folder / "lock.json"),
        "benchmarks": benchmarks,
    }
    return HubData.model_validate({**settings, **more})
