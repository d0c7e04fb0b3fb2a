"""Fetching checkpoints links data files, runs no code, and refuses an incomplete checkpoint with a one-line error."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from intro.model.checkpoints import check, fetch, read_header, weight_files
from intro.model.load import load_model, save_model
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.decoder import Decoder
from intro.tasks.tiny_world.language import build_tokenizer
from intro.types import IntroError
from toy import random_model

VOCABULARY = len(json.loads(build_tokenizer().to_str())["model"]["vocab"])
LEFT_OUT = ("modeling_custom.py", "pytorch_model.bin", "events.log")


def published(folder: Path, shards: bool = False) -> Path:
    """A folder as on the Hub: weights, tokenizer and model card, and files that `fetch` must leave out."""
    model = random_model("qwen2", tied=False, vocabulary=VOCABULARY + 3)
    model.save_pretrained(folder, max_shard_size="8KB" if shards else "1GB")
    (folder / "tokenizer.json").write_text(build_tokenizer().to_str())
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# A model\n")
    (folder / "LICENSE").write_text("terms")
    for name in LEFT_OUT:
        (folder / name).write_text("import os")
    (folder / "original").mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("INTRO_MODELS_DIR", raising=False)
    return published(tmp_path / "models" / "org" / "name")


@pytest.mark.parametrize("shards", [False, True])
def test_local_folder_is_linked_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: bool) -> None:
    """The result is an ordinary model folder of links, and the returned facts describe it."""
    source, folder = published(tmp_path / "source", shards), tmp_path / "results" / "m"
    monkeypatch.chdir(tmp_path)
    got = fetch("./source", None, folder)
    names = {f.name for f in folder.iterdir()}
    assert names == set(got["files"]) and not names & {*LEFT_OUT, "original"}
    assert all(f.is_symlink() and f.is_file() for f in folder.iterdir())
    model = load_model(folder)
    assert got["parameters"] == sum(p.numel() for p in model.parameters())
    assert got["bytes"] == sum((source / name).stat().st_size for name in names)
    assert (got["license"], got["resolved"], got["dtypes"]) == ("apache-2.0", None, ["F32"])
    assert json.loads(json.dumps(got)) == got
    assert len(weight_files(folder)) == (len(list(folder.glob("*.safetensors"))) if shards else 1)
    assert torch.equal(Decoder.from_folder(folder).embedding, model.get_input_embeddings().weight)
    assert 1 in ModelTokenizer.from_folder(folder).stop
    fetch(str(source), None, folder)  # replaces the folder
    assert all((source / name).is_file() for name in names), "replacing the links must leave the source alone"


def test_models_folder_replaces_the_hub(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("the Hub was called"))
    monkeypatch.setenv("INTRO_MODELS_DIR", str(tmp_path / "models"))
    assert fetch("org/name", "abc", tmp_path / "m")["source"] == str(source)
    with pytest.raises(IntroError, match=r"models/org/other: expected the folder of the model org/other, found none"):
        fetch("org/other", None, tmp_path / "m")


def test_hub_files_come_from_its_cache_at_the_revision(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only data files are requested, and the model folder links to the files that the cache's links point to."""
    snapshot = tmp_path / "cache" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".bin":
            (snapshot / file.name).symlink_to(file)
    call = {}

    def download(name: str, **options: object) -> str:
        call.update(options, name=name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    got = fetch("org/name", "main", tmp_path / "m")
    assert (got["resolved"], got["source"], got["revision"]) == ("0123abc", "hub", "main")
    assert (call["name"], call["revision"]) == ("org/name", "main")
    wanted = huggingface_hub.utils.filter_repo_objects(
        ["model.safetensors", "original/model.safetensors", "a.bin", "b.pt", "c.py", "tokenizer.json", "LICENSE"],
        allow_patterns=call["allow_patterns"],
        ignore_patterns=call["ignore_patterns"],
    )
    assert sorted(wanted) == ["LICENSE", "model.safetensors", "tokenizer.json"]
    assert (tmp_path / "m" / "config.json").readlink() == source / "config.json"


def hub_error(kind: type[Exception]) -> Exception:
    """An error of the Hub, made without the HTTP response that its constructor needs."""
    error = kind.__new__(kind)
    error.args = ("401 Client Error\nmore lines",)
    return error


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (errors.GatedRepoError, "accept them on the model's page"),
        (errors.RepositoryNotFoundError, "no such model"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.LocalEntryNotFoundError, "out of reach"),
        (errors.OfflineModeIsEnabled, "out of reach"),
        (ConnectionError, "the download from the Hub failed"),
    ],
)
def test_a_hub_that_refuses_is_a_one_line_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], sentence: str
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(IntroError, match=sentence) as error:
        fetch("org/name", "f00", tmp_path / "m")
    assert str(error.value).startswith("org/name at revision f00: ") and "\n" not in str(error.value)
    assert not (tmp_path / "m").exists()


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def fewer_rows(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][: VOCABULARY - 1].clone()
    save_file(weights, folder / "model.safetensors")


def only_bin(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def missing_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def missing_tensor(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model.safetensors", "model.other.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


DAMAGE = {
    "custom code": (lambda f: change_config(f, auto_map={"AutoModelForCausalLM": "m.M"}), "auto_map"),
    "no config": (lambda f: (f / "config.json").unlink(), "found no config.json"),
    "config cut": (lambda f: (f / "config.json").write_text("{"), "config.json: the file is damaged"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "found no tokenizer.json"),
    "tokenizer cut": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json: the file is damaged"),
    "only .bin": (only_bin, "found only pytorch_model.bin, which is not loaded"),
    "weights cut": (cut, "model.safetensors: the safetensors file is damaged .*; fetch it again"),
    "header cut": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 12), "the safetensors file is damaged"),
    "weights empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "the safetensors file is damaged"),
    "missing shard": (missing_shard, "model-00002-of-00002.safetensors: expected a part of the model's weights"),
    "missing tensor": (missing_tensor, "no file holds, such as model.other.weight"),
    "tokenizer of another model": (fewer_rows, "the tokenizer has ids up to"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_incomplete_model_is_a_one_line_error(source: Path, tmp_path: Path, damage: str) -> None:
    do, sentence = DAMAGE[damage]
    do(source)
    with pytest.raises(IntroError, match=sentence) as error:
        fetch(str(source), None, tmp_path / "m")
    assert str(source) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "m").exists(), "a folder that exists is complete"


def test_a_missing_local_folder_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match=r"expected the folder of the model .*, found none; check the path"):
        fetch(str(tmp_path / "nowhere"), None, tmp_path / "m")


def test_headers_have_the_shapes_of_the_weights(source: Path) -> None:
    header = read_header(source / "model.safetensors")
    assert header["model.embed_tokens.weight"].shape == (VOCABULARY + 3, 16)
    assert "__metadata__" not in header
    assert check(source)["parameters"] == sum(w.numel() for w in load_file(source / "model.safetensors").values())


def test_saving_over_a_fetched_folder_leaves_the_published_files_alone(source: Path, tmp_path: Path) -> None:
    """Saving replaces links instead of writing through them; tokenizer files are copied, not linked."""
    fetch(str(source), None, tmp_path / "m")
    before = {f.name: f.read_bytes() for f in source.iterdir() if f.is_file()}
    model = load_model(tmp_path / "m")
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    save_model(model, tmp_path / "m")
    save_model(model, tmp_path / "final", tokenizer_from=source)
    assert before == {f.name: f.read_bytes() for f in source.iterdir() if f.is_file()}
    assert not any(f.is_symlink() for f in (tmp_path / "final").iterdir())
    assert (tmp_path / "final" / "tokenizer_config.json").read_text() == '{"eos_token": "<eos>"}'
    saved = load_model(tmp_path / "final").get_input_embeddings().weight
    assert torch.equal(saved, model.get_input_embeddings().weight)
