"""Makes model folders from published checkpoints, and checks that a model folder is complete.

A model folder holds links to the files of the Hub's cache or of another folder, never copies. Only data files are
fetched, with weights as safetensors; code that comes with a checkpoint is neither fetched nor run.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intro.infra.files import atomic_folder
from intro.types import IntroError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json merges.txt"
    " chat_template.jinja"
).split()
# README.md is the model card, whose metadata name the licence
_OTHER_FILES = "config.json generation_config.json *.safetensors *.safetensors.index.json LICENSE* README.md".split()
PATTERNS = [*TOKENIZER_FILES, *_OTHER_FILES]
EMBEDDING = "model.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Dtype and shape of a tensor in a safetensors file."""

    dtype: str  # as safetensors writes it: "F32", "BF16"
    shape: tuple[int, ...]


def fetch(checkpoint: str, revision: str | None, folder: Path) -> dict[str, Any]:
    """Make `folder` the model folder of a checkpoint: a Hub id at a revision, or a path that starts with . or /.

    With INTRO_MODELS_DIR set, an id is looked up as {INTRO_MODELS_DIR}/{org}/{name} instead of on the Hub. Returns what
    was fetched, for the record: resolved (the Hub's commit, None for a folder), files with their sizes in bytes,
    parameters, and the license that the model card states. Raises IntroError when the model is missing or incomplete.
    """
    from huggingface_hub.utils import filter_repo_objects

    source, commit = _locate(checkpoint, revision)
    facts = check(source)
    names = sorted(file.name for file in source.iterdir() if file.is_file())
    files = {name: source / name for name in filter_repo_objects(names, allow_patterns=PATTERNS)}
    with atomic_folder(folder) as temporary:
        for name, file in files.items():
            (temporary / name).symlink_to(file.resolve())
    sizes = {name: file.stat().st_size for name, file in files.items()}
    return {
        "checkpoint": checkpoint,
        "revision": revision,
        "resolved": commit,
        "source": "hub" if commit else str(source.resolve()),
        "files": sizes,
        "bytes": sum(sizes.values()),
        "license": _license(source),
        **facts,
    }


def _locate(checkpoint: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder that holds a checkpoint's files, and the Hub's commit when they were downloaded."""
    if checkpoint.startswith((".", "/")):
        folder, hint = Path(checkpoint), "check the path"
    elif mirror := os.environ.get("INTRO_MODELS_DIR"):
        folder, hint = Path(mirror) / checkpoint, "put it there, or unset INTRO_MODELS_DIR to ask the Hub"
    else:
        folder = _download(checkpoint, revision)
        return folder, folder.name
    if not folder.is_dir():
        raise IntroError(f"{folder}: expected the folder of the model {checkpoint}, found none; {hint}")
    return folder, None


def _download(checkpoint: str, revision: str | None) -> Path:
    """The checkpoint's snapshot in the Hub's cache. Raises IntroError when the Hub cannot be reached or refuses."""
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=PATTERNS, ignore_patterns=["*/*"]))
    except errors.GatedRepoError:
        problem = "the Hub asks for its terms to be accepted: accept them on the model's page, then run `hf auth login`"
    except errors.RevisionNotFoundError:
        problem = "the Hub has no such revision; check it"
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        problem = "the Hub has no such model that is open to you; check the name, or run `hf auth login`"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        problem = "the Hub is out of reach and its cache lacks the model; go online, or set INTRO_MODELS_DIR"
    except (errors.HfHubHTTPError, OSError) as error:
        problem = f"the download from the Hub failed ({first_line(error)}); try again, it resumes"
    raise IntroError(f"{checkpoint}{f' at revision {revision}' if revision is not None else ''}: {problem}")


def check(folder: Path) -> dict[str, Any]:
    """Check that a model folder has all of its weights, a tokenizer that fits them, and needs no custom code.

    Returns {parameters, dtypes}. Raises IntroError with the folder's path.
    """
    files = weight_files(folder)
    config = read_json(folder / "config.json")
    if "auto_map" in config:
        raise IntroError(f"{folder}: config.json asks for the checkpoint's own code (auto_map), which is never run")
    vocabulary = read_tokenizer(folder).get_vocab(with_added_tokens=True)
    tensors = {name: header for file in files for name, header in read_header(file).items()}
    if (folder / INDEX).is_file() and (missing := set(read_json(folder / INDEX)["weight_map"]) - set(tensors)):
        raise IntroError(f"{folder}: {INDEX} names tensors that no file holds, such as {min(missing)}; fetch it again")
    rows = tensors[EMBEDDING].shape[0] if EMBEDDING in tensors else config.get("vocab_size", math.inf)
    if (largest := max(vocabulary.values(), default=-1)) >= rows:
        raise IntroError(
            f"{folder}: the tokenizer has ids up to {largest} but the model embeds {rows} tokens; "
            "take both from the same checkpoint"
        )
    return {
        "parameters": sum(math.prod(t.shape) for t in tensors.values()),
        "dtypes": sorted({t.dtype for t in tensors.values()}),
    }


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder: those that its index names, else all. Raises IntroError when none."""
    if not (folder / "config.json").is_file():
        raise IntroError(f"{folder}: expected a Hugging Face model folder, found no config.json; train or download it")
    files = sorted(folder.glob("*.safetensors"))
    if (folder / INDEX).is_file():
        try:
            files = [folder / name for name in sorted(set(read_json(folder / INDEX)["weight_map"].values()))]
        except (KeyError, AttributeError, TypeError):
            raise IntroError(f"{folder / INDEX}: expected an index with a weight_map; fetch the model again") from None
    if not files:
        others = sorted(f.name for f in folder.iterdir() if f.suffix in (".bin", ".pt", ".pth", ".gguf"))
        problem = f"only {others[0]}, which is not loaded; convert it" if others else "none; train or download it"
        raise IntroError(f"{folder}: expected a Hugging Face model folder with *.safetensors, found {problem}")
    for file in files:
        if not file.is_file():  # also a link whose cache was emptied
            raise IntroError(f"{file}: expected a part of the model's weights, found no file; fetch the model again")
    return files


def read_header(file: Path) -> dict[str, TensorHeader]:
    """The header of each tensor of a safetensors file, by name. Raises IntroError when the file is incomplete."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return {name: TensorHeader(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise IntroError(f"{file}: the safetensors file is damaged ({first_line(error)}); fetch it again") from None


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises IntroError when the folder has none, or its file is damaged."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise IntroError(f"{folder}: expected a Hugging Face model folder, found no tokenizer.json in it")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more specific
        raise IntroError(f"{file}: the file is damaged ({first_line(error)}); fetch or make it again") from None


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises IntroError when it cannot be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise IntroError(f"{file}: the file is damaged ({first_line(error)}); fetch or make it again") from None


def _license(folder: Path) -> str | None:
    """The license in the model card's metadata; None without a card or without readable metadata."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        metadata = metadata_load(folder / "README.md") or {}
    except (OSError, ValueError, YAMLError):
        return None
    name = metadata.get("license_name") or metadata.get("license")
    return None if name is None else str(name)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
