"""Fixtures of the rehearsal: toy checkpoints and a few rows of every benchmark, in the formats that are published.

The checkpoints are Qwen2.5 and Qwen3 architectures of two layers with a byte-level BPE tokenizer trained on the spot,
pretrained for seconds: enough that some rollouts end and some are right, so that every method has something to keep.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from intro.config import Checkpoint, Config, HubData, Pretraining
from intro.infra.files import atomic_folder
from intro.tasks.jsonl import write_jsonl
from intro.types import IntroError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Row = dict[str, Any]
END, TURN = "<|endoftext|>", "<|im_end|>"  # as Qwen's: config.json names one, the tokenizer of a base model the other
VOCABULARY = 384
PRETRAINING = Pretraining(steps=130, batch=32, muon_lr=0.02, adamw_lr=0.003)
SIZES = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024}  # fmt: skip
REAL = ("humaneval", "ifeval")  # sets whose real rows may stand in for the written ones


def write_fixtures(config: Config) -> list[Path]:
    """Make the mirror and the checkpoints that a rehearsal's config names; return their folders."""
    checkpoints = {m.checkpoint: m for m in config.models.values() if isinstance(m, Checkpoint)}
    local = all(name.startswith((".", "/")) for name in checkpoints)
    if not (isinstance(config.data, HubData) and config.data.mirror and config.data.sample and checkpoints and local):
        raise IntroError(
            "intro rehearse: expected a config whose data has a mirror with sample: true and whose checkpoints are "
            f"local folders, as config/rehearsal.yaml; '{config.scale}' is none, and nothing was written"
        )
    mirror = Path(config.data.mirror)
    with atomic_folder(mirror) as folder:
        for name, rows in mirror_rows(config.seed).items():
            write_jsonl(folder / f"{name}.jsonl", rows)
        for name in REAL:
            real = Path(os.environ.get("INTRO_BENCHMARK_ROWS", "")) / f"{name}.jsonl"
            if real.is_file():
                shutil.copy(real, folder / real.name)
    tokenizer = train_tokenizer(config)
    for seed, (checkpoint, model) in enumerate(checkpoints.items()):
        with atomic_folder(Path(checkpoint)) as folder:
            write_checkpoint(
                folder, "qwen3" if "qwen3" in model.stands_for.lower() else "qwen2", tokenizer, config, seed
            )
    return [mirror, *map(Path, checkpoints)]


# ---------------------------------------------------------------- rows


def sums(rng: Random) -> Iterator[tuple[str, str, str]]:
    """Different (question, solution, answer), the solution ending in a box as MATH's do."""
    facts = [(a, b, sign) for a in range(10) for b in range(10) for sign in ("+", "-")]
    rng.shuffle(facts)
    for a, b, sign in facts:
        value = a + b if sign == "+" else a - b
        yield (
            f"What is ${a} {sign} {b}$?",
            f"We get ${a} {sign} {b} = {value}$. The answer is $\\boxed{{{value}}}$.",
            str(value),
        )


def mirror_rows(seed: int) -> dict[str, list[Row]]:
    """Every set's few rows, with the published columns."""
    rng = Random(f"rehearsal/{seed}")
    facts = sums(rng)

    def some(count: int) -> list[tuple[str, str, str]]:
        return [next(facts) for _ in range(count)]

    math500 = [
        {"problem": q, "solution": s, "answer": a, "subject": "Prealgebra", "level": 3, "unique_id": f"test/{i}.json"}
        for i, (q, s, a) in enumerate(some(6))
    ]
    train = [math_row(q, s, 1 + i % 5) for i, (q, s, _) in enumerate(some(50))]  # 30 of levels 3 to 5
    test = [math_row(q, s, 4) for q, s, _ in some(10)]
    # two of MATH500's are in the test split, as in the published sets, and must not be trained on
    test += [math_row(row["problem"], row["solution"], row["level"]) for row in math500[:2]]
    return {
        "math500": math500,
        "math_train": train,
        "math_test": test,
        "minerva_math": [{"question": q, "answer": a} for q, _, a in some(4)],
        "olympiadbench": [olympiad_row(i, q, s, a) for i, (q, s, a) in enumerate(some(4))],
        "college_math": [{"question": q, "answer": f"${a}$"} for q, _, a in some(6)],
        "amc23": [{"id": i, "problem": q, "answer": float(a)} for i, (q, _, a) in enumerate(some(3))],
        "aime25": [{"id": str(i), "problem": q, "answer": f"{int(a):03d}"} for i, (q, _, a) in enumerate(some(3))],
        "livecodebench": [livecodebench_row(i, sign) for i, sign in enumerate("+-")],
        "bigcodebench": [bigcodebench_row(i, name) for i, name in enumerate(("max", "min"))],
        "gpqa": [gpqa_row(q, int(a)) for q, _, a in some(4)],
        "humaneval": [humaneval_row(i, name) for i, name in enumerate(("sum", "len"))],
        "ifeval": list(ifeval_rows()),
    }


def math_row(question: str, solution: str, level: int) -> Row:
    return {"problem": question, "level": f"Level {level}", "type": "Prealgebra", "solution": solution}


def olympiad_row(index: int, question: str, solution: str, answer: str) -> Row:
    return {
        "id": index, "question": question, "solution": [solution], "final_answer": [answer], "context": None,
        "unit": None, "answer_type": "Numerical", "error": "1e-1" if index == 0 else None, "is_multiple_answer": False,
        "subfield": "Algebra", "subject": "Math", "language": "English",
    }  # fmt: skip


def livecodebench_row(index: int, sign: str) -> Row:
    """One problem that reads from standard input, one that completes a method; hidden tests packed as published."""
    pairs = [(7, 2), (30, 12)]
    values = [a + b if sign == "+" else a - b for a, b in pairs]
    functional = sign == "-"
    joint = "\n"
    tests = [
        {"input": f"{a}{joint}{b}", "output": str(v), "testtype": "functional" if functional else "stdin"}
        for (a, b), v in zip(pairs, values, strict=True)
    ]
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests[1:])))).decode()
    starter = "class Solution:\n    def combine(self, a: int, b: int) -> int:\n        " if functional else ""
    return {
        "question_title": f"Two numbers {index}", "question_content": f"Given two integers a and b, find a {sign} b.",
        "platform": "leetcode" if functional else "atcoder", "question_id": f"rehearsal_{index}", "contest_id": "0",
        "contest_date": "2026-11-24T00:00:00", "starter_code": starter, "difficulty": "easy",
        "public_test_cases": json.dumps(tests[:1]), "private_test_cases": packed,
        "metadata": json.dumps({"func_name": "combine"} if functional else {}),
    }  # fmt: skip


def bigcodebench_row(index: int, name: str) -> Row:
    head = f'def task_func(values):\n    """Return the {name} of a list of numbers, 0 for an empty one."""\n'
    value = {"max": 3, "min": 1}[name]
    tests = (
        "import unittest\nclass TestCases(unittest.TestCase):\n"
        f"    def test_some(self):\n        self.assertEqual(task_func([2, 3, 1]), {value})\n"
        "    def test_none(self):\n        self.assertEqual(task_func([]), 0)\n"
    )
    return {
        "task_id": f"BigCodeBench/rehearsal-{index}", "complete_prompt": head, "instruct_prompt": f"Return the {name}.",
        "canonical_solution": f"    return {name}(values, default=0)\n", "code_prompt": "def task_func(values):\n",
        "test": tests, "entry_point": "task_func", "doc_struct": "{}", "libs": "[]",
    }  # fmt: skip


def gpqa_row(question: str, answer: int) -> Row:
    wrong = {f"Incorrect Answer {i}": str(answer + i) for i in (1, 2, 3)}
    return {"Question": question, "Correct Answer": str(answer), **wrong}


def humaneval_row(index: int, name: str) -> Row:
    prompt = f'def f(values):\n    """The {name} of a list of numbers.\n    >>> f([3])\n    """\n'
    test = (
        f"def check(candidate):\n    assert candidate([1, 2, 4]) == {name}([1, 2, 4])\n    assert candidate([]) == 0\n"
    )
    solution = f"    return {name}(values)\n"
    return {
        "task_id": f"rehearsal/{index}",
        "prompt": prompt,
        "canonical_solution": solution,
        "test": test,
        "entry_point": "f",
    }


def ifeval_rows() -> Iterator[Row]:
    """Instructions that some random text follows and some does not; as a table, each has every argument."""
    arguments = ("forbidden_words", "num_words", "relation", "num_sentences", "keywords")
    for key, (instruction, given) in enumerate([
        ("punctuation:no_comma", {}),
        ("keywords:forbidden_words", {"forbidden_words": ["elephant"]}),
        ("length_constraints:number_words", {"num_words": 300, "relation": "at least"}),
        ("length_constraints:number_sentences", {"num_sentences": 9, "relation": "less than"}),
    ]):  # fmt: skip
        kwargs = [dict.fromkeys(arguments) | given]
        yield {
            "key": key,
            "prompt": f"Write a line, heeding {instruction}.",
            "instruction_id_list": [instruction],
            "kwargs": kwargs,
        }


# ---------------------------------------------------------------- checkpoints


def documents(config: Config) -> list[tuple[str, str]]:
    """(prompt, response) pairs over all sums, with and without the answer in the prompt."""
    rng = Random("rehearsal/corpus")
    pairs = [
        (config.prompts[layout].format(question=q, answer=a), s)
        for layout in ("question", "posterior")
        for q, s, a in sums(rng)
    ]
    rng.shuffle(pairs)
    return pairs


def train_tokenizer(config: Config) -> Tokenizer:
    """Byte-level BPE, digits apart, with Qwen's two end tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\d| ?[^\s\d]+|\s+"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((p + s for p, s in documents(config)), trainer)
    return tokenizer


def write_checkpoint(folder: Path, architecture: str, tokenizer: Tokenizer, config: Config, seed: int) -> None:
    """An ordinary Hugging Face folder with a briefly pretrained model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    from intro.pretraining.loop import pretrain

    torch.manual_seed(seed)
    end = tokenizer.token_to_id(END)
    shape = AutoConfig.for_model(
        architecture,
        **SIZES,
        vocab_size=tokenizer.get_vocab_size() + 8,  # published embeddings are padded beyond the tokenizer
        tie_word_embeddings=architecture == "qwen2",
        bos_token_id=end,
        eos_token_id=end,
    )
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    rows = []
    for prompt, response in documents(config):
        asked, said = (tokenizer.encode(text, add_special_tokens=False).ids for text in (prompt, response))
        rows.append(([*asked, *said, end], len(asked)))
    pretrain(model, rows, PRETRAINING)
    model.save_pretrained(folder)
    saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=TURN, pad_token=END)
    saved.save_pretrained(folder)
