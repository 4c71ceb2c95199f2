"""Tables of emitted C: which bytes of an image are compared with what, which outputs are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bnncli.circuit.design import PixelInputs
    from bnncli.circuit.sums import ClassSums

ROW = 64
"""Bytes of the widest vector: rows of pixels are filled up to a multiple."""

NEVER = 255
"""No byte is above this threshold."""

SCORE_BITS = 32


def c_array(declaration: str, values: Iterable[int], per_line: int = 16) -> list[str]:
    """Give the lines of a constant array; an empty one gets a value that nobody reads."""
    texts = [str(value) for value in values] or ["0"]
    rows = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return [f"static const {declaration} = {{", *(f"    {row}," for row in rows), "};"]


def pixel_tables(pixels: PixelInputs) -> list[str]:
    """Give the lines with the comparisons: planes of one comparison for each pixel.

    A pixel with k different comparisons takes part in k planes; inputs of the same one share it.
    """
    row = -(-pixels.n_pixels // ROW) * ROW
    masks = np.full(len(pixels.pixel), 255) if pixels.mask is None else pixels.mask
    given = zip(pixels.pixel.tolist(), masks.tolist(), pixels.threshold.tolist(), strict=True)
    columns: dict[tuple[int, int, int], int] = {}
    planes_of: dict[int, int] = {}
    used = []
    for comparison in given:
        if comparison not in columns:
            plane = planes_of.get(comparison[0], 0)
            planes_of[comparison[0]] = plane + 1
            columns[comparison] = plane * row + comparison[0]
        used.append(columns[comparison])
    n_planes = max(planes_of.values(), default=1)
    thresholds: Any = np.full(n_planes * row, NEVER)
    mask: Any = np.full(n_planes * row, 255)
    for (_, bits, threshold), column in columns.items():
        thresholds[column], mask[column] = threshold, bits
    lines = [
        f"enum {{ DESIGN_PIXELS = {pixels.n_pixels}, DESIGN_ROW = {row} }};",
        f"enum {{ DESIGN_PLANES = {n_planes} }};",
        "",
        "/* Comparison c is of byte c % DESIGN_ROW; input i is comparison design_column[i]. */",
        *c_array("uint8_t design_threshold[DESIGN_PLANES * DESIGN_ROW]", thresholds.tolist()),
    ]
    load = "BNN_LOAD(PIXELS)"
    if pixels.mask is not None:
        lines += c_array("uint8_t design_mask[DESIGN_PLANES * DESIGN_ROW]", mask.tolist())
        load += " & BNN_LOAD(design_mask + (C))"
    lines += c_array("uint32_t design_column[]", used)
    lines.append(
        "#define DESIGN_ABOVE(C, PIXELS) \\\n"
        f"    BNN_ABOVE({load}, BNN_LOAD(design_threshold + (C)))"
    )
    return lines


def score_range(sums: ClassSums) -> tuple[int, int]:
    """Give the lowest and the highest score that outputs can add up to."""
    weight, low, high = sums.weight.astype(np.int64), [], []
    for k in range(sums.n_classes):
        mine = weight[sums.group == k]
        bias = int(sums.bias[k])
        low.append(bias + int(mine[mine < 0].sum()))
        high.append(bias + int(mine[mine > 0].sum()))
    return min(low, default=0), max(high, default=0)


def signed_bits(low: int, high: int) -> int:
    """Count the bits of two's complement that hold low to high."""
    return 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)


def sum_terms(sums: ClassSums, k: int) -> Iterator[tuple[list[int], int, bool]]:
    """Give the outputs of a class that count 2^shift each: (outputs, shift, negative)."""
    mine = [(j, int(sums.weight[j])) for j in np.flatnonzero(sums.group == k).tolist()]
    for negative in (False, True):
        sizes = [(j, abs(w)) for j, w in mine if w and (w < 0) == negative]
        for shift in range(max((size.bit_length() for _, size in sizes), default=0)):
            counted = [j for j, size in sizes if size >> shift & 1]
            if counted:
                yield counted, shift, negative


def sum_tables(sums: ClassSums) -> list[str]:
    """Give the lines that say which outputs count for which class, by powers of two."""
    planes = signed_bits(*score_range(sums))
    if planes > SCORE_BITS:
        raise BnnError(
            f"class sums from {score_range(sums)[0]} to {score_range(sums)[1]} do not fit "
            f"{SCORE_BITS} bits; scale the weights down"
        )
    order: list[int] = []
    terms: list[str] = []
    firsts, longest = [0], 0
    for k in range(sums.n_classes):
        for counted, shift, negative in sum_terms(sums, k):
            terms.append(f"{{{len(order)}, {len(counted)}, {shift}, {int(negative)}}}")
            order += counted
            longest = max(longest, len(counted))
        firsts.append(len(terms))
    return [
        "enum {",
        f"    DESIGN_CLASSES = {sums.n_classes},",
        f"    DESIGN_CLASS_PLANES = {(sums.n_classes - 1).bit_length() + 1},",
        f"    DESIGN_COUNT_PLANES = {max(3, longest.bit_length())},",
        f"    DESIGN_SCORE_PLANES = {planes}",
        "};",
        "",
        "/* score = bias + sum over terms of (-1)^negative * 2^shift * outputs that are 1 */",
        "typedef struct {",
        "    uint32_t first, count, shift, negative;",
        "} design_term;",
        f"static const design_term design_terms[] = {{{', '.join(terms) or '{0, 0, 0, 0}'}}};",
        *c_array("uint32_t design_first[]", firsts),
        *c_array("int32_t design_bias[]", sums.bias.tolist()),
        *c_array("uint32_t design_counted[]", order),
    ]
