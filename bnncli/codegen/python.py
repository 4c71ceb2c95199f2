"""A Python function of any design, on integers of any length or on arrays of numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.codegen.c import head_lines
from bnncli.codegen.c_gates import Style, gate_statements
from bnncli.codegen.emitter import emitter
from bnncli.codegen.names import design_name, end_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bnncli.circuit.design import Design

# Complements are written as ^ ones: ~ would make integers negative.
PYTHON = Style(
    gates=(
        *("{false}", "({a} | {b}) ^ ones", "{a} & ({b} ^ ones)", "{b} ^ ones"),
        *("({a} ^ ones) & {b}", "{a} ^ ones", "{a} ^ {b}", "({a} & {b}) ^ ones"),
        *("{a} & {b}", "({a} ^ {b}) ^ ones", "{a}", "{a} | ({b} ^ ones)"),
        *("{b}", "({a} ^ ones) | {b}", "{a} | {b}", "{true}"),
    ),
    false="(ones ^ ones)",
    true="ones",
    statement="{name} = {value}",
)

_WORDS = ("inputs", "ones", "images", "scores", "out", "zero", "np", "len")


def _tuple(names: Iterable[str], indent: str = "    ") -> Iterator[str]:
    """Write names as a tuple, a few lines of them where there are many."""
    given = list(names)
    text = ", ".join(given) + ("," if len(given) == 1 else "")
    if len(text) <= 88:
        yield f"({text})"
        return
    yield "("
    line = indent + "   "
    for name in given:
        if len(line) + len(name) > 98:
            yield line
            line = indent + "   "
        line += f" {name},"
    yield line
    yield f"{indent})"


def _list(name: str, values: Iterable[int]) -> str:
    return "\n".join([f"{name} = np.array(", *_array_lines(list(values)), ")"])


def _array_lines(values: list[int]) -> Iterator[str]:
    rows = [", ".join(map(str, values[i : i + 16])) for i in range(0, len(values), 16)]
    yield "    ["
    yield from (f"        {row}," for row in rows)
    yield "    ]"


def _images(design: Design, name: str) -> Iterator[str]:
    """Write the functions from images to outputs, scores and classes."""
    if not design.pixels:
        return
    pixels = design.pixels
    yield _list("PIXEL", pixels.pixel.tolist())
    yield _list("THRESHOLD", pixels.threshold.tolist())
    value = "images.reshape(len(images), -1).T[PIXEL]"
    if pixels.mask is not None:
        yield _list("MASK", pixels.mask.tolist())
        value = f"({value} & MASK[:, None])"
    yield f"\n\ndef {name}_bits(images):"
    yield f'    """Give the outputs of images of {pixels.n_pixels} bytes; (n, …) -> (outputs, n)."""'
    yield f"    inputs = {value} > THRESHOLD[:, None]"
    yield "    zero = np.zeros(len(images), dtype=np.bool_)"
    yield f"    return np.stack([zero ^ out for out in {name}(inputs, ones=~zero)])"
    if not design.sums:
        return
    yield "\n"
    yield _list("GROUP", design.sums.group.tolist())
    yield _list("WEIGHT", design.sums.weight.tolist())
    yield _list("BIAS", design.sums.bias.tolist())
    yield f"\n\ndef {name}_scores(images):"
    yield '    """Give the scores of the classes: bias + sum of weights; (n, …) -> (n, classes)."""'
    yield "    scores = np.tile(BIAS, (len(images), 1))"
    yield f"    np.add.at(scores.T, GROUP, {name}_bits(images) * WEIGHT[:, None])"
    yield "    return scores"
    yield f"\n\ndef {name}_classify(images):"
    yield '    """Give the class of the highest score, the first of several; (n, …) -> (n,)."""'
    yield f"    return {name}_scores(images).argmax(axis=1)"


@emitter("python", ".py", "a Python function on integers or numpy arrays")
def emit_python(design: Design) -> str:
    """Write a design as a Python module."""
    name = design_name(design, _WORDS)
    inputs, labels = end_names(design, (name, *_WORDS))
    lines, outputs = gate_statements(design.circuit, inputs, style=PYTHON)
    head = "\n".join(head_lines(design)).replace("\\", "/").replace('"""', "'''")
    ends = [
        f"Inputs: {', '.join(inputs[:8])}{', …' if len(inputs) > 8 else ''}.",
        f"Outputs: {', '.join(labels[:8])}{', …' if len(labels) > 8 else ''}.",
    ]
    text = [f'"""{head}\n\n{chr(10).join(ends)}\n"""', ""]
    if design.pixels:
        text += ["import numpy as np", ""]
    text += [
        "",
        f"def {name}(inputs, ones=1):",
        '    """Compute the outputs of one case, or of many at once.',
        "",
        "    Values are 0 and 1; or integers with a case a bit, and ones = 2**cases - 1; or arrays of",
        "    numpy, and ones an array of ones of all bits.",
        '    """',
    ]
    if inputs:
        unpack = list(_tuple(inputs))
        text += [f"    {unpack[0]}", *unpack[1:]]
        text[-1] += " = inputs"
    text += [f"    {line}" for line in lines]
    back = list(_tuple(outputs))
    text += [f"    return {back[0]}", *back[1:], *_images(design, name)]
    return "\n".join(text) + "\n"
