"""What some tests need of the machine."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

LACKS = [
    name
    for name, there in (
        ("deepspeed", importlib.util.find_spec("deepspeed")),
        ("a C++ compiler", shutil.which("c++") or shutil.which("g++")),
    )
    if not there
]
needs_deepspeed = pytest.mark.skipif(bool(LACKS), reason=f"DeepSpeed on a CPU needs {' and '.join(LACKS)}, not found")
