"""C99 of any design: one file without dependencies; see ``book/decisions/emitters.md``."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from bnncli.circuit.ir import FIRST_INPUT
from bnncli.circuit.rebuild import rebuild
from bnncli.codegen.automaton_c import automaton_program
from bnncli.codegen.c_gates import C_GATES, Style, gate_statements, needed
from bnncli.codegen.c_sums import pixel_tables, sum_tables
from bnncli.codegen.chunks import plan
from bnncli.codegen.emitter import emitter
from bnncli.codegen.names import design_name, end_names
from bnncli.gates import N_GATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bnncli.circuit.design import Design
    from bnncli.circuit.ir import Circuit

ONE_FUNCTION = 400
"""Gates up to which a circuit is one function."""

PART = 64
"""Gates in a function of a larger circuit."""

LARGE_STYLE = Style(
    gates=[
        {0x2: "BNN_AND_NOT({a}, {b})", 0x4: "BNN_AND_NOT({b}, {a})"}.get(op, C_GATES[op])
        for op in range(N_GATES)
    ]
)
"""gcc makes a & ~b of vectors two instructions of AVX-512 unless it is told not to."""

FAST_BUILD = ("-fno-tree-pre", "-fno-tree-fre", "-fno-tree-dse", "-fno-dse")
"""Options of gcc that leave out passes which find nothing in large emitted circuits, slowly."""


def part(name: str, **values: str) -> str:
    """Read a piece of C that is the same for all designs; replace macros by the values given."""
    text = (files("bnncli.codegen") / "parts" / name).read_text(encoding="utf-8")
    for macro, value in values.items():
        text = re.sub(rf"\b{macro}\b", value, text)
    return text


def c_name(design: Design) -> str:
    """Give the identifier of a design in C: none that the pieces use for something else."""
    return design_name(design, _words_of_parts())


@cache
def _words_of_parts() -> frozenset[str]:
    pieces = (piece for piece in (files("bnncli.codegen") / "parts").iterdir())
    return frozenset(re.findall(r"\w+", "".join(p.read_text(encoding="utf-8") for p in pieces)))


def for_design(text: str, name: str) -> str:
    """Give the names that begin with design_ or DESIGN_ the name of the design instead."""
    text = re.sub(r"\bdesign_(?=\w)", f"{name}_", text)
    return re.sub(r"\bDESIGN_(?=\w)", f"{name.upper()}_", text)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def head_lines(design: Design) -> list[str]:
    """Say what a design is: its ends and counts, then its notes."""
    circuit = design.circuit
    ends = f"{_count(circuit.n_inputs, 'input')}, {_count(circuit.n_outputs, 'output')}"
    gates = _count(circuit.size, "live gate")
    name = " ".join(design.name.split())
    lines = [f"{name}: {ends}, {gates} of two inputs, depth {circuit.depth:,}"]
    if design.pixels:
        lines.append(f"Inputs are thresholds of images of {design.pixels.n_pixels:,} bytes.")
    if design.sums:
        lines.append(f"Outputs are summed to scores of {design.sums.n_classes:,} classes.")
    return [*lines, *(line for note in design.notes for line in note.splitlines())]


def comment(lines: list[str]) -> str:
    """Write lines as a comment of C."""
    safe = [line.replace("*/", "* /").replace("/*", "/ *").rstrip("\\ ") for line in lines]
    return "/* " + "\n".join(safe).replace("\n", "\n * ").replace(" * \n", " *\n") + "\n */\n"


def _small(circuit: Circuit, name: str, inputs: list[str]) -> Iterator[str]:
    """Write a circuit as one function with named inputs."""
    yield f"void {name}(const bnn_word in[], bnn_word out[]) {{"
    lines, outputs = gate_statements(circuit, inputs)
    need = needed(circuit)[FIRST_INPUT:]
    for i, label in enumerate(inputs):
        if need[i]:
            yield f"    const bnn_word {label} = in[{i}];"
    yield from (f"    {line}" for line in lines)
    for j, value in enumerate(outputs):
        label = f" /* {circuit.output_names[j]} */" if circuit.output_names else ""
        yield f"    out[{j}] = {value};{label}"
    yield "    (void)in, (void)out;"
    yield "}"
    yield ""
    yield "#define DESIGN_SLOTS 0"
    yield "void design_run(const bnn_word *in, bnn_word *out, bnn_word *slots) {"
    yield "    (void)slots;"
    yield f"    {name}(in, out);"
    yield "}"


class _Parts:
    """The functions of a large circuit; ``place`` says where each signal lies between them."""

    def __init__(self, circuit: Circuit) -> None:
        self.cut = plan(circuit, PART)
        first = self.first = circuit.first_gate
        self._op, self._a, self._b = circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist()
        self.place = ["BNN_FALSE", "BNN_TRUE", *(f"in[{i}]" for i in range(circuit.n_inputs))]
        slot = self.cut.slot
        self.place += [
            f"s[{slot[s]}]" if s in slot else "" for s in range(first, circuit.n_signals)
        ]
        self.copies = []
        written = set()
        for j, signal in enumerate(circuit.outputs.tolist()):
            if signal < first or signal in written:
                self.copies.append(f"    out[{j}] = {self.place[signal]};")
            else:
                self.place[signal] = f"out[{j}]"
                written.add(signal)

    def body(self, gates: tuple[int, ...]) -> Iterator[str]:
        """Write the statements of one part."""
        first, place = self.first, self.place
        operands = [(self._a[s - first], self._b[s - first]) for s in gates]
        times = Counter(x for pair in operands for x in set(pair))
        local: dict[int, str] = {}
        for signal, pair in zip(gates, operands, strict=True):
            for x in pair:
                if x > 1 and times[x] > 1 and x not in local:
                    local[x] = f"v{x}"
                    yield f"    const bnn_word v{x} = {place[x]};"
            a, b = (local.get(x, place[x]) for x in pair)
            yield f"    const bnn_word v{signal} = {LARGE_STYLE.value(self._op[signal - first], a, b)};"
            local[signal] = f"v{signal}"
            if place[signal]:
                yield f"    {place[signal]} = v{signal};"


def _large(circuit: Circuit, name: str) -> Iterator[str]:
    """Write a circuit as functions of bounded size that pass values on in slots."""
    parts = _Parts(circuit)
    yield part("large.c")
    yield f"#define DESIGN_SLOTS {parts.cut.n_slots} /* words that hold values between parts */"
    arguments = "const bnn_word *restrict in, bnn_word *restrict out, bnn_word *restrict s"
    for i, gates in enumerate(parts.cut.parts):
        yield f"\nBNN_PART design_part{i}({arguments}) {{"
        body = list(parts.body(gates))
        yield from body
        text = "\n".join(body)
        unused = [label for label in ("in", "out", "s") if f"{label}[" not in text]
        if unused:
            yield "    " + ", ".join(f"(void){label}" for label in unused) + ";"
        yield "}"
    yield "\n/* With memory for DESIGN_SLOTS words given. */"
    yield f"void design_run({arguments.replace('*restrict s', '*restrict slots')}) {{"
    yield from (f"    design_part{i}(in, out, slots);" for i in range(len(parts.cut.parts)))
    yield from parts.copies
    yield "}"
    yield f"\nvoid {name}(const bnn_word in[], bnn_word out[]) {{"
    yield "    bnn_word slots[DESIGN_SLOTS + 1];"
    yield "    design_run(in, out, slots);"
    yield "}"


def _usage(design: Design, name: str, *, large: bool) -> list[str]:
    """Say how to build and call the file."""
    options = f"-O1 {' '.join(FAST_BUILD)}" if large else "-O2"
    lines = [
        "",
        f"Build: cc -std=c99 {options} -c FILE.c",
        "-DBNN_WIDTH=128, 256 or 512 computes so many cases at once in vectors of GCC or Clang (add",
        "-mavx2 or -mavx512f, or -march=native); -DBNN_MAIN adds a main that reads standard input.",
        "",
        f"void {name}(const bnn_word in[], bnn_word out[]): BNN_WIDTH cases; bit k of in[i] is input",
        "    i of case k, bit k of out[j] its output j; in and out do not overlap",
        f"int {name}_words(const uint64_t *in, uint64_t *out, size_t words): 64 * words cases",
    ]
    if large:
        lines.insert(
            6, f"    (on the stack: {name.upper()}_SLOTS words; {name}_run takes them instead)"
        )
    if design.pixels and design.sums:
        lines += [
            f"int {name}_classify(const uint8_t *images, size_t n, int32_t *classes): n classes",
            f"int {name}_scores(const uint8_t *images, size_t n, int32_t *scores): n rows of scores",
        ]
    elif design.pixels:
        lines.append(
            f"int {name}_bits(const uint8_t *images, size_t n, uint8_t *bits): n rows of bits"
        )
    return lines


def _ends(design: Design) -> Iterator[str]:
    """Write what surrounds the gates: batches, images, sums, main."""
    yield part("batch.c")
    if design.sums:
        yield "\n".join(["", *sum_tables(design.sums)]) + "\n"
        yield part("sums.c")
    if not design.pixels:
        yield part("main_bits.c")
        return
    yield part("bytes.c")
    yield "\n".join(["", *pixel_tables(design.pixels)]) + "\n"
    yield part("pixels.c")
    readers = [("bits", "uint8_t", "DESIGN_OUTPUTS")]
    if design.sums:
        readers = [("scores", "int32_t", "DESIGN_CLASSES"), ("classify", "int32_t", "1")]
    else:
        yield part("bits.c")
    for verb, kind, count in readers:
        values = {"design_evaluate": f"design_{verb}", "DESIGN_TYPE": kind, "DESIGN_VALUES": count}
        of = "classes" if verb == "classify" else verb
        yield part("images.c", DESIGN_READ=f"design_{of}_of", **values)
    yield part("main_images.c", **values)


@emitter("c", ".c", "C99 without dependencies, 64 cases a word or 512 in vectors")
def emit_c(design: Design) -> str:
    """Write a design as one C file: an automaton as a program, others as functions."""
    return automaton_program(design) if design.channels else circuit_c(design)


def circuit_text(design: Design) -> tuple[str, str]:
    """Give the name of a design and the C of its ends and its circuit."""
    name, circuit = c_name(design), design.circuit
    inputs, _ = end_names(design, (name,))
    if circuit.size > ONE_FUNCTION:
        # Without inverters between gates, which gcc would not absorb.
        lines = _large(rebuild(circuit), name)
    else:
        lines = _small(circuit, name, inputs)
    return name, _end_counts(design) + "\n".join(lines) + "\n"


def _end_counts(design: Design) -> str:
    circuit = design.circuit
    ends = f"DESIGN_INPUTS = {circuit.n_inputs}, DESIGN_OUTPUTS = {circuit.n_outputs}"
    return f"\nenum {{ {ends} }};\n\n"


def circuit_c(design: Design, gates: Callable[[str], Iterator[str]] | None = None) -> str:
    """Write the functions of a design's circuit, and of its pixels and sums.

    ``gates`` writes the function NAME, design_run and DESIGN_SLOTS instead of what is usual.
    """
    name, text = circuit_text(design) if gates is None else (c_name(design), "")
    if gates:
        text = _end_counts(design) + "\n".join(gates(name)) + "\n"
    large = gates is None and design.circuit.size > ONE_FUNCTION
    head = comment([*head_lines(design), *_usage(design, name, large=large)])
    return for_design("".join([head, part("word.c"), text, *_ends(design)]), name)
