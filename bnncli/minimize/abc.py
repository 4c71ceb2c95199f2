"""The logic-synthesis program abc as a pass, where it is installed.

The circuit goes out as BLIF with a table a gate; abc runs a script, maps the result to tables of
two inputs, and they come back as gates. It counts and-gates while it works, so its result can be
the larger one in two-input gates; a pass then keeps what it was given.
See ``book/decisions/passes.md``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bnncli.circuit import Builder, rebuild
from bnncli.circuit.builder import ALL_TRUE
from bnncli.errors import BnnError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit import Circuit

PROGRAMS = ("abc", "berkeley-abc", "yosys-abc")
"""Names of the program, by preference."""

_COMPRESS2RS = (
    "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; "
    "balance -l; resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -lz; "
    "resub -K 10 -N 2 -l; balance -l; resub -K 12 -l; refactor -lz; resub -K 12 -N 2 -l; "
    "rewrite -lz; balance -l"
)
SCRIPTS = {
    "map": "strash; if -K 2 -a",
    "fraig": "strash; fraig; if -K 2 -a",
    "mfs2": "strash; fraig; if -K 2 -a; mfs2 -a",
    "dc2": "strash; dc2; dc2; if -K 2 -a",
    "compress2rs": f"strash; {_COMPRESS2RS}; if -K 2 -a",
    "compress2rs, dch, mfs2": f"strash; {_COMPRESS2RS}; dch; if -K 2 -a; mfs2 -a",
    "&deepsyn": "strash; &get -n; &deepsyn -T {search}; &put; if -K 2 -a",
    "&rrr": "strash; dch; &get -n; &rrr -X 2 -Y 2 -T {search}; &put; if -K 2 -a",
}
"""What abc is told, by name; every script ends in tables of two inputs.

The last two search for some seconds, for small circuits; not every abc has them.
"""

ABC_SCRIPT = "mfs2"
ABC_SECONDS = 600.0


def find_abc() -> str | None:
    """Give the path of the program, None where there is none.

    The package pyosys brings a recent one; else it is looked for on the PATH.
    """
    package = importlib.util.find_spec("pyosys")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).with_name("yosys-abc")
        if os.access(bundled, os.X_OK):
            return str(bundled)
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def abc_needs(circuit: Circuit) -> str:
    """Say what is missing to run abc; empty if nothing is."""
    if find_abc():
        return ""
    return f"needs one of {', '.join(PROGRAMS)} on the PATH, or the package pyosys"


def _table_lines(op: int, names: tuple[str, str, str]) -> Iterator[str]:
    yield f".names {' '.join(names)}"
    yield from (f"{row & 1}{row >> 1} 1" for row in range(4) if op >> row & 1)


def _blif(circuit: Circuit) -> str:
    """Write a clean circuit with inputs i0, i1, …, outputs o0, o1, … and gates g0, g1, …

    A table must have rows, and must not name an input twice.
    """
    inputs = [f"i{i}" for i in range(circuit.n_inputs)]
    gates = [f"g{i}" for i in range(circuit.n_gates)]
    names = ["zero", "one", *inputs, *gates]
    lines = [".model circuit", f".inputs {' '.join(inputs)}"]
    lines += [".outputs " + " ".join(f"o{i}" for i in range(circuit.n_outputs))]
    lines += [".names zero", ".names one", "1"]
    tables = zip(circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist(), gates, strict=True)
    for op, a, b, gate in tables:
        if a == b:
            lines.append(f".names {names[a]} {gate}")
            lines += [f"{bit} 1" for bit in (0, 1) if op >> 3 * bit & 1]
        else:
            lines += _table_lines(op, (names[a], names[b], gate))
    for i, signal in enumerate(circuit.outputs.tolist()):
        lines += [f".names {names[signal]} o{i}", "1 1"]
    return "\n".join([*lines, ".end", ""])


def _tables(text: str) -> dict[str, tuple[list[str], int]]:
    """Read the tables of a BLIF: by output, the inputs' names and the truth table."""
    tables: dict[str, tuple[list[str], int]] = {}
    inputs: list[str] = []
    output = ""
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split()
        if words[:1] == [".names"]:
            *inputs, output = words[1:]
            if len(inputs) > 2:
                raise BnnError(f"abc gave a table of {len(inputs)} inputs, expected at most 2")
            tables[output] = (inputs, 0)
        elif words and not words[0].startswith("."):
            cube = words[0] if inputs else ""
            rows = 0
            for row in range(4):
                if all(bit in ("-", str(row >> i & 1)) for i, bit in enumerate(cube)):
                    rows |= 1 << row
            # Rows of zeros are what is left of all ones, and a table has rows of one kind.
            before = tables[output][1]
            if words[-1] == "0":
                tables[output] = (inputs, (before or ALL_TRUE) & ~rows)
            else:
                tables[output] = (inputs, before | rows)
    return tables


def _circuit(text: str, like: Circuit) -> Circuit:
    """Build the circuit that a BLIF holds, with the ends of another."""
    tables = _tables(text)
    build = Builder(like.n_inputs)
    literals = {f"i{i}": x for i, x in enumerate(build.inputs())}
    waiting = [f"o{i}" for i in reversed(range(like.n_outputs))]
    while waiting:
        name = waiting[-1]
        inputs, table = tables.get(name, ([], 0))
        missing = [x for x in inputs if x not in literals]
        if name in literals or not missing:
            waiting.pop()
            x, y = [*(literals[i] for i in inputs), 0, 0][:2]
            literals.setdefault(name, build.gate(table, x, y))
        else:
            waiting += missing
    outputs = [literals[f"o{i}"] for i in range(like.n_outputs)]
    return build.build(outputs, like.input_names, like.output_names)


def run_abc(
    circuit: Circuit,
    script: str = ABC_SCRIPT,
    *,
    search_seconds: int = 10,
    seconds: float = ABC_SECONDS,
) -> Circuit:
    """Let abc work on a circuit by one of :data:`SCRIPTS`; the result may be larger.

    After ``seconds`` it is stopped, which is an error.
    """
    program = find_abc()
    if program is None:
        raise BnnError(f"abc {abc_needs(circuit)}")
    if script not in SCRIPTS:
        raise unknown_name("abc script", script, SCRIPTS)
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.blif"), Path(folder, "made.blif")
        given.write_text(_blif(rebuild(circuit)))
        told = SCRIPTS[script].format(search=search_seconds)
        commands = f"read_blif given.blif; {told}; write_blif made.blif"
        try:
            done = subprocess.run(
                [program, "-q", commands],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BnnError(f"abc: not done with {script} after {seconds:g} s") from None
        if done.returncode or not made.exists():
            last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no message"]
            raise BnnError(f"abc: {script} failed: {last[0]}")
        return _circuit(made.read_text(), circuit)
