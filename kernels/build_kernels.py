"""Describe the extension ``bnncli._kernels`` to setuptools (cffi, API mode, limited ABI).

Paths are relative to the root of the repository, from which setuptools runs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
HEADER = "kernels/include/bnn_kernels.h"
SOURCES = [
    f"kernels/src/{name}.c"
    for name in (
        *("dispatch", "pack", "xor_gemm", "sign_gemm", "sign_table", "conv"),
        *("memory", "pool", "logic_layer", "logic_tile", "logic_mixed", "logic_tree"),
        *("logic_table", "logic_eval"),
        *("circuit_simulate", "circuit_net", "circuit_shared"),
        *("circuit_resub", "circuit_resub_step"),
    )
]
THREADS = ["-pthread"] if os.name == "posix" else []


def declarations() -> str:
    """Return the public header without comments and preprocessor lines, as cffi reads it."""
    text = (ROOT / HEADER).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


ffibuilder = FFI()
CONSTANTS = (
    *("ABI", "PANEL_LANES", "MASK_LANES", "LOGIC_SAMPLES", "LOGIC_WORDS"),
    *("RESUB_INPUTS", "RESUB_GATES", "TREE_DEPTH", "TREE_POOL"),
)

ffibuilder.cdef(declarations() + "".join(f"\n#define BNN_{name} ...\n" for name in CONSTANTS))
ffibuilder.set_source(
    "bnncli._kernels",
    '#include "bnn_kernels.h"',
    sources=SOURCES,
    include_dirs=["kernels/include", "kernels/src"],
    depends=[
        *(HEADER, "kernels/build_kernels.py"),
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "kernels/src").glob("*.h")),
    ],
    extra_compile_args=[
        *("-std=c11", "-O3", "-Wall", "-Wextra", *THREADS),
        *("-ffp-contract=fast", "-fno-math-errno"),  # let loops over floats use fma and sqrt
    ],
    libraries=["m"],
    extra_link_args=THREADS,
    optional=os.environ.get("BNN_REQUIRE_KERNEL") != "1",
)
