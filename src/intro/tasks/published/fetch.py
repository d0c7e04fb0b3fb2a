"""Rows of a published set, from a mirror folder or from the Hub. Loading scripts of a set are never run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intro.tasks.jsonl import read_jsonl
from intro.tasks.published.collections import Collection
from intro.types import IntroError, install

MIRROR_VARIABLE = "INTRO_DATA_DIR"
TOKEN_VARIABLE = "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Rows in their published order. `where` is for error messages."""

    rows: list[dict[str, Any]]
    revision: str | None  # commit; None for a mirror
    origin: str  # "Hub" or "mirror"
    where: str


def mirror_folder(configured: str | None) -> Path | None:
    """The mirror of the environment, else the configured one, else none."""
    folder = os.environ.get(MIRROR_VARIABLE) or configured
    return Path(folder) if folder else None


def in_mirror(collection: Collection, mirror: Path) -> Path:
    return mirror / f"{collection.name}.jsonl"


def fetch(collection: Collection, mirror: Path | None, revision: str | None) -> Fetched:
    """Rows from the mirror when there is one, else from the Hub at `revision` (None: the newest).

    Raises IntroError when they cannot be read.
    """
    if mirror:
        file = in_mirror(collection, mirror)
        remedy = f"a mirror holds the rows of {collection.hub_id}, {collection.split}, one a line (docs/data.md)"
        return Fetched(read_jsonl(file, (), remedy), None, "mirror", str(file))
    try:
        rows, commit = download(collection, revision)
    except Exception as error:  # datasets and huggingface_hub raise many kinds
        raise _explained(collection, revision, error) from None
    return Fetched(rows, commit, "Hub", f"Hub: {collection.hub_id}, revision {commit}")


def download(collection: Collection, revision: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Rows and their commit. This is the only function that downloads data sets."""
    from datasets import load_dataset
    from huggingface_hub import HfApi, hf_hub_download

    hub_id, token = collection.hub_id, os.environ.get(TOKEN_VARIABLE)
    # resolved first, so that all parts are of one commit; with a known commit, cached rows need no network
    commit = revision or HfApi(token=token).dataset_info(hub_id).sha
    at = {"revision": commit, "token": token}
    if collection.files:
        files = [hf_hub_download(hub_id, file, repo_type="dataset", **at) for file in collection.files]
        return [json.loads(line) for file in files for line in Path(file).open() if line.strip()], commit
    parts = [load_dataset(hub_id, config, split=collection.split, **at) for config in collection.configs]
    return [dict(row) for part in parts for row in part], commit


OFFLINE = {"ConnectionError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "TransportError", "TimeoutError"}
UNKNOWN = {"RepositoryNotFoundError", "DatasetNotFoundError"}


def _explained(collection: Collection, revision: str | None, error: BaseException) -> IntroError:
    """The error with its remedy. Exceptions are recognised by class name, since the libraries move their classes."""
    kinds = {cls.__name__ for e in _chain(error) for cls in type(e).__mro__}
    status = {getattr(getattr(e, "response", None), "status_code", None) for e in _chain(error)}
    what, mirror = f"{collection.name} ({collection.hub_id})", f"set {MIRROR_VARIABLE} to a mirror (docs/data.md)"
    page = collection.page or f"https://huggingface.co/datasets/{collection.hub_id}"
    absent = bool(kinds & UNKNOWN or status & {401, 403})
    if "GatedRepoError" in kinds or (collection.page and absent):
        problem = "the set is gated and the Hub refused it"
        remedy = f"accept its conditions on {page}, put a token of that account into {TOKEN_VARIABLE}"
    elif absent:
        problem = "the Hub has no such set for this account"
        remedy = f"look at {page}, put a token into {TOKEN_VARIABLE} if it is private"
    elif isinstance(error, ImportError):
        problem, remedy = f"rows from the Hub need '{error.name}', which is not installed", install("eval")
    elif kinds & OFFLINE:
        problem, remedy = "the Hub cannot be reached", "connect to the network"
    else:
        said = (" ".join(str(error).split()) or "no reason given")[:300]
        problem = f"could not be fetched at revision {revision or 'newest'} ({type(error).__name__}: {said})"
        remedy = "try again"
    return IntroError(f"{what}: {problem}; {remedy}, or {mirror}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
