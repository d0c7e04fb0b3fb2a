"""The configuration: every mistake is one sentence that names the key and the file; schema and README keep up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic_core import PydanticUndefined

from intro import config, experiments
from intro.config import Config, Record, load, parse, read
from intro.objectives import OBJECTIVES, build
from intro.training.run_spec import settings_of
from intro.types import IntroError
from toy import mapping

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
REMOVE = object()


def changed(root: Path, key: str, value: Any) -> dict[str, Any]:
    """The toy mapping with one dotted key replaced, or taken away."""
    whole = mapping(root)
    *parents, last = key.split("/")
    place = whole
    for parent in parents:
        place = place[parent]
    if value is REMOVE:
        del place[last]
    else:
        place[last] = value
    return whole


MISTAKES: dict[str, tuple[str, Any, str]] = {
    "unknown key": ("training/learning_rate", 0.1, "unknown key 'training.learning_rate'; config/README.md"),
    "unknown key at the top": ("trainning", {}, "unknown key 'trainning'"),
    "unknown option of a method": ("methods/sft/clip", 3, "unknown key 'methods.sft.clip'"),
    "missing key": ("training/group_size", REMOVE, "missing key 'training.group_size'; config/README.md"),
    "unknown objective": ("methods/sft/objective", "ppo", "methods.sft: unknown objective 'ppo'; known are 'gpg'"),
    "unknown method": ("ablation_n/method", "ppo", "ablation_n.method: unknown method 'ppo'; known are grpo, intro"),
    "method without n": ("ablation_n/method", "grpo", "ablation_n.method: 'grpo' has no n"),
    "unknown benchmark": (
        "evaluation/suites/main/benchmarks", ["chain-9"],
        "evaluation.suites.main.benchmarks: unknown benchmark 'chain-9'; known are chain-2, chain-3",
    ),
    "unknown model": ("training/sweep_models", ["gpt"], "training.sweep_models: unknown model 'gpt'"),
    "unknown model of the ablation": ("ablation_n/model", "gpt", "ablation_n.model: unknown model 'gpt'"),
    "unknown baseline": ("baseline", "ppo", "baseline: unknown method 'ppo'; known are grpo, intro, sft"),
    "colour by name": ("methods/sft/colour", "red", "methods.sft.colour: String should match pattern"),
    "unknown model of a suite": (
        "evaluation/suites/main/models", ["gpt"], "evaluation.suites.main.models: unknown model 'gpt'"
    ),
    "unknown method of a suite": (
        "evaluation/suites/main/methods", ["base", "ppo"], "evaluation.suites.main.methods: unknown method 'ppo'"
    ),
    "unknown prompt": ("methods/intro/prompt", "told", "methods.intro.prompt: unknown prompt 'told'"),
    "unknown prompt of a suite": (
        "evaluation/suites/main/prompt", "told", "evaluation.suites.main.prompt: unknown prompt 'told'"
    ),
    "no candidates": ("methods/intro/n", 0, "methods.intro.n"),
    "no candidates in the grid": ("ablation_n/grid", [1, 0], "ablation_n.grid.1: Input should be greater than"),
    "empty group": ("training/group_size", 0, "training.group_size: Input should be greater than or equal to 1"),
    "clip of zero": ("methods/intro/clip", 0, "methods.intro.clip: Input should be greater than 0, found 0"),
    "negative clip": ("methods/intro/clip", -1.5, "methods.intro.clip: Input should be greater than 0, found -1.5"),
    "negative rate": ("training/learning_rates", [-1e-4], "training.learning_rates.0"),
    "top-p above one": ("evaluation/top_p", 1.5, "evaluation.top_p: Input should be less than or equal to 1"),
    "word for a number": ("training/epochs", "many", "training.epochs"),
    "path for a scale": ("scale", "../tiny", "scale: String should match pattern"),
    "parent folder for a scale": ("scale", "..", "scale: String should match pattern"),
    "parent folder for a reference": ("reference", "..", "reference: String should match pattern"),
    "path for a reference": ("reference", "tiny/tables", "reference: String should match pattern"),
    "line break in a reference": ("reference", "tiny\n", "reference: String should match pattern"),
    "empty name of a reference": ("reference", "", "reference: String should match pattern"),
    "path for a model": (
        "models", {"../m": {"stands_for": "x", "checkpoint": "a/b"}}, "models.../m: String should match pattern"
    ),
    "path for a method": ("methods/..", {"objective": "sft", "label": "x"}, "String should match pattern"),
    "path for a benchmark": ("data/benchmarks/..", {"stands_for": "x", "problems": 1}, "String should match pattern"),
    "path for a suite": ("evaluation/suites/..", {"benchmarks": ["chain-2"]}, "String should match pattern"),
    "unknown source": ("data/source", "gsm8k", "data: unknown source 'gsm8k'; known are 'tiny_world', 'hub'"),
    "unknown key of the data": ("data/rows", 3, "unknown key 'data.rows'"),
    "unknown key of a model": ("models/qwen2-s/depth", 3, "unknown key 'models.qwen2-s.depth'"),
    "bad option of a control": (
        "controls", {"model": "qwen2-s", "methods": {"c": {"objective": "intro", "label": "c", "clip": 0}}},
        "controls.methods.c.clip: Input should be greater than 0",
    ),
    "checkpoint of a tiny kind": (
        "models/qwen2-s", {"stands_for": "x", "checkpoint": "a/b", "layers": 2}, "unknown key 'models.qwen2-s.layers'"
    ),
    "tiny model without pretraining": ("pretraining", REMOVE, "models.qwen2-s: a model that is pretrained here needs"),
    "rates that nothing chooses from": ("training/sweep_models", [], "training.learning_rates: without training.sweep"),
    "several processes without DeepSpeed": (
        "models/qwen2-s/hardware", {"processes": 2}, "models.qwen2-s.hardware: several processes, bfloat16 and offload"
    ),
    "other processes than GPUs": (
        "models/qwen2-s/hardware", {"gpus": 4, "zero": 2}, "models.qwen2-s.hardware: one process per GPU: 4 GPUs want"
    ),
    "yardstick not there": ("methods/sft", REMOVE, "cost.methods: unknown method 'sft'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_each_mistake_is_one_sentence_with_key_and_file(kind: str, tmp_path: Path) -> None:
    key, value, message = MISTAKES[kind]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(changed(tmp_path, key, value)))
    with pytest.raises(IntroError) as error:
        load(file)
    text = str(error.value)
    assert text.startswith(f"{file}: ") and message in text and "\n" not in text, text


def test_first_of_several_mistakes_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    whole = changed(tmp_path, "training/group_size", 0) | {"a": 1, "b": 2}
    with pytest.raises(IntroError, match=r"mine: training\.group_size: .* \(and 2 more\)"):
        parse(whole, "mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"scale: [1, 2", "not readable as YAML"),
        (b"a: b: c", "not readable as YAML"),
        (b"\xff\xfe\x00\x01", "not readable as YAML"),
        (b"- tiny", "expected a mapping of keys, found list"),
        (b"", "expected a mapping of keys, found NoneType"),
        (None, "no such config file"),
    ],
)
def test_file_that_is_no_config_is_one_sentence(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(IntroError) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: ") and message in str(error.value)
    assert "\n" not in str(error.value)


def test_folder_in_place_of_a_config_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match="not readable"):
        load(tmp_path)


# ---------------------------------------------------------------- extends


def test_extends_lays_one_file_over_another(tmp_path: Path) -> None:
    """Mappings merge, lists and values replace, null takes away; chains and sub-folders are followed."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(mapping(tmp_path)))
    (tmp_path / "middle.yaml").write_text("extends: base.yaml\ntraining: {group_size: 7}\n")
    (tmp_path / "sub/top.yaml").write_text(
        "extends: ../middle.yaml\nscale: other\ntraining: {learning_rates: [0.5]}\n"
        "models: {qwen3-m: null}\nmethods: {grpo: {kl: 0.25}}\n"
    )
    got = load(tmp_path / "sub/top.yaml")
    assert (got.scale, got.training.group_size, got.training.learning_rates) == ("other", 7, [0.5])
    assert set(got.models) == {"qwen2-s"} and got.methods["grpo"].kl == 0.25
    assert got.training.prompts_per_step == 4
    assert "extends" not in read(tmp_path / "sub/top.yaml")


@pytest.mark.parametrize("chain", [["a"], ["a", "b"]], ids=["itself", "in a circle"])
def test_circular_extends_is_one_sentence(chain: list[str], tmp_path: Path) -> None:
    for name, parent in zip(chain, [*chain[1:], chain[0]], strict=True):
        (tmp_path / f"{name}.yaml").write_text(f"extends: {parent}.yaml\n")
    with pytest.raises(IntroError, match=rf"{chain[-1]}\.yaml: extends: 'a\.yaml' leads back to itself"):
        load(tmp_path / "a.yaml")


@pytest.mark.parametrize("parent", ["[base.yaml]", "3", "{a: b}"])
def test_extends_names_one_file(parent: str, tmp_path: Path) -> None:
    (tmp_path / "top.yaml").write_text(f"extends: {parent}\n")
    with pytest.raises(IntroError, match=r"top\.yaml: extends: expected the name of one config file, found "):
        load(tmp_path / "top.yaml")


def test_missing_parent_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "top.yaml").write_text("extends: nowhere.yaml\n")
    with pytest.raises(IntroError, match=r"nowhere\.yaml: no such config file"):
        load(tmp_path / "top.yaml")


# ---------------------------------------------------------------- what a config means


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    """n = 5, w clipped at 200, mean over prompts, one update; the RL baselines make two."""
    methods = parse(mapping(tmp_path)).methods
    intro = methods["intro"]
    assert (intro.n, intro.clip, intro.normalisation, intro.updates_per_rollout) == (5, 200, "prompt", 1)
    assert (intro.own_token, intro.posterior, intro.answer, intro.control_variate) == (
        "weighted",
        "live",
        "gold",
        False,
    )
    assert methods["grpo"].updates_per_rollout == 2 and methods["sft"].normalisation == "rationale"


def test_grid_of_n_becomes_methods_but_for_the_default(tmp_path: Path) -> None:
    """n = 5 is the method itself: no run is made twice."""
    parsed = parse(mapping(tmp_path))
    assert set(parsed.all_methods) == {"sft", "grpo", "intro", "intro-n1"}
    one = parsed.all_methods["intro-n1"]
    assert (one.n, one.label) == (1, "INTRO n=1") and one.clip == 200


def test_plan_lists_each_run_once(tmp_path: Path) -> None:
    """Table methods on every model under both protocols; the grid on its model under the shared rate."""
    parsed = parse(mapping(tmp_path))
    cells = experiments.training_runs(parsed)
    assert len(cells) == len(set(cells)) == 2 * 3 * 2 + 1
    assert experiments.Cell("qwen2-s", "intro-n1", "paper", 0) in cells
    assert len(experiments.evaluations(parsed)) == len(cells) + 2
    assert set(experiments.sweeps_and_bases(parsed)) == {("qwen2-s", "base"), *experiments.sweeps(parsed)}
    assert experiments.sweeps(parsed) == [("qwen2-s", m) for m in ("sft", "grpo", "intro")]
    assert experiments.table_names(parsed) == ["main", "main_tuned", "ablation_n"]


def test_sampling_and_grading_decide_no_problem_and_no_run() -> None:
    """Else a key of one benchmark's grader would train everything again; what is asked does decide both."""
    whole = read(ROOT / "config/paper.yaml")
    paper = parse(whole)
    data = whole["data"] | {"unsandboxed": True, "bigcodebench_python": "python3.10"}
    data["benchmarks"] = data["benchmarks"] | {
        "gpqa": {"stands_for": "gpqa", "problems": 198, "samples": 3, "temperature": 0.2}
    }
    other = parse(whole | {"data": data, "prompts": whole["prompts"] | {"plain": "{question}\n"}})
    assert other.problem_settings == paper.problem_settings
    model = next(iter(paper.models))
    for method in paper.all_methods:
        assert settings_of(other, model, method) == settings_of(paper, model, method)
    for changed in (
        {"train_problems": 9},
        {"benchmarks": whole["data"]["benchmarks"] | {"gpqa": {"stands_for": "gpqa", "problems": 9}}},
    ):
        assert parse(whole | {"data": whole["data"] | changed}).problem_settings != paper.problem_settings
    told = parse(whole | {"prompts": whole["prompts"] | {"posterior": "{answer} {question}"}})
    assert settings_of(told, model, "intro") != settings_of(paper, model, "intro")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_entry_is_the_objective_with_its_defaults(objective: str, tmp_path: Path) -> None:
    """Options have one home: no method needs more than its name and a label."""
    whole = changed(tmp_path, f"methods/m-{objective}", {"objective": objective, "label": objective})
    assert parse(whole).methods[f"m-{objective}"] == build(objective)


def test_what_is_only_printed_changes_no_run(tmp_path: Path) -> None:
    """Else another label or colour would train a method again."""
    plain = parse(mapping(tmp_path)).methods["intro"].settings()
    entry = {"objective": "intro", "label": "ours", "colour": "#000000"}
    assert parse(changed(tmp_path, "methods/intro", entry)).methods["intro"].settings() == plain
    assert parse(changed(tmp_path, "methods/intro", entry | {"n": 4})).methods["intro"].settings() != plain


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_of_the_project_parses(path: Path) -> None:
    """And is named by a scale of its own."""
    assert load(path).scale
    assert len({load(p).scale for p in CONFIGS}) == len(CONFIGS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_of_the_project_meets_the_schema(path: Path) -> None:
    """What `intro schema` prints is a valid schema, and stricter than "any mapping"."""
    schema = yaml.safe_load(config.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = read(path)
    jsonschema.validate(whole, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole | {"methods": {"m": {"objective": "sft", "label": "x", "clip": 3}}}, schema)


# ---------------------------------------------------------------- config/README.md

# section of the README -> the types whose keys its tables explain
SECTIONS: dict[str, list[type[Record]]] = {
    "Top level": [Config],
    "`data`": [config.TinyWorldData, config.HubData, config.Benchmark],
    "`models`": [config.TinyModel, config.Checkpoint, config.Serving, config.Hardware],
    "`pretraining`": [config.Pretraining],
    "`training`": [config.Training],
    "`methods`": [config.Method],
    "`ablation_n`": [config.AblationN, config.Controls],
    "`evaluation`": [config.Evaluation, config.Suite],
    "`posterior`": [config.PosteriorCheck],
    "`cost`": [config.CostCheck],
    "`verifier`": [config.Verifier],
}


def readme_rows(title: str) -> dict[str, list[str]]:
    """Key (last part of the dotted one) -> cells of its row, of the section whose title starts so."""
    sections = re.split(r"^## ", (ROOT / "config/README.md").read_text(), flags=re.M)[1:]
    (section,) = [s for s in sections if s.startswith(title)]
    return rows_of(section.split("\n### ")[0])


def rows_of(section: str) -> dict[str, list[str]]:
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`").split(".")[-1]: [c.strip() for c in cells] for cells in rows}


def test_sections_cover_every_type() -> None:
    """A new group of keys needs a section."""
    named = {cls for classes in SECTIONS.values() for cls in classes}
    types: set[type] = set()
    pending: list[type] = [Record]
    while pending:
        pending += (below := pending.pop().__subclasses__())
        types |= set(below)
    assert {t for t in types if t.__module__ == "intro.config"} == named


@pytest.mark.parametrize("title", SECTIONS)
def test_readme_explains_every_key_and_its_default(title: str) -> None:
    """No key without a row, no row without a key, and the default that the code has."""
    rows = readme_rows(title)
    fields = {name: info for cls in SECTIONS[title] for name, info in cls.model_fields.items()}
    top = {"data", "models", "pretraining", "prompts", "training", "methods", "ablation_n", "controls", "evaluation",
           "posterior", "cost", "verifier"}  # fmt: skip
    wanted = set(fields) - (top if title == "Top level" else set())
    assert set(rows) - {"extends"} == wanted
    for name in wanted:
        info, cell = fields[name], rows[name][2]
        if info.is_required():
            assert cell == "required", f"{name}: {cell}"
        elif info.default is None:
            assert cell not in ("", "required")
        else:
            assert info.default is not PydanticUndefined
            assert yaml.safe_load(cell.split(";")[0].strip("`")) == plain(info.default), f"{name}: {cell}"


@pytest.mark.parametrize("objective", load(ROOT / "config/paper.yaml").methods)
def test_readme_repeats_the_options_of_the_papers_methods(objective: str) -> None:
    """Meaning, default and source stand beside each option; a method that somebody adds needs no section here."""
    readme = (ROOT / "config/README.md").read_text()
    of_all = set(config.Method.model_fields)
    options = {name: info for name, info in OBJECTIVES[objective].model_fields.items() if name not in of_all}
    found = [s for s in readme.split("\n### ")[1:] if s.startswith(f"`{objective}`")]
    rows = rows_of(found[0].split("\n## ")[0]) if found else {}
    assert set(rows) == set(options)
    for name, info in options.items():
        _, meaning, default, source = rows[name]
        assert info.description == f"{meaning}. Source: {source}"
        assert yaml.safe_load(default.strip("`")) == info.default


def plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.model_dump(exclude_defaults=True)
    return list(value) if isinstance(value, tuple) else value
