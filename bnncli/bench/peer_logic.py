"""A gate network compiled the usual way, for the suite ``logic`` to be compared with.

One C function with one 64-bit variable a gate, 64 samples a call; inputs packed bit by bit; classes
counted by ripple adders over bit planes. Public exporters of gate networks emit this form.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD_BITS
from bnncli.native.compile import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bnncli.packed.logic import LogicNetwork

OPTIONS = ("-std=c11", "-O1")

EXPRESSIONS = (
    *("0", "~({a} | {b})", "{a} & ~{b}", "~{b}", "~{a} & {b}", "~{a}", "{a} ^ {b}", "~({a} & {b})"),
    *("{a} & {b}", "~({a} ^ {b})", "{a}", "{a} | ~{b}", "{b}", "~{a} | {b}", "{a} | {b}", "~0ull"),
)
"""C of each gate, by truth table."""

AROUND = """
void evaluate(const uint64_t *in, uint64_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) network(in + i * N_INPUTS, out + i * N_OUTPUTS);
}

static void pack(const uint8_t *images, uint64_t *in) {
    for (size_t i = 0; i < N_INPUTS; i++) {
        uint64_t word = 0;
        for (size_t s = 0; s < 64; s++)
            word |= (uint64_t)(images[s * N_PIXELS + pixel[i]] > threshold[i]) << s;
        in[i] = word;
    }
}

static void count(const uint64_t *out, int32_t *counts) {
    for (size_t group = 0; group < N_GROUPS; group++) {
        uint64_t planes[N_PLANES] = {0};
        for (size_t i = 0; i < GROUP_SIZE; i++) {
            uint64_t carry = out[group * GROUP_SIZE + i];
            for (size_t p = 0; p < N_PLANES; p++) {
                uint64_t sum = planes[p] ^ carry;
                carry &= planes[p];
                planes[p] = sum;
            }
        }
        for (size_t s = 0; s < 64; s++) {
            int32_t total = 0;
            for (size_t p = 0; p < N_PLANES; p++) total |= (int32_t)(planes[p] >> s & 1) << p;
            counts[s * N_GROUPS + group] = total;
        }
    }
}

void predict(const uint8_t *images, size_t n, int64_t *classes) {
    uint64_t in[N_INPUTS], out[N_OUTPUTS];
    int32_t counts[64 * N_GROUPS];
    for (size_t i = 0; i < n; i++) {
        pack(images + i * 64 * N_PIXELS, in);
        network(in, out);
        count(out, counts);
        for (size_t s = 0; s < 64; s++) {
            size_t best = 0;
            for (size_t group = 1; group < N_GROUPS; group++)
                if (counts[s * N_GROUPS + group] > counts[s * N_GROUPS + best]) best = group;
            classes[i * 64 + s] = (int64_t)best;
        }
    }
}
"""


DECLARATIONS = """
void evaluate(const uint64_t *in, uint64_t *out, size_t n);
void predict(const uint8_t *images, size_t n, int64_t *classes);
"""


def _lines(network: LogicNetwork, n_pixels: int) -> Iterator[str]:
    sizes = {
        "N_PIXELS": n_pixels,
        "N_INPUTS": network.n_inputs,
        "N_OUTPUTS": len(network.outputs),
        "N_GROUPS": network.n_groups,
        "GROUP_SIZE": network.group_size,
        "N_PLANES": network.group_size.bit_length(),
    }
    yield "#include <stddef.h>\n#include <stdint.h>"
    yield from (f"#define {name} {value}" for name, value in sizes.items())
    yield f"static const int32_t pixel[] = {{{', '.join(map(str, network.pixel))}}};"
    yield f"static const uint8_t threshold[] = {{{', '.join(map(str, network.threshold))}}};"
    yield "static void network(const uint64_t *in, uint64_t *out) {"
    names = ["0ull", "~0ull", *(f"in[{i}]" for i in range(network.n_inputs))]
    for i, (op, a, b) in enumerate(zip(network.op, network.a, network.b, strict=True)):
        expression = EXPRESSIONS[op].format(a=names[a], b=names[b])
        yield f"    const uint64_t g{i} = {expression};"
        names.append(f"g{i}")
    for i, signal in enumerate(network.outputs):
        yield f"    out[{i}] = {names[signal]};"
    yield "}"
    yield AROUND


def peer_source(network: LogicNetwork, n_pixels: int) -> str:
    """Write the network as one C function, with packing and counting around it."""
    return "\n".join(_lines(network, n_pixels)) + "\n"


class PeerNetwork:
    """A compiled network; the number of samples is a multiple of 64."""

    def __init__(self, network: LogicNetwork, n_pixels: int) -> None:
        began = time.perf_counter()
        # Built each time: how long that takes is among the results.
        self._library = load(
            peer_source(network, n_pixels),
            DECLARATIONS,
            options=OPTIONS,
            purpose="compiling the network for comparison",
            keep=False,
        )
        self.build_seconds = time.perf_counter() - began

    def _pointer(self, array: NDArray[Any], kind: str) -> Any:
        return self._library.ffi.from_buffer(f"{kind}[]", array)

    def evaluate(self, inputs: NDArray[np.uint64], out: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Compute the outputs from the inputs' bits, 64 samples a row.

        Shape: (rows, n_inputs) -> (rows, n_outputs).
        """
        words = self._pointer(inputs, "uint64_t"), self._pointer(out, "uint64_t")
        self._library.lib.evaluate(*words, len(inputs))
        return out

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Give the class with the largest count, the first of equals.

        Shape: (n, n_pixels) -> (n,).
        """
        classes = np.empty(len(images), dtype=np.int64)
        given, taken = self._pointer(images, "uint8_t"), self._pointer(classes, "int64_t")
        self._library.lib.predict(given, len(images) // WORD_BITS, taken)
        return classes
