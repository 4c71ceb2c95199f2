"""WebAssembly with SIMD of a circuit, built by the C compiler of the extra ``zig``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bnncli.codegen.c import circuit_text, for_design, part
from bnncli.codegen.emitter import emitter, refuse_sums
from bnncli.data.store import cache_dir
from bnncli.errors import BnnError
from bnncli.native.compile import CompileError

if TYPE_CHECKING:
    from bnncli.circuit.design import Design

LANES = 128
OPTIONS = ("-target", "wasm32-freestanding", "-std=c99", "-O2", "-msimd128", "-nostdlib", "-s")

_MODULE = """
static bnn_word inputs[DESIGN_INPUTS + 1], outputs[DESIGN_OUTPUTS + 1], slots[DESIGN_SLOTS + 1];

/* Addresses in the module's memory. */
void *design_inputs(void) { return inputs; }
void *design_outputs(void) { return outputs; }

/* Bit k of inputs[i] is input i of case k, of 128; fills outputs the same way. */
void design_compute(void) { design_run(inputs, outputs, slots); }
"""


def wasm_source(design: Design) -> tuple[str, str]:
    """Give the name of a design and the C of its module, which needs no library."""
    name, gates = circuit_text(design)
    head = part("word.c").replace("#include <stdlib.h>\n#include <string.h>\n", "")
    return name, for_design(head + gates + _MODULE, name)


@emitter("wasm", ".wasm", "WebAssembly with SIMD, 128 cases a call (needs the extra zig)")
def emit_wasm(design: Design) -> bytes:
    """Build a module that exports its memory, NAME_inputs, NAME_outputs and NAME_compute."""
    refuse_sums(design, "WebAssembly")
    if importlib.util.find_spec("ziglang") is None:
        raise BnnError("wasm needs the compiler of the extra zig; pip install 'bnncli[zig]'")
    name, source = wasm_source(design)
    exports = [f"-Wl,--export={name}_{verb}" for verb in ("inputs", "outputs", "compute")]
    with tempfile.TemporaryDirectory(prefix="bnn-") as folder:
        c_file, target = Path(folder) / "design.c", Path(folder) / "design.wasm"
        c_file.write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS, f"-DBNN_WIDTH={LANES}"]
        command += ["-Wl,--no-entry", *exports, str(c_file), "-o", str(target)]
        # Of its own cache zig would leave folders in the working directory.
        caches = {f"ZIG_{kind}_CACHE_DIR": str(cache_dir() / "zig") for kind in ("GLOBAL", "LOCAL")}
        result = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **caches}, check=False
        )
        if result.returncode:
            lines = [line for line in result.stderr.splitlines() if "error" in line]
            told = (lines or ["no message"])[0]
            raise CompileError(f"emitting {design.name} as wasm: zig cc failed: {told[:300]}")
        return target.read_bytes()
