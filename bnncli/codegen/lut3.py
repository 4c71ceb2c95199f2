"""C of functions of three inputs, which AVX-512 computes in one instruction (vpternlog)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.circuit.rebuild import rebuild
from bnncli.codegen.c import circuit_c, part
from bnncli.codegen.c_gates import C_STYLE
from bnncli.codegen.emitter import emitter
from bnncli.codegen.lut3_cover import MAX_LEAVES, Lut, map_lut3
from bnncli.codegen.names import end_names
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit.design import Design
    from bnncli.circuit.ir import Circuit

MAX_GATES = 5000
"""Gates up to which the functions are one function of C that compilers take in seconds."""


def _portable(circuit: Circuit, lut: Lut, names: list[str], signal: int) -> str:
    """Write the function of a lut in two-input operators."""
    if signal in lut.leaves or signal < 2:
        return names[signal]
    i = signal - circuit.first_gate
    a, b = (_portable(circuit, lut, names, int(x[i])) for x in (circuit.a, circuit.b))
    return f"({C_STYLE.value(int(circuit.op[i]), a, b)})"


def _statements(circuit: Circuit, name: str, inputs: list[str]) -> Iterator[str]:
    luts = map_lut3(circuit)
    names = ["BNN_FALSE", "BNN_TRUE", *inputs, *[""] * circuit.n_gates]
    yield part("lut3.c")
    yield f"/* {len(luts):,} functions of up to three inputs for {circuit.size:,} gates of two. */"
    yield f"void {name}(const bnn_word in[], bnn_word out[]) {{"
    read = {leaf for lut in luts for leaf in lut.leaves} | {*circuit.outputs.tolist()}
    for i, label in enumerate(inputs):
        if i + 2 in read:
            yield f"    const bnn_word {label} = in[{i}];"
    for k, lut in enumerate(luts):
        names[lut.signal] = f"g{k}"
        portable = _portable(circuit, lut, names, lut.signal)
        value = portable[1:-1]
        if len(lut.leaves) == MAX_LEAVES:
            x, y, z = (names[leaf] for leaf in lut.leaves)
            value = f"BNN_LUT3(0x{lut.table:02x}, {z}, {y}, {x}, {portable})"
        yield f"    const bnn_word g{k} = {value};"
    for j, signal in enumerate(circuit.outputs.tolist()):
        yield f"    out[{j}] = {names[signal]};"
    yield "    (void)in, (void)out;"
    yield "}\n\n#define DESIGN_SLOTS 0"
    yield "void design_run(const bnn_word *in, bnn_word *out, bnn_word *slots) {"
    yield f"    (void)slots;\n    {name}(in, out);"
    yield "}"


@emitter("lut3", ".c", "C99 in functions of three inputs, for AVX-512 (vpternlog)")
def emit_lut3(design: Design) -> str:
    """Write a design as C whose statements combine three values each."""
    if design.circuit.size > MAX_GATES:
        raise BnnError(
            f"lut3 is for circuits of at most {MAX_GATES:,} gates and {design.name} has "
            f"{design.circuit.size:,}; emit c"
        )
    circuit = rebuild(design.circuit)

    def gates(name: str) -> Iterator[str]:
        inputs, _ = end_names(design, (name,))
        return _statements(circuit, name, inputs)

    return circuit_c(design, gates)
