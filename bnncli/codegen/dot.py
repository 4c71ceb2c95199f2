"""Graphs for graphviz: a node a gate, a hollow dot where an operand is complemented."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bnncli.codegen.emitter import emitter, refuse_sums
from bnncli.codegen.layers import lay_out_nodes
from bnncli.codegen.svg import SYMBOLS, labels

if TYPE_CHECKING:
    from bnncli.circuit.design import Design


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@emitter("dot", ".dot", "a graph for graphviz")
def emit_dot(design: Design) -> str:
    """Write a circuit as a directed graph from inputs to outputs."""
    refuse_sums(design, "DOT")
    inputs, outputs = labels(design)
    lines = [
        f"digraph {_quoted(design.name)} {{",
        '    rankdir=LR; bgcolor=white; node [fontname="sans-serif", color="#222222"];',
        '    edge [color="#222222"];',
    ]
    ends: list[str] = []
    for node in lay_out_nodes(design.circuit, inputs, outputs):
        if node.op is not None:
            symbol, *inverted, turned = SYMBOLS[node.op]
            label = f"N{symbol}" if turned and symbol != "NOT" else symbol
            label = "XNOR" if label == "NXOR" else label
            lines.append(f'    s{node.signal} [label="{label}", shape=box, style=rounded];')
            for signal, invert in zip(node.reads, inverted, strict=False):
                # An inverter's own symbol says it already.
                style = " [arrowhead=odot]" if invert and symbol != "NOT" else ""
                lines.append(f"    s{signal} -> s{node.signal}{style};")
        elif node.signal >= 0:
            lines.append(f"    s{node.signal} [label={_quoted(node.label)}, shape=plaintext];")
        else:
            place = len(ends)
            ends.append(f"    o{place} [label={_quoted(node.label)}, shape=plaintext];")
            ends.append(f"    s{node.reads[0]} -> o{place};")
    return "\n".join([*lines, *ends, "}"]) + "\n"
