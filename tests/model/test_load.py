"""Loading and saving model folders with transformers: dtype, no silent random weights, no foreign code or formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from intro.model.load import load_model, save_model
from intro.types import IntroError
from toy import random_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model("qwen3", tied=False, seed=2).to(torch.bfloat16).save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_the_dtype_argument_decides_the_dtype(folder: Path) -> None:
    """The default is fp32 whatever the checkpoint's dtype, as master weights need it."""
    for dtype, wanted in (("float32", torch.float32), ("bfloat16", torch.bfloat16), ("auto", torch.bfloat16)):
        assert {p.dtype for p in load_model(folder, dtype).parameters()} == {wanted}
    model = load_model(folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config._attn_implementation == "sdpa" and not model.training


def test_weights_that_are_in_no_file_are_refused(folder: Path) -> None:
    """transformers would fill them with random numbers, with no more than a warning."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_hidden_layers": 3, "layer_types": None}))
    with pytest.raises(IntroError, match=r"11 of the model's weights are in no file, such as model\.layers\.2\."):
        load_model(folder)


def test_other_weight_formats_are_refused(folder: Path) -> None:
    """A pickle may run code when it is read."""
    torch.save(random_model("qwen3").state_dict(), folder / "pytorch_model.bin")
    load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(IntroError, match=r"found only pytorch_model\.bin, which is not loaded"):
        load_model(folder)


def test_code_in_the_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (folder / "custom.py").write_text(f"open({str(ran)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    file = folder / "config.json"
    custom = {"model_type": "custom", "auto_map": {"AutoConfig": "custom.C", "AutoModelForCausalLM": "custom.M"}}
    file.write_text(json.dumps(json.loads(file.read_text()) | custom))
    with pytest.raises(IntroError, match="transformers cannot load this model folder"):
        load_model(folder)
    assert not ran.exists()


def test_saved_folder_has_the_tokenizers_files(folder: Path, tmp_path: Path) -> None:
    """All tokenizer files of the source are copied, and its generation settings replace those of transformers."""
    names = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
    for name in (*names, "generation_config.json"):
        (folder / name).write_text(json.dumps({"of": name}))
    (tmp_path / "linked").mkdir()
    for file in folder.iterdir():
        (tmp_path / "linked" / file.name).symlink_to(file)
    save_model(random_model("qwen3"), tmp_path / "final", tokenizer_from=tmp_path / "linked")
    for name in (*names, "generation_config.json"):
        file = tmp_path / "final" / name
        assert json.loads(file.read_text()) == {"of": name} and not file.is_symlink()
    save_model(random_model("qwen3"), tmp_path / "bare")
    assert not (tmp_path / "bare" / "tokenizer.json").exists()
