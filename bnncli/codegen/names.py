"""Names in emitted text: plain identifiers, each different, the same in every language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnncli.circuit.design import Design

_KEYWORDS = """
False Infinity NaN None True accept_on alias alignas alignof always always_comb always_ff
always_latch and and_reg arguments as asm assert assign assume async auto automatic await before
begin bind bins binsof bit bool boolean break buf bufif0 bufif1 byte case casex casez catch cell
chandle char checker class clocking cmos config const constexpr continue cover covergroup coverpoint
cross deassign debugger def default defparam del delete design disable dist do double edge elif else
enable end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup
endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtask
enum eval event eventually except expect export extends extern false final finally first_match float
for force foreach forever fork forkjoin from function generate genvar global goto highz0 highz1 if
iff ifnone ignore_bins illegal_bins implements implies import in incdir include initial inline inout
input inside instance instanceof int integer interconnect interface intersect is join join_any
join_none lambda large let liblist library linux local localparam logic long longint macromodule
main matches medium modport module nand negedge nettype new nexttime nmos nonlocal nor
noshowcancelled not notif0 notif1 null nullptr num ones or out output package packed parameter pass
pmos posedge primitive print priority private program property protected public pull0 pull1 pulldown
pullup pulsestyle_ondetect pulsestyle_onevent pure raise rand randc randcase randsequence real
realtime ref reg register reject_on release repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence short shortint
shortreal showcancelled signed sizeof small soft solve specify specparam static static_assert string
strong strong0 strong1 struct super supply0 supply1 switch sync_accept_on sync_reject_on table
tagged task this thread_local throughout throw time timeprecision timeunit tran tranif0 tranif1 tri
tri0 tri1 triand trior trireg true try type typedef typeof typeof_unqual undefined union unique
unique0 unix unsigned until until_with untyped use uwire var vectored virtual void volatile wait
wait_order wand weak weak0 weak1 while wildcard wire with within wor words xnor xor yield
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
