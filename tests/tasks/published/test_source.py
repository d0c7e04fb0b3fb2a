"""Published sets are read whole and compared with their counts and the lock; the training set is the documented one."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from intro import config
from intro.tasks.graders import dispatch
from intro.tasks.graders.tolerance import within_tolerance
from intro.tasks.prepare import prepare
from intro.tasks.published import fetch
from intro.tasks.published.collections import COLLECTIONS, Collection
from intro.tasks.published.source import PublishedSource
from intro.tasks.registry import load_source
from intro.types import Grade, IntroError, Problem
from mirrors import ROWS, TRAIN, hub_config, math_row, write_mirror, write_rows

COMMIT = "c" * 40
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test uses the network or the environment variables of the user."""
    monkeypatch.delenv(fetch.MIRROR_VARIABLE, raising=False)
    monkeypatch.delenv(fetch.TOKEN_VARIABLE, raising=False)

    def refuse(published: Collection, revision: str | None) -> Any:
        raise AssertionError(f"asked the Hub for {published.name}")

    monkeypatch.setattr(fetch, "download", refuse)


@pytest.fixture
def hub(tmp_path: Path) -> PublishedSource:
    write_mirror(tmp_path / "mirror")
    return PublishedSource(hub_config(tmp_path), seed=0)


# ---------------------------------------------------------------- reading


def test_every_set_is_read_from_a_mirror(hub: PublishedSource, tmp_path: Path) -> None:
    """Ids are unique, and the lock has an entry for each set that was read."""
    problems = [p for name in hub.data.benchmarks for p in hub.problems(name)] + hub.train()
    assert len({p.id for p in problems}) == len(problems) == sum(len(ROWS[n]) for n in hub.data.benchmarks) + TRAIN
    assert {p.benchmark for p in problems} <= set(COLLECTIONS)
    assert set(json.loads((tmp_path / "lock.json").read_text())) == set(hub.entries) == set(ROWS)
    assert hub.entries["gpqa"].origin == "mirror" and hub.entries["gpqa"].revision is None


def test_problems_do_not_depend_on_the_order_of_calls(hub: PublishedSource) -> None:
    again = PublishedSource(hub.data, seed=0)
    assert again.train() == hub.train()
    assert [hub.problems(n) for n in hub.data.benchmarks] == [again.problems(n) for n in reversed(hub.data.benchmarks)][
        ::-1
    ]


def test_the_registry_loads_it(hub: PublishedSource) -> None:
    source = load_source(hub.data, {"question": "{question}\n"}, 0)
    assert source.problems("amc23")[0].answer == "27" and source.unknown_answer() == "unknown"


def test_the_variable_overrides_the_config(
    hub: PublishedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "other", "amc23", [{"problem": "Another?", "answer": 5}, *ROWS["amc23"]])
    monkeypatch.setenv(fetch.MIRROR_VARIABLE, str(tmp_path / "other"))
    assert hub._all("amc23")[0].question == "Another?"
    with pytest.raises(
        IntroError, match=r"other/aime25.jsonl: no such file; a mirror holds the rows of math-ai/aime25"
    ):
        hub.problems("aime25")


def test_fewer_problems_are_a_seeded_choice_in_order(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror")
    data = hub_config(tmp_path, benchmarks={"gpqa": {"stands_for": "gpqa", "problems": 5}})
    chosen = [p.id for p in PublishedSource(data, seed=0).problems("gpqa")]
    assert len(chosen) == 5 and chosen == sorted(chosen, key=lambda i: int(i.split("/")[1]))
    assert chosen == [p.id for p in PublishedSource(data, seed=0).problems("gpqa")]
    assert any(chosen != [p.id for p in PublishedSource(data, seed=s).problems("gpqa")] for s in range(1, 4))


def test_more_problems_than_rows_are_refused(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror")
    data = hub_config(tmp_path, benchmarks={"gpqa": {"stands_for": "gpqa", "problems": 13}})
    with pytest.raises(IntroError, match=r"data\.benchmarks\.gpqa: expected 13 problems, found 12; ask for fewer"):
        PublishedSource(data, seed=0).problems("gpqa")


def test_unknown_benchmarks_are_refused(hub: PublishedSource, tmp_path: Path) -> None:
    data = hub_config(tmp_path, benchmarks={"gsm9k": {"stands_for": "gsm9k", "problems": 1}})
    with pytest.raises(IntroError, match=r"expected one of math500, .*, found 'gsm9k'"):
        PublishedSource(data, seed=0)
    with pytest.raises(IntroError, match=r"data\.benchmarks: expected one of .*, found 'chain-2'"):
        hub.problems("chain-2")


def test_a_part_of_a_set_is_refused_unless_the_config_says_sample(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror")
    with pytest.raises(
        IntroError, match=r"math500: expected 500 rows at revision ff5b.*, found 2 \(.*math500\.jsonl\)"
    ):
        PublishedSource(hub_config(tmp_path, sample=False), seed=0).problems("math500")
    with pytest.raises(IntroError, match=r"olympiadbench: expected 675 or 674 rows"):
        PublishedSource(hub_config(tmp_path, sample=False), seed=0).problems("olympiadbench")
    assert not (tmp_path / "lock.json").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"id": 1, "question": "?"},
            r"amc23: expected the columns of math-ai/amc23, but row 2 lacks answer and has id, q",
        ),
        ({"text": "?", "answer": 1}, r"row 2 lacks problem or question and has text, answer"),
        ([1, 2], r"row 2 lacks every column"),
        (
            {"question": "?", "answer": "27.5"},
            r"amc23: row 2 is not what math-ai/amc23 publishes \(expected a whole number",
        ),
        ({"question": None, "answer": "27"}, r"amc23: row 2 is not what .* \(no value for problem or question"),
    ],
)
def test_unreadable_rows_raise(tmp_path: Path, row: Any, message: str) -> None:
    """Such rows are not written to the lock, so the right rows are still accepted."""
    write_mirror(tmp_path / "mirror")
    write_rows(tmp_path / "mirror", "amc23", [*ROWS["amc23"], row])
    with pytest.raises(IntroError, match=message):
        PublishedSource(hub_config(tmp_path), seed=0).problems("amc23")
    assert not (tmp_path / "lock.json").exists()


def test_a_damaged_mirror_names_its_line(hub: PublishedSource, tmp_path: Path) -> None:
    with (tmp_path / "mirror" / "aime25.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(IntroError, match=r"aime25\.jsonl: line 3 is not JSON"):
        hub.problems("aime25")


def test_errors_quote_no_question_of_gpqa(tmp_path: Path) -> None:
    """Its authors ask that questions are not printed."""
    bad = {**ROWS["gpqa"][0], "Question": "the secret", "Correct Answer": 3, "Incorrect Answer 1": 4}
    write_mirror(tmp_path / "mirror", {"gpqa": [bad]})
    data = hub_config(tmp_path, benchmarks={"gpqa": {"stands_for": "gpqa", "problems": 1}})
    with pytest.raises(IntroError) as raised:
        PublishedSource(data, seed=0).problems("gpqa")
    assert "secret" not in str(raised.value) and "wrong two" not in str(raised.value)


def test_changed_rows_raise(hub: PublishedSource, tmp_path: Path) -> None:
    hub.problems("aime25")
    write_rows(tmp_path / "mirror", "aime25", [{**ROWS["aime25"][0], "answer": "034"}, ROWS["aime25"][1]])
    with pytest.raises(IntroError, match=r"aime25: expected the 2 rows with sha256 .* delete the entry 'aime25'"):
        PublishedSource(hub.data, seed=0).problems("aime25")


# ---------------------------------------------------------------- the Hub


class Remote:
    """Replaces the Hub: rows by collection, and the requests so far."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]], error: Exception | None = None) -> None:
        self.rows, self.error, self.asked = rows, error, []

    def __call__(self, published: Collection, revision: str | None) -> tuple[list[dict[str, Any]], str]:
        self.asked.append((published.name, revision))
        if self.error:
            raise self.error
        return self.rows[published.name], revision or COMMIT


def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Remote, **more: Any) -> PublishedSource:
    monkeypatch.setattr(fetch, "download", remote)
    return PublishedSource(hub_config(tmp_path, mirror=None, **more), seed=0)


def test_the_first_fetch_pins_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set without a known revision is fetched at the newest one first, then always at that one."""
    remote = Remote(ROWS)
    hub = online(tmp_path, monkeypatch, remote)
    hub.problems("amc23")
    hub.problems("amc23")
    PublishedSource(hub.data, seed=0).problems("amc23")
    PublishedSource(hub.data, seed=0).problems("math500")
    assert remote.asked == [("amc23", None), ("amc23", COMMIT), ("math500", COLLECTIONS["math500"].revision)]
    entry = json.loads((tmp_path / "lock.json").read_text())["amc23"]
    assert entry["revision"] == COMMIT and entry["origin"] == "Hub" and entry["rows"] == 2


def test_a_mirror_of_the_fetched_rows_matches_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online(tmp_path, monkeypatch, Remote(ROWS)).problems("amc23")
    write_mirror(tmp_path / "mirror")
    assert len(PublishedSource(hub_config(tmp_path), seed=0).problems("amc23")) == 2


def test_a_wrong_number_of_rows_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = online(tmp_path, monkeypatch, Remote(ROWS), sample=False)
    with pytest.raises(
        IntroError, match=rf"amc23: expected 40 rows at revision {COMMIT}, found 2 \(Hub: math-ai/amc23"
    ):
        hub.problems("amc23")


def raised_with(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _errors() -> list[tuple[str, Exception, str]]:
    from unittest.mock import Mock

    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    def http(kind: type, status: int, text: str) -> Exception:
        return kind(text, response=Mock(status_code=status, headers={}))

    gated, page = http(GatedRepoError, 403, "gated"), r"accept its conditions on https://.*Idavidrein/gpqa, .*HF_TOKEN"
    absent = http(RepositoryNotFoundError, 401, "401")
    offline = r"the Hub cannot be reached; connect to the network, or set INTRO_DATA_DIR"
    return [
        ("gpqa", gated, page),
        ("gpqa", raised_with(DatasetNotFoundError("Dataset is a gated dataset"), gated), page),
        ("gpqa", absent, page),
        ("amc23", absent, r"has no such set for this account; look at https://.*math-ai/amc23"),
        ("amc23", LocalEntryNotFoundError("cannot find the requested files in the local cache"), offline),
        ("amc23", OfflineModeIsEnabled("offline"), offline),
        ("gpqa", ConnectionError("Couldn't reach 'x' on the Hub"), offline),
        (
            "amc23",
            http(HfHubHTTPError, 500, "Internal\nError"),
            r"at revision newest \(HfHubHTTPError: Internal Error\); try",
        ),
        (
            "math500",
            ModuleNotFoundError("No module named 'datasets'", name="datasets"),
            r"need 'datasets', which is not installed; pip install -c constraints.txt -e '\.\[eval\]', or set INTRO",
        ),
        ("math500", ValueError('Unknown split "test"'), r"at revision ff5b\w+ \(ValueError: Unknown split \"test\"\)"),
    ]


@pytest.mark.parametrize(("name", "error", "message"), _errors(), ids=lambda v: type(v).__name__)
def test_errors_of_the_hub_name_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, message: str
) -> None:
    """Each message says what to do; the classes are those of the installed libraries."""
    hub = online(tmp_path, monkeypatch, Remote({}, error))
    with pytest.raises(IntroError, match=message) as raised:
        hub.problems(name)
    assert "\n" not in str(raised.value) and str(raised.value).startswith(name)
    assert not (tmp_path / "lock.json").exists()


def test_download_asks_for_one_commit_and_no_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that touches the network, with its two libraries replaced."""
    import datasets
    import huggingface_hub

    monkeypatch.undo()
    monkeypatch.setenv(fetch.TOKEN_VARIABLE, "secret")
    asked: list[Any] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            assert token == "secret"

        def dataset_info(self, hub_id: str) -> Any:
            asked.append(hub_id)
            return type("Info", (), {"sha": COMMIT})

    def load_dataset(hub_id: str, name: str, **how: Any) -> list[dict[str, Any]]:
        asked.append((hub_id, name, how))
        return [{"config": name}]

    def hf_hub_download(hub_id: str, file: str, **how: Any) -> str:
        asked.append((hub_id, file, how["revision"]))
        (tmp_path / file).write_text(json.dumps({"file": file}) + "\n\n")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    rows, commit = fetch.download(COLLECTIONS["math_train"], None)
    assert commit == COMMIT and [r["config"] for r in rows] == list(COLLECTIONS["math_train"].configs)
    how = {"split": "train", "revision": COMMIT, "token": "secret"}
    assert asked == ["EleutherAI/hendrycks_math"] + [(asked[0], c, how) for c in COLLECTIONS["math_train"].configs]

    asked.clear()
    rows, _ = fetch.download(COLLECTIONS["livecodebench"], "d" * 40)
    assert [r["file"] for r in rows] == ["test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl"]
    assert {a[2] for a in asked} == {"d" * 40}


# ---------------------------------------------------------------- training


def test_training_is_levels_3_to_5_without_math500(hub: PublishedSource) -> None:
    """Problems that differ in white space only are recognised."""
    train = hub.train()
    assert len(train) == TRAIN and hub.validation() == []
    assert {p.extra["level"] for p in train} == {3, 4, 5}
    assert not {re.sub(r"\s", "", p.question) for p in train} & {"Whatis$100+1$?", "Whatis$101+1$?"}
    assert all(p.rationale and f"\\boxed{{{p.answer}}}" in p.rationale for p in train)


def test_the_contaminated_set_keeps_the_problems_of_math500(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror")
    data = hub_config(tmp_path, train="math-3-to-5-contaminated", train_problems=TRAIN + 2)
    assert len(PublishedSource(data, seed=0).train()) == TRAIN + 2


def test_the_published_counts_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,586 + 3,669 problems of levels 3 to 5, 367 of them in MATH500: 8,888, or 9,255 with them."""
    train = [math_row(i, 3 + i % 3 if i < 5586 else 1 + i % 2) for i in range(7500)]
    test = [math_row(i, 3 + i % 3 if i < 10_000 + 3669 else 1 + i % 2) for i in range(10_000, 15_000)]
    held_out = [{"problem": r["problem"].replace("\n", " "), "answer": "1"} for r in test[:367] + test[-133:]]
    remote = Remote({"math_train": train, "math_test": test, "math500": held_out})
    paper = config.load(ROOT / "config" / "paper.yaml").data
    assert isinstance(paper, config.HubData)
    monkeypatch.setattr(fetch, "download", remote)
    data = paper.model_copy(update={"lock": str(tmp_path / "lock.json")})
    assert len(PublishedSource(data, seed=0).train()) == data.train_problems == 8888
    more = {"train": "math-3-to-5-contaminated", "train_problems": 9255}
    assert len(PublishedSource(data.model_copy(update=more), seed=0).train()) == 9255
    with pytest.raises(
        IntroError, match=r"expected 9255 problems .*, found 8888 in math-3-to-5 \(9255 of .*, less 367 "
    ):
        PublishedSource(data.model_copy(update={"train_problems": 9255}), seed=0).train()


def test_a_wrong_training_count_raises(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror")
    with pytest.raises(
        IntroError,
        match=rf"data\.train: expected {TRAIN + 5} problems .*, found {TRAIN} in math-3-to-5 \({TRAIN + 2} of levels 3 "
        rf"to 5, less 2 that math500 has\); set data\.train_problems to {TRAIN - 2}",
    ):
        PublishedSource(hub_config(tmp_path, train_problems=TRAIN + 3, validation_problems=2), seed=0).train()


def test_a_sample_may_lack_the_test_split(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror", {name: ROWS[name] for name in ("math500", "math_train")})
    assert len(PublishedSource(hub_config(tmp_path, train_problems=12), seed=0).train()) == 12
    with pytest.raises(IntroError, match="math_train: expected 7500 rows"):
        PublishedSource(hub_config(tmp_path, train_problems=12, sample=False), seed=0).train()


def test_validation_is_chosen_by_the_seed_and_never_trained_on(tmp_path: Path) -> None:
    """Two copies of one question never stand in both sets."""
    twice = [*ROWS["math_train"], {**ROWS["math_train"][2], "problem": "What is $2 + 1$?"}]
    write_mirror(tmp_path / "mirror", {**ROWS, "math_train": twice})
    data = hub_config(tmp_path, train_problems=3, validation_problems=TRAIN + 1 - 3)
    chosen = set()
    for seed in range(5):
        hub = PublishedSource(data, seed=seed)
        train, validation = hub.train(), hub.validation()
        assert (len(train), len(validation)) == (3, TRAIN - 2)
        texts = [{"".join(p.question.split()) for p in part} for part in (train, validation)]
        assert not texts[0] & texts[1]
        assert validation == PublishedSource(data, seed=seed).validation()
        chosen.add(tuple(p.id for p in validation))
    assert len(chosen) > 1
    with pytest.raises(IntroError, match=r"data\.validation_problems: expected 16 problems, found 15; ask for fewer"):
        PublishedSource(hub_config(tmp_path, train_problems=1, validation_problems=TRAIN), seed=0).train()


def test_wrong_answers_are_repeatable_answers_of_other_problems(hub: PublishedSource) -> None:
    """A run reads them from the file of problems, without the data set."""
    train, math500 = hub.train(), hub.problems("math500")
    answers = {p.answer for p in train}
    for problem in [*train, *math500]:
        wrong = hub.wrong_answer(problem)
        assert wrong != problem.answer and wrong in answers
        assert wrong == PublishedSource(hub.data, seed=0).wrong_answer(problem)
    away = PublishedSource(hub.data.model_copy(update={"mirror": "nowhere"}), seed=0)
    assert [away.wrong_answer(p) for p in train] == [hub.wrong_answer(p) for p in train]


def test_equal_answers_give_no_wrong_answer(tmp_path: Path) -> None:
    write_mirror(tmp_path / "mirror", {"math500": ROWS["math500"], "math_train": [math_row(1, 5), math_row(1, 5)]})
    with pytest.raises(IntroError, match="training problems with other answers"):
        PublishedSource(hub_config(tmp_path, train_problems=2), seed=0).train()


# ---------------------------------------------------------------- judging


def test_each_problem_goes_to_its_grader(hub: PublishedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call per grader, grades in the order of the pairs, and the sandbox settings of the config."""
    calls: list[tuple[str, int]] = []

    def grader(name: str) -> Any:
        def grade(pairs: dispatch.Pairs, execution: dispatch.Execution) -> list[Grade]:
            assert execution == dispatch.Execution(True, "/env/python")
            calls.append((name, len(pairs)))
            return [Grade(True, text, name) for text, _ in pairs]

        return grade

    monkeypatch.setattr(dispatch, "GRADERS", {name: grader(name) for name in dispatch.GRADERS})
    data = hub.data.model_copy(update={"unsandboxed": True, "bigcodebench_python": "/env/python"})
    mixed = [p for name in hub.data.benchmarks for p in hub.problems(name)[:1]]
    pairs = [(p.id, p) for p in mixed + mixed]
    grades = PublishedSource(data, seed=0).grade_all(pairs)
    assert [v.extracted for v in grades] == [text for text, _ in pairs]
    assert [v.reason for v in grades] == [COLLECTIONS[p.benchmark].grader for _, p in pairs]
    assert sorted(name for name, _ in calls) == sorted(dispatch.GRADERS)
    assert PublishedSource(data, seed=0).grade_all([]) == []
    assert PublishedSource(data, seed=0).verify_all(pairs) == [None] * len(pairs)


def test_mathematics_is_graded_end_to_end(hub: PublishedSource) -> None:
    problems = hub.problems("olympiadbench") + hub.problems("aime25")
    texts = ["The answer is 2.", r"So \boxed{85.8}", r"\boxed{33}", "The answer is 335."]
    grades = hub.grade_all(list(zip(texts, problems, strict=True)))
    assert [v.correct for v in grades] == [True, True, True, False]
    assert grades[1].reason == "correct within tolerance"


@pytest.mark.parametrize(
    ("answer", "gold", "tolerance", "near"),
    [("85.8", r"$\frac{600}{7}$", 0.1, True), ("85.9", r"$\frac{600}{7}$", 0.1, False), ("1.1", "1.0", 0.1, True),
     (r"2.5 \times 10^{3}", "2501", 1.0, True), ("1,234.5", "1234", 0.5, True), ("-1/3", "-0.3", 0.05, True),
     ("1/0", "1", 9.0, False), ("x", "1", 9.0, False), ("1e999", "1", 9.0, False), ("0.95", "1", None, False)],
)  # fmt: skip
def test_tolerance_is_for_numbers_that_are_close(answer: str, gold: str, tolerance: float | None, near: bool) -> None:
    problem = Problem("a/0", "a", "?", gold, extra={} if tolerance is None else {"tolerance": tolerance})
    grade = within_tolerance(Grade(False, answer, "wrong answer"), problem)
    assert grade.correct == near
    right = Grade(True, answer, "correct")
    assert within_tolerance(right, problem) == right


def test_programs_get_their_settings(hub: PublishedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only BigCodeBench runs in the other environment."""
    seen: list[Any] = []

    def grade(pairs: dispatch.Pairs, **how: Any) -> list[Grade]:
        seen.append((len(pairs), how))
        return [Grade(True, None, "correct") for _ in pairs]

    monkeypatch.setattr(dispatch.programs, "grade_all", grade)
    monkeypatch.setattr(dispatch.programs, "grade_stdin", grade)
    data = hub.data.model_copy(update={"bigcodebench_python": "/env/python"})
    problems = [p for n in ("humaneval", "bigcodebench") for p in hub.problems(n)] + 2 * hub.problems("livecodebench")
    assert len(PublishedSource(data, seed=0).grade_all([("", p) for p in problems])) == 6
    assert seen == [
        (1, {"unsandboxed": False}),
        (1, {"unsandboxed": False, "python": "/env/python"}),
        (4, {"unsandboxed": False}),
    ]


def test_an_unknown_grader_raises() -> None:
    with pytest.raises(IntroError, match=r"grader: expected one of mathematics, .*, found 'oracle'"):
        dispatch.grade_all([("", Problem("a/0", "a", "?", "1"))], lambda _: "oracle")


# ---------------------------------------------------------------- the command


def test_prepare_writes_problems_and_their_record(hub: PublishedSource, tmp_path: Path) -> None:
    """No corpus, no pretraining; the record names the lock's entries."""
    paper = config.load(ROOT / "config" / "paper.yaml")
    prepare(paper.model_copy(update={"data": hub.data, "results": str(tmp_path / "results")}))
    folder = tmp_path / "results" / "paper" / "problems"
    names = {*hub.data.benchmarks, "train", "validation"}
    assert {f.name for f in folder.iterdir()} == {f"{name}.jsonl" for name in names} | {"record.json"}
    record = json.loads((folder / "record.json").read_text())
    assert set(record["files"]) == names and set(record["lock"]) == set(ROWS)
    assert record["settings"] == {"data": hub.data.model_dump()}
    hub.train()
    assert record["lock"]["math_train"]["sha256"] == hub.entries["math_train"].sha256
    lines = [json.loads(line) for line in (folder / "livecodebench.jsonl").read_text().splitlines()]
    assert [Problem(**line) for line in lines] == hub.problems("livecodebench")
    assert asdict(hub.problems("livecodebench")[0]) == lines[0]
