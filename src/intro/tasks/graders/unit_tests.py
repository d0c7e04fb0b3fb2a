"""LiveCodeBench's unit tests as the set publishes them: public ones as JSON, hidden ones as packed JSON."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from intro.types import IntroError

LARGEST_TESTS = 1 << 30  # bytes of one problem's unit tests, unpacked


def unit_tests(extra: Mapping[str, Any]) -> list[dict[str, str]]:
    """All tests of a LiveCodeBench problem, each {"input", "output", "testtype"}: public ones first, then hidden ones.

    Raises IntroError when there are none, or when they are not the JSON, or the packed JSON, that the set publishes.
    """
    tests, which = [], f"livecodebench {extra.get('question_id')}"
    for name in ("public_test_cases", "private_test_cases"):
        try:
            tests += _unpacked(extra[name])
        except Exception as error:  # a damaged pickle raises almost anything
            damage = f"{name} is neither JSON nor packed JSON ({error})"
            raise IntroError(f"{which}: {damage}; fetch the set again") from None
    if not tests:
        raise IntroError(f"{which}: it has no unit tests, so every program would pass; fetch the set again")
    return tests


def _unpacked(tests: Any) -> list[dict[str, str]]:
    if not isinstance(tests, str):
        return list(tests)
    with suppress(ValueError):
        return json.loads(tests)
    unpack = zlib.decompressobj()
    pickled = unpack.decompress(base64.b64decode(tests.encode(), validate=True), LARGEST_TESTS)
    if unpack.unconsumed_tail:
        raise ValueError("larger than a gigabyte")
    text = _TextOnly(io.BytesIO(pickled)).load()
    if not isinstance(text, str):
        raise ValueError("not a text inside")
    return json.loads(text)


class _TextOnly(pickle.Unpickler):
    """Unpickles plain values: a pickle that names any class or function is refused before it can call it."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not text")
