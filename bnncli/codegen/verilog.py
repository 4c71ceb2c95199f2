"""Verilog of any design, one scalar wire a gate, and a testbench that checks it.

Simulators evaluate a vector anew for each bit of it that changes: scalar wires keep them fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import pack_bits, unpack_bits
from bnncli.circuit.simulate import input_patterns, simulate
from bnncli.codegen.c import head_lines
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.c_sums import score_range, signed_bits, sum_terms
from bnncli.codegen.emitter import emitter
from bnncli.codegen.names import design_name, end_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.circuit.design import Design
    from bnncli.circuit.sums import ClassSums

VERILOG = Style(false="1'b0", true="1'b1", statement="wire {name} = {value};")
EXHAUSTIVE, RANDOM_CASES = 8, 256
"""Inputs up to which a testbench tries all combinations, and its random cases beyond."""


def _class_bits(sums: ClassSums) -> int:
    return max(1, (sums.n_classes - 1).bit_length())


def _ports(design: Design) -> tuple[list[str], list[str]]:
    """Give the declarations of the inputs and of the outputs."""
    circuit = design.circuit
    inputs, outputs = end_names(design, (design_name(design), "x", "y"))
    if not circuit.input_names:
        inputs = [f"[{circuit.n_inputs - 1}:0] x"] if circuit.n_inputs else []
    if design.sums:
        bits = signed_bits(*score_range(design.sums))
        outputs = [f"signed [{bits - 1}:0] score{k}" for k in range(design.sums.n_classes)]
        outputs.append(f"[{_class_bits(design.sums) - 1}:0] winner")
    elif not circuit.output_names:
        outputs = [f"[{circuit.n_outputs - 1}:0] y"] if circuit.n_outputs else []
    return inputs, outputs


def _count(bits: list[str], label: str) -> tuple[list[str], str, int]:
    """Add bits by a tree of adders: its lines, the name of the sum and its width."""
    lines, values, width = [], list(bits), 1
    level = 0
    while len(values) > 1:
        pairs = []
        for i in range(0, len(values) - 1, 2):
            name = f"{label}_{level}_{i // 2}"
            lines.append(f"wire [{width}:0] {name} = {values[i]} + {values[i + 1]};")
            pairs.append(name)
        if len(values) % 2:
            name = f"{label}_{level}_{len(values) // 2}"
            lines.append(f"wire [{width}:0] {name} = {values[-1]};")
            pairs.append(name)
        values, width, level = pairs, width + 1, level + 1
    return lines, values[0], width


def _signed(value: int, bits: int) -> str:
    return f"-{bits}'sd{-value}" if value < 0 else f"{bits}'sd{value}"


def _sums(sums: ClassSums, outputs: list[str]) -> Iterator[str]:
    """Write scores and the class of the highest, the first of several."""
    bits = signed_bits(*score_range(sums))
    for k in range(sums.n_classes):
        total = [_signed(int(sums.bias[k]), bits)]
        for t, (counted, shift, negative) in enumerate(sum_terms(sums, k)):
            lines, name, width = _count([outputs[j] for j in counted], f"count{k}_{t}")
            yield from lines
            term = f"term{k}_{t}"
            # One bit more, so that the count is not taken for a negative number.
            yield f"wire signed [{max(bits, width + 1) - 1}:0] {term} = {{1'b0, {name}}};"
            scaled = f"({term} <<< {shift})" if shift else term
            total.append(f"{'-' if negative else '+'} {scaled}")
        yield f"assign score{k} = {' '.join(total)};"
    best, index = "score0", f"{_class_bits(sums)}'d0"
    for k in range(1, sums.n_classes):
        yield f"wire better{k} = score{k} > {best};"
        yield f"wire signed [{bits - 1}:0] best{k} = better{k} ? score{k} : {best};"
        yield (
            f"wire [{_class_bits(sums) - 1}:0] winner{k} = "
            f"better{k} ? {_class_bits(sums)}'d{k} : {index};"
        )
        best, index = f"best{k}", f"winner{k}"
    yield f"assign winner = {index};"


def _head(design: Design) -> str:
    return "".join(f"// {line}".rstrip() + "\n" for line in head_lines(design))


@emitter("verilog", ".v", "synthesizable Verilog-2001, one wire a gate")
def emit_verilog(design: Design) -> str:
    """Write a design as a module.

    Its inputs are the circuit's, its outputs the circuit's or the scores and the winner. Ends
    without names are the vectors x and y; x[i] is input i.
    """
    circuit, name = design.circuit, design_name(design)
    inputs, labels = end_names(design, (name, "x", "y"))
    given, driven = _ports(design)
    lines, outputs = gate_statements(circuit, inputs, style=VERILOG)
    body = []
    if not circuit.input_names:
        body += [f"wire {label} = x[{i}];" for i, label in enumerate(inputs)]
    body += lines
    if design.sums:
        body += _sums(design.sums, outputs)
    elif circuit.output_names:
        body += [f"assign {label} = {value};" for label, value in zip(labels, outputs, strict=True)]
    else:
        body += [f"assign y[{j}] = {value};" for j, value in enumerate(outputs)]
    ports = [f"    input wire {port}" for port in given]
    ports += [f"    output wire {port}" for port in driven]
    text = [f"module {name} (", ",\n".join(ports), ");", *(f"    {line}" for line in body)]
    return _head(design) + "\n".join([*text, "endmodule"]) + "\n"


def _hex(bits: NDArray[np.bool_]) -> str:
    """Write bits, the first the lowest, as a Verilog number."""
    value = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
    return f"{len(bits)}'h{value:x}"


def _expected(design: Design, cases: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give the bits of all outputs of the module, the first the lowest; (n, bits)."""
    out = unpack_bits(simulate(design.circuit, pack_bits(cases)), cases.shape[1])
    if not design.sums:
        return out.T
    scores = design.sums.scores(out)
    bits = signed_bits(*score_range(design.sums))
    columns = [scores[:, k] >> p & 1 for k in range(design.sums.n_classes) for p in range(bits)]
    winner = scores.argmax(axis=1)
    columns += [winner >> p & 1 for p in range(_class_bits(design.sums))]
    both: NDArray[Any] = np.stack(columns, axis=1)
    return both.astype(np.bool_)


def verilog_testbench(design: Design, cases: NDArray[np.bool_]) -> str:
    """Write a module that drives the design with cases and compares its outputs.

    It prints ``PASS`` and the number of cases, or a line ``FAIL`` for each that differs and their
    number.
    Shape: cases (n_inputs, n).
    """
    name = design_name(design)
    given, driven = _ports(design)
    expected = _expected(design, cases)
    n_in, n_out = cases.shape[0], expected.shape[1]
    names_in = [port.split()[-1] for port in given]
    names_out = [port.split()[-1] for port in driven]
    declared = [f"    wire {port};" for port in driven]
    drive = f"{{{', '.join(reversed(names_in))}}}"
    got = f"{{{', '.join(reversed(names_out))}}}"
    ports = ", ".join(f".{label}({label})" for label in (*names_in, *names_out))
    text = [
        f"module {name}_testbench;",
        *(f"    reg {port};" for port in given),
        *declared,
        "    integer errors;",
        f"    {name} design_under_test ({ports});",
        f"    task check(input [{max(n_in, 1) - 1}:0] given, input [{max(n_out, 1) - 1}:0] wanted);",
        "        begin",
        *([f"            {drive} = given;"] if given else []),
        "            #1;",
        f"            if ({got} !== wanted) begin" if driven else "            if (0) begin",
        "                errors = errors + 1;",
        (
            f'                $display("FAIL: %h gives %h, expected %h", given, {got}, wanted);'
            if driven
            else "                ;"
        ),
        "            end",
        "        end",
        "    endtask",
        "    initial begin",
        "        errors = 0;",
    ]
    for case, wanted in zip(cases.T, expected, strict=True):
        given_text = _hex(case) if n_in else "1'h0"
        text.append(
            f"        check({given_text}, {_hex(wanted) if n_out else chr(49) + chr(39) + 'h0'});"
        )
    text += [
        f'        if (errors == 0) $display("PASS: {cases.shape[1]} cases");',
        f'        else $display("FAIL: %0d of {cases.shape[1]} cases", errors);',
        "        $finish;",
        "    end",
        "endmodule",
    ]
    return "\n".join(text) + "\n"


@emitter("verilog-testbench", "_tb.v", "a testbench for the Verilog module, with its cases")
def emit_testbench(design: Design) -> str:
    """Write a testbench with all combinations of few inputs, else with random cases."""
    n = design.circuit.n_inputs
    if n <= EXHAUSTIVE:
        cases = unpack_bits(input_patterns(n), max(64, 2**n))[:, : 2**n]
    else:
        cases = np.random.default_rng(0).integers(0, 2, (n, RANDOM_CASES)).astype(np.bool_)
    return verilog_testbench(design, cases)
