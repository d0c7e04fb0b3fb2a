"""Our IFEval and GPQA scores are lm-evaluation-harness's: the same rows and responses, prompt by prompt."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from intro.tasks.graders import choice, instructions
from intro.tasks.published.readers import choice_prompt
from intro.types import Problem

lm_eval = pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")

TASKS = Path(lm_eval.__file__).parent / "tasks"
LENGTH = 24  # tokens of a response

# rows in the published formats, of our own making; some are met by any text, some by none
IFEVAL_ROWS = [
    ("Write without commas.", {"punctuation:no_comma": {}}),
    ("Avoid these words.", {"keywords:forbidden_words": {"forbidden_words": ["zebra", "quartz"]}}),
    ("Be brief.", {"length_constraints:number_words": {"relation": "less than", "num_words": 300}}),
    ("Few sentences.", {"length_constraints:number_sentences": {"relation": "less than", "num_sentences": 40}}),
    ("Two things.", {"punctuation:no_comma": {}, "detectable_format:title": {}}),
    ("Use JSON.", {"detectable_format:json_format": {}}),
    ("Rarely q.", {"keywords:letter_frequency": {"letter": "q", "let_relation": "less than", "let_frequency": 5}}),
    ("End well.", {"startend:end_checker": {"end_phrase": "Is that all?"}, "startend:quotation": {}}),
    ("In capitals.", {"change_case:capital_word_frequency": {"capital_relation": "at least", "capital_frequency": 2}}),
    ("Three parts.", {"length_constraints:number_paragraphs": {"num_paragraphs": 3}}),
    ("In German.", {"language:response_language": {"language": "de"}}),
]
WRITTEN = [
    "Es war einmal ein König, der wollte nicht regieren. Er ging lieber in den Wald.",
    "SHORT WORDS. Dr. Smith, e.g., was here.\n\nThen he left.",
    '"<<Title>> all good. Is that all?"',
    '```json\n{"a": 1}\n```',
    "*First* part\n***\nsecond\n***\nthird",
    "Sure! Here it is:\nno comma and a <<heading>>\nHope it helps, bye",
    "",
    "qqqqqq",
]
OPTIONS = ["red light", "Blue (dark) light.", "no light", "light"]  # the second is right
LETTERS = [
    "The answer is (B).",
    "The answer is (B)",
    "The answer is B) because",
    "the answer is (c).",
    "(A) is wrong and (B) is right. The answer is (B), Blue (dark) light.",
    "I choose red light",
    "Answer: D",
    "",
    "(Z)",
    "The answer is \n(B)",
    "no light at all, only light",
]


def write_tasks(folder: Path) -> None:
    """lm-eval's own task files, with the data set replaced by ours."""
    rows = {"ifeval": [], "gpqa": []}
    for key, (text, asked) in enumerate(IFEVAL_ROWS):
        rows["ifeval"].append(
            {"key": key, "prompt": text, "instruction_id_list": [*asked], "kwargs": [*asked.values()]}
        )
    names = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")
    answers = dict(zip(names, [OPTIONS[0], *OPTIONS[2:], OPTIONS[1]], strict=True))
    rows["gpqa"] = [{"Question": f"Which light is number {number}?"} | answers for number in range(len(LETTERS))]
    files = {"ifeval": TASKS / "ifeval" / "ifeval.yaml", "gpqa": TASKS / "gpqa/cot_zeroshot/_gpqa_cot_zeroshot_yaml"}
    for name, file in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
        (folder / f"local_{name}.yaml").write_text(
            f"include: {file}\ntask: local_{name}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs:\n  data_files:\n    train: {folder}/{name}.jsonl\n  cache_dir: {folder}/cache\n"
        )


@dataclass
class Run:
    """One lm-eval run, offline: its samples by task, and the model and tokenizer to repeat it with."""

    samples: dict[str, list[dict[str, Any]]]
    manager: Any
    model: Any
    tokenizer: Any


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    import toy

    folder = tmp_path_factory.mktemp("lm_eval")
    instructions._checkers()  # lays NLTK's sentence model where lm-eval looks for it
    write_tasks(folder)
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer, plain.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet)
    plain.train_from_iterator([*WRITTEN, *LETTERS, *OPTIONS], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<end>")
    model = toy.random_model(vocabulary=len(tokenizer), seed=3)
    model.config.max_position_embeddings = 512
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    result = lm_eval.simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu", max_length=512),
        tasks=["local_ifeval", "local_gpqa"],
        gen_kwargs={"max_gen_toks": LENGTH},
        task_manager=manager,
        bootstrap_iters=0,
    )
    return Run(result["samples"], manager, model, tokenizer)


def greedy(run: Run, prompt: str) -> str:
    """The response as transformers generates it."""
    given = run.tokenizer(prompt, return_tensors="pt")
    tokens = run.model.generate(**given, max_new_tokens=LENGTH, do_sample=False)
    return run.tokenizer.decode(tokens[0, given["input_ids"].shape[1] :], skip_special_tokens=True)


def ifeval_problem(row: dict[str, Any]) -> Problem:
    extra = {name: row[name] for name in ("key", "instruction_id_list", "kwargs")}
    return Problem(f"ifeval/{row['key']}", "ifeval", row["prompt"], "", extra=extra)


def gpqa_problem(row: dict[str, Any]) -> Problem:
    question = choice_prompt(row["Question"], row["choices"])
    return Problem("gpqa/x", "gpqa", question, row["answer"], extra={"options": row["choices"]})


def test_ifeval_of_the_same_model(run: Run) -> None:
    """A greedy run of a random model: equal responses, and both strict metrics are equal on every prompt."""
    samples = run.samples["local_ifeval"]
    pairs = [(greedy(run, sample["doc"]["prompt"]), ifeval_problem(sample["doc"])) for sample in samples]
    assert [text for text, _ in pairs] == [sample["resps"][0][0] for sample in samples]
    assert [instructions.followed(*pair) for pair in pairs] == [sample["inst_level_strict_acc"] for sample in samples]
    grades = [grade.correct for grade in instructions.grade_all(pairs)]
    assert grades == [sample["prompt_level_strict_acc"] for sample in samples]
    assert len(samples) == len(IFEVAL_ROWS) and set(grades) == {True, False}


def gpqa_scores(pairs: list[tuple[str, Problem]]) -> list[dict[str, bool]]:
    """Exact match, as lm-eval compares it, of what each filter leaves of a response."""
    plain = str.maketrans("", "", string.punctuation)
    scores = []
    for kept, (_, problem) in zip(choice.extract_all(pairs), pairs, strict=True):
        texts = [text.lower().translate(plain) for text in (*kept, problem.answer)]
        scores.append({"strict": texts[0] == texts[2], "flexible": texts[1] == texts[2]})
    return scores


def test_gpqa_of_the_same_model(run: Run) -> None:
    """The prompt is lm-eval's; each of its filters gives the score that ours gives."""
    samples = run.samples["local_gpqa"]
    scored = iter(gpqa_scores([(sample["resps"][0][0], gpqa_problem(sample["doc"])) for sample in samples]))
    for sample in samples:
        problem = gpqa_problem(sample["doc"])
        assert problem.question == sample["arguments"][0][0]
        text = greedy(run, problem.question)
        assert text == sample["resps"][0][0]
        ours = next(scored)
        filtered = "strict" if sample["filter"] == "strict-match" else "flexible"
        assert ours[filtered] == bool(sample["exact_match"])
    assert {sample["filter"] for sample in samples} == {"strict-match", "flexible-extract"}


def test_ifeval_of_written_responses(run: Run) -> None:
    """Every response on every row: a random model's text does not reach all checkers."""
    task = run.manager.load(["local_ifeval"])["tasks"]["local_ifeval"]
    met = set()
    for row in task.test_docs():
        for text in WRITTEN:
            theirs, problem = task.process_results(row, [text]), ifeval_problem(row)
            assert instructions.followed(text, problem) == theirs["inst_level_strict_acc"], (row["prompt"], text)
            [grade] = instructions.grade_all([(text, problem)])
            assert grade.correct == theirs["prompt_level_strict_acc"], (row["prompt"], text)
            met |= {row["key"]} if grade.correct else set()
    assert len(met) >= 9  # nearly every row is met by something


def test_gpqa_of_written_responses(run: Run) -> None:
    task = run.manager.load(["local_gpqa"])["tasks"]["local_gpqa"]
    task.build_all_requests()
    for instance, text in zip(task.instances, LETTERS, strict=True):
        instance.resps = [text.replace("(B)", instance.doc["answer"])]  # the options are shuffled
    task.apply_filters()
    filters = {"strict": "strict-match", "flexible": "flexible-extract"}
    seen = {name: set() for name in filters}
    scored = gpqa_scores([(instance.resps[0], gpqa_problem(instance.doc)) for instance in task.instances])
    for instance, ours in zip(task.instances, scored, strict=True):
        kept = {ours: instance.filtered_resps[theirs] for ours, theirs in filters.items()}
        theirs = {name: bool(task.process_results(instance.doc, [r])["exact_match"]) for name, r in kept.items()}
        assert ours == theirs, instance.resps
        for name, right in theirs.items():
            seen[name].add(right)
    assert seen == {"strict": {True, False}, "flexible": {True, False}}
