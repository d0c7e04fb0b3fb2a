"""Published checkpoints to ordinary model folders: what is taken, from where, and whether it is whole.

Nothing is copied: the folder links to the files of the Hub's cache or of another folder. Only data is taken, weights as
safetensors; code that comes with a checkpoint is neither fetched nor run.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from intro.infra.files import atomic_folder
from intro.types import IntroError

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
WANTED = (
    "config.json",
    "generation_config.json",
    *TOKENIZER_FILES,
    "*.safetensors",
    "*.safetensors.index.json",
    "LICENSE*",
    "README.md",  # its head names the licence
)
EMBEDDING = "model.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a safetensors header says of a tensor."""

    dtype: str  # as safetensors writes it, "F32", "BF16"
    shape: tuple[int, ...]


def fetch(checkpoint: str, revision: str | None, folder: Path) -> dict[str, Any]:
    """Make `folder` the model folder of a checkpoint: a Hub id at a revision, or a folder when it starts with . or /.

    With INTRO_MODELS_DIR, ids are looked up as {INTRO_MODELS_DIR}/{org}/{name} and the Hub is not asked.
    Returns what was got, for the record: resolved (the Hub's commit, None for a folder), files with their bytes,
    parameters, license as the model card states it. Raises IntroError when there is no such model or it is not whole.
    """
    source, commit = _locate(checkpoint, revision)
    facts = check(source)
    files = {f.name: f for f in sorted(source.iterdir()) if f.is_file() and _wanted(f.name)}
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


def _wanted(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in WANTED)


def _locate(checkpoint: str, revision: str | None) -> tuple[Path, str | None]:
    """The folder that holds a checkpoint's files, and the commit when it came from the Hub."""
    if checkpoint.startswith((".", "/")):
        folder, hint = Path(checkpoint), "check the path"
    elif mirror := os.environ.get("INTRO_MODELS_DIR"):
        folder, hint = Path(mirror) / checkpoint, "put it there, or unset INTRO_MODELS_DIR to ask the Hub"
    else:
        return _download(checkpoint, revision)
    if not folder.is_dir():
        raise IntroError(f"{folder}: expected the folder of the model {checkpoint}, found none; {hint}")
    return folder, None


def _download(checkpoint: str, revision: str | None) -> tuple[Path, str]:
    """Files in the Hub's cache. Raises IntroError when the Hub is out of reach or refuses."""
    from huggingface_hub import errors, snapshot_download

    named = checkpoint if revision is None else f"{checkpoint} at revision {revision}"
    try:
        path = Path(
            snapshot_download(checkpoint, revision=revision, allow_patterns=list(WANTED), ignore_patterns=["*/*"])
        )
    except errors.GatedRepoError:
        problem = "the Hub asks for its terms to be accepted: accept them on the model's page, then run `hf auth login`"
    except errors.RevisionNotFoundError:
        problem = "the Hub has no such revision; check it"
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        problem = "the Hub has no such model that is open to you; check the name, or run `hf auth login`"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        problem = "the Hub is out of reach and its cache lacks the model; go online, or set INTRO_MODELS_DIR"
    except (errors.HfHubHTTPError, OSError) as error:
        problem = f"the Hub did not give it ({_first_line(error)}); try again, it resumes"
    else:
        return path, path.name
    raise IntroError(f"{named}: {problem}")


def check(folder: Path) -> dict[str, Any]:
    """Whether a model folder is whole: weights as long as they say, a tokenizer that fits them, no code of its own.

    Returns {parameters, dtypes}. Raises IntroError that names the folder.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else None
    if config is not None and "auto_map" in config:
        raise IntroError(f"{folder}: config.json asks for the checkpoint's own code (auto_map), which is never run")
    weights = weight_files(folder)
    if not (folder / "tokenizer.json").is_file():
        raise IntroError(f"{folder}: expected a model folder with its tokenizer, found no tokenizer.json in it")
    tensors: dict[str, Tensor] = {}
    for file in weights:
        tensors |= read_header(file)
    if (folder / INDEX).is_file() and (lost := set(read_json(folder / INDEX)["weight_map"]) - set(tensors)):
        raise IntroError(f"{folder}: {INDEX} names tensors that no file holds, such as {min(lost)}; fetch it again")
    _check_vocabulary(folder, config or {}, tensors)
    return {
        "parameters": sum(math.prod(t.shape) for t in tensors.values()),
        "dtypes": sorted({t.dtype for t in tensors.values()}),
    }


def _check_vocabulary(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    from tokenizers import Tokenizer

    try:
        vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
    except Exception as error:  # tokenizers raises nothing more specific
        raise IntroError(f"{folder}: tokenizer.json is damaged ({_first_line(error)}); fetch it again") from None
    rows = tensors[EMBEDDING].shape[0] if EMBEDDING in tensors else config.get("vocab_size", math.inf)
    if (largest := max(vocabulary.values(), default=-1)) >= rows:
        raise IntroError(
            f"{folder}: the tokenizer has ids up to {largest} but the model embeds {rows} tokens; "
            "take both from the same checkpoint"
        )


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a model folder: those that its index names, else all. Raises IntroError when none."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise IntroError(f"{folder}: expected a Hugging Face model folder, found no config.json; train or download it")
    if (folder / INDEX).is_file():
        try:
            files = [folder / name for name in sorted(set(read_json(folder / INDEX)["weight_map"].values()))]
        except (KeyError, AttributeError, TypeError):
            raise IntroError(f"{folder / INDEX}: expected an index with a weight_map; fetch the model again") from None
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = sorted(f.name for pattern in ("*.bin", "*.pt", "*.pth", "*.gguf") for f in folder.glob(pattern))
        found = f"only {others[0]}, which is not loaded; convert it" if others else "none; train or download it"
        raise IntroError(f"{folder}: expected a Hugging Face model folder with *.safetensors, found {found}")
    for file in files:
        if not file.is_file():  # also a link whose cache was emptied
            raise IntroError(f"{file}: expected a part of the model's weights, found no file; fetch the model again")
    return files


def read_header(file: Path) -> dict[str, Tensor]:
    """{name: dtype and shape} of a safetensors file, without its weights. Raises IntroError when it is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return {name: Tensor(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise IntroError(f"{file}: not a whole safetensors file ({_first_line(error)}); fetch it again") from None


def read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise IntroError(f"{file}: the file is damaged ({_first_line(error)}); fetch or make it again") from None


def _license(folder: Path) -> str | None:
    """What the model card's head says, where there is a card."""
    import yaml

    card = folder / "README.md"
    parts = card.read_text(errors="replace").split("---", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return None
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return None
    found = head.get("license_name") or head.get("license") if isinstance(head, dict) else None
    return None if found is None else str(found)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
