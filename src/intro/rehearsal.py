"""Fixtures of the rehearsal: toy checkpoints and a few rows of every benchmark, in the published formats.

The checkpoints are Qwen2.5 and Qwen3 architectures of two layers with a byte-level BPE tokenizer that is trained here.
They are pretrained for seconds, after which some rollouts end and some are correct: every method keeps rationales.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import yaml

from intro.config import Checkpoint, Config, HubData, Pretraining, TinyModel
from intro.infra.files import atomic_folder
from intro.tasks.jsonl import write_jsonl
from intro.types import IntroError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Row = dict[str, Any]
END, TURN = "<|endoftext|>", "<|im_end|>"  # as for Qwen: config.json names one, the tokenizer of a base model the other
VOCABULARY = 384
PRETRAINING = Pretraining(steps=130, batch=32, muon_lr=0.02, adamw_lr=0.003)
CONTEXT = 1024  # positions
SIZES = {"hidden": 64, "intermediate": 192, "layers": 2, "heads": 4, "kv_heads": 2}
REAL = ("humaneval", "ifeval")  # sets whose published rows replace the written ones where they are available


def write_fixtures(config: Config) -> list[Path]:
    """Write the mirror and the checkpoints that a rehearsal's config names; return their folders.

    Raises IntroError for a config of another kind.
    """
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
            family = "qwen3" if "qwen3" in model.stands_for.lower() else "qwen2"
            write_checkpoint(folder, family, tokenizer, config, seed)
    return [mirror, *map(Path, checkpoints)]


# ---------------------------------------------------------------- rows


def sums(rng: Random) -> Iterator[tuple[str, str, str]]:
    """Different (question, solution, answer), the solution ending in a box as MATH's do."""
    facts = [(a, b, sign) for a in range(10) for b in range(10) for sign in ("+", "-")]
    rng.shuffle(facts)
    for a, b, sign in facts:
        value = a + b if sign == "+" else a - b
        solution = f"We get ${a} {sign} {b} = {value}$. The answer is $\\boxed{{{value}}}$."
        yield f"What is ${a} {sign} {b}$?", solution, str(value)


def mirror_rows(seed: int) -> dict[str, list[Row]]:
    """A few rows of every set, with the published columns."""
    facts = sums(Random(f"rehearsal/{seed}"))

    def some(count: int, row: Callable[[int, str, str, str], Row]) -> list[Row]:
        return [row(i, *next(facts)) for i in range(count)]

    rows = {
        "math500": some(6, math500_row),
        "math_train": some(50, lambda i, q, s, a: math_row(q, s, 1 + i % 5)),  # 30 of levels 3 to 5
        "math_test": some(10, lambda i, q, s, a: math_row(q, s, 4)),
        "minerva_math": some(4, lambda i, q, s, a: {"question": q, "answer": a}),
        "olympiadbench": some(4, olympiad_row),
        "college_math": some(6, lambda i, q, s, a: {"question": q, "answer": f"${a}$"}),
        "amc23": some(3, lambda i, q, s, a: {"id": i, "problem": q, "answer": float(a)}),
        "aime25": some(3, lambda i, q, s, a: {"id": str(i), "problem": q, "answer": f"{int(a):03d}"}),
        "gpqa": some(4, gpqa_row),
    }
    # two of MATH500's are in the test split, as in the published sets, and must not be trained on
    rows["math_test"] += [math_row(row["problem"], row["solution"], row["level"]) for row in rows["math500"][:2]]
    return rows | program_rows()


def math500_row(index: int, question: str, solution: str, answer: str) -> Row:
    more = {"answer": answer, "subject": "Prealgebra", "level": 3, "unique_id": f"test/{index}.json"}
    return {"problem": question, "solution": solution, **more}


def math_row(question: str, solution: str, level: int) -> Row:
    return {"problem": question, "level": f"Level {level}", "type": "Prealgebra", "solution": solution}


def olympiad_row(index: int, question: str, solution: str, answer: str) -> Row:
    return {
        "id": index, "question": question, "solution": [solution], "final_answer": [answer], "context": None,
        "unit": None, "answer_type": "Numerical", "error": "1e-1" if index == 0 else None, "is_multiple_answer": False,
        "subfield": "Algebra", "subject": "Math", "language": "English",
    }  # fmt: skip


def gpqa_row(index: int, question: str, solution: str, answer: str) -> Row:
    wrong = {f"Incorrect Answer {i}": str(int(answer) + i) for i in (1, 2, 3)}
    return {"Question": question, "Correct Answer": answer, **wrong}


def program_rows() -> dict[str, list[Row]]:
    """The rows of programs and instructions, with LiveCodeBench's tests packed as they are published."""
    rows = yaml.safe_load(Path(__file__).with_name("rehearsal_rows.yaml").read_text())
    for row in rows["livecodebench"]:
        for name in ("public_test_cases", "private_test_cases", "metadata"):
            row[name] = json.dumps(row[name])
        row["private_test_cases"] = base64.b64encode(zlib.compress(pickle.dumps(row["private_test_cases"]))).decode()
    return rows


# ---------------------------------------------------------------- checkpoints


def documents(config: Config) -> list[tuple[str, str]]:
    """(prompt, response) pairs over all sums, with and without the answer in the prompt."""
    rng = Random("rehearsal/corpus")
    templates = (config.prompts["question"], config.prompts["posterior"])
    pairs = [(template.format(question=q, answer=a), s) for template in templates for q, s, a in sums(rng)]
    rng.shuffle(pairs)
    return pairs


def train_tokenizer(config: Config) -> Tokenizer:
    """Byte-level BPE with single digits and Qwen's two end tokens."""
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
    from intro.pretraining.base_model import build_model, save_base
    from intro.pretraining.corpus import encode_corpus
    from intro.pretraining.loop import pretrain

    end = tokenizer.token_to_id(END)
    size = tokenizer.get_vocab_size() + 8  # published embeddings are padded beyond the tokenizer
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": None}
    shape = TinyModel(architecture=architecture, stands_for="", **SIZES)
    tied = architecture == "qwen2"
    model = build_model(shape, tokenizer, CONTEXT, seed, vocab_size=size, tie_word_embeddings=tied, **ends)
    pretrain(model, encode_corpus(documents(config), tokenizer, END), PRETRAINING)
    save_base(model, tokenizer, {"eos_token": TURN, "pad_token": END}, folder)
