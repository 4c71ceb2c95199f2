"""Names in emitted text: plain identifiers, each different, the same in every language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnncli.circuit.design import Design

_KEYWORDS = """
alignas alignof always and and_reg as asm assert assign async auto automatic await begin bit bool
boolean break buf bufif0 bufif1 byte case casex casez cell char class cmos config const constexpr
continue deassign debugger def default defparam del delete design disable do double edge elif else
enable end endcase endmodule endfunction endgenerate endtask enum eval event except export extends
extern false final finally float for force forever fork from function generate genvar global goto
highz0 highz1 if ifnone implements import in include initial inline inout input instance int integer
interface is join lambda large let library localparam logic long macromodule main medium module nand
negedge new nmos nonlocal nor not null num ones or out output package parameter pass pmos posedge
primitive print private protected public pull0 pull1 pulldown pullup raise real realtime reg register
release repeat restrict return rnmos rpmos rtran scalared short signed sizeof small specify specparam
static strong0 strong1 struct super supply0 supply1 switch table task this thread_local throw time
tran tri tri0 tri1 triand trior trireg true try type typedef typeof union unsigned use var vectored
void volatile wait wand weak0 weak1 while wire with wor words xnor xor yield
"""
RESERVED = frozenset(_KEYWORDS.split())
_OURS = re.compile(r"(bnn|design)_.*|[gs]\d+|v\d+|u?int\d*_t|size_t|mem(cpy|set)|malloc|free|NULL")
"""Names that emitted text uses itself."""


def identifier(name: str) -> str:
    """Turn any name into letters, digits and underscores that no language of ours reserves.

    >>> identifier("3 cells"), identifier("xor")
    ('x3_cells', 'xor_')
    """
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    plain = re.sub(r"__+", "_", plain).strip("_") or "x"
    if plain[0].isdigit():
        plain = f"x{plain}"
    return f"{plain}_" if plain in RESERVED or _OURS.fullmatch(plain) else plain


def identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Turn names into different identifiers, none of them ``taken``."""
    used = set(taken)
    given = []
    for name in names:
        plain = unique = identifier(name)
        number = 2
        while unique in used:
            unique, number = f"{plain}_{number}", number + 1
        used.add(unique)
        given.append(unique)
    return given


def end_names(design: Design, taken: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Give identifiers of the inputs and outputs: their names, else i0, i1, … and o0, o1, …."""
    circuit = design.circuit
    inputs = circuit.input_names or [f"i{k}" for k in range(circuit.n_inputs)]
    outputs = circuit.output_names or [f"o{k}" for k in range(circuit.n_outputs)]
    given = identifiers([*inputs, *outputs], taken)
    return given[: circuit.n_inputs], given[circuit.n_inputs :]


def design_name(design: Design, taken: Iterable[str] = ()) -> str:
    """Give the identifier of a design, none of those that the text uses for something else."""
    if not design.name.strip():
        raise BnnError("a design without a name cannot be emitted; name it")
    name = identifier(design.name)
    return f"{name}_circuit" if name in taken else name
