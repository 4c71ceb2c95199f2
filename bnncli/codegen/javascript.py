"""JavaScript of any design: a function on 32-bit lanes, for browsers and node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.codegen.c import comment, head_lines
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.emitter import emitter
from bnncli.codegen.names import design_name, end_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnncli.circuit.design import Design

JAVASCRIPT = Style(false="0", true="~0", statement="const {name} = {value};")
_WORDS = ("inputs", "outputs", "image", "images", "scores", "Math", "Int32Array", "Uint8Array")


def _array(name: str, values: list[int]) -> str:
    rows = [", ".join(map(str, values[i : i + 16])) for i in range(0, len(values), 16)]
    return "\n".join([f"const {name} = [", *(f"  {row}," for row in rows), "];"])


def _images(design: Design, name: str) -> Iterator[str]:
    """Write the functions from images to outputs, scores and classes."""
    if not design.pixels:
        return
    pixels = design.pixels
    yield _array("PIXEL", pixels.pixel.tolist())
    yield _array("THRESHOLD", pixels.threshold.tolist())
    value = "image[PIXEL[i]]"
    if pixels.mask is not None:
        yield _array("MASK", pixels.mask.tolist())
        value = f"({value} & MASK[i])"
    n, n_out = design.circuit.n_inputs, design.circuit.n_outputs
    yield f"""
// The outputs, as rows of 0 and 1, of up to 32 images: arrays of {pixels.n_pixels} bytes.
function {name}_bits(images) {{
  const inputs = new Int32Array({n});
  images.forEach((image, k) => {{
    for (let i = 0; i < {n}; i++) inputs[i] |= ({value} > THRESHOLD[i]) << k;
  }});
  const outputs = {name}(inputs, new Int32Array({n_out}));
  return images.map((_, k) => Array.from(outputs, (out) => (out >>> k) & 1));
}}"""
    if not design.sums:
        return
    yield _array("\nGROUP".strip(), design.sums.group.tolist())
    yield _array("WEIGHT", design.sums.weight.tolist())
    yield _array("BIAS", design.sums.bias.tolist())
    yield f"""
// The scores of the classes of up to 32 images.
function {name}_scores(images) {{
  return {name}_bits(images).map((bits) => {{
    const scores = BIAS.slice();
    bits.forEach((bit, j) => (scores[GROUP[j]] += WEIGHT[j] * bit));
    return scores;
  }});
}}

// The class of the highest score, the first of several, of up to 32 images.
function {name}_classify(images) {{
  return {name}_scores(images).map((scores) => scores.indexOf(Math.max(...scores)));
}}"""


def circuit_function(design: Design) -> tuple[str, str]:
    """Give the name and the text of the function that computes a circuit."""
    name = design_name(design, _WORDS)
    inputs, _ = end_names(design, (name, *_WORDS))
    lines, outputs = gate_statements(design.circuit, inputs, style=JAVASCRIPT)
    text = [
        f"function {name}(inputs, outputs = new Int32Array({len(outputs)})) {{",
        *(f"  const {label} = inputs[{i}];" for i, label in enumerate(inputs)),
        *(f"  {line}" for line in lines),
        *(f"  outputs[{j}] = {value};" for j, value in enumerate(outputs)),
        "  return outputs;",
        "}",
    ]
    return name, "\n".join(text)


@emitter("javascript", ".js", "a JavaScript function, 32 cases a number")
def emit_javascript(design: Design) -> str:
    """Write a design as a script; under node it is also a module that exports its functions."""
    name, function = circuit_function(design)
    text = [
        comment(head_lines(design)).rstrip(),
        '"use strict";',
        "",
        "// Bit k of inputs[i] is input i of case k, of 32; fills outputs the same way.",
        function,
        *_images(design, name),
    ]
    exported = [name]
    if design.pixels:
        exported.append(f"{name}_bits")
    if design.pixels and design.sums:
        exported += [f"{name}_scores", f"{name}_classify"]
    text += [
        "",
        f'if (typeof module !== "undefined") module.exports = {{ {", ".join(exported)} }};',
    ]
    return "\n".join(text) + "\n"
