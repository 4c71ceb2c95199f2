"""Arithmetic of literals: adders, counters, comparisons, selection, for neurons and class sums.

A number is a list of literals, the lowest bit first. Costs are in two-input gates before folding;
constants, equal and complementary literals make each of them cheaper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnncli.circuit.builder import Builder
from bnncli.circuit.ir import FALSE
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bnncli.circuit.builder import Literal

    Number = Sequence[Literal]

ZERO, ONE = 2 * FALSE, 2 * FALSE + 1
"""The literals of the constants."""

SMALL_COUNT = 8
"""Up to so many literals a threshold tries every way that there is."""

FEW = 3
"""With so few ones (or zeros) asked for, selecting may be smaller than counting."""


def half_adder(build: Builder, x: Literal, y: Literal) -> tuple[Literal, Literal]:
    """Add two bits: sum and carry. 2 gates."""
    return build.xor(x, y), build.and_(x, y)


def full_adder(build: Builder, x: Literal, y: Literal, z: Literal) -> tuple[Literal, Literal]:
    """Add three bits: sum and carry. 5 gates.

    sum = x ^ y ^ z, carry = x ^ ((x ^ y) & (x ^ z)): complemented inputs share the three XORs.
    """
    return build.xor(build.xor(x, y), z), majority(build, x, y, z)


def majority(build: Builder, x: Literal, y: Literal, z: Literal) -> Literal:
    """Tell whether two of three bits are true. 4 gates."""
    if x <= ONE:
        x, z = z, x
    if y <= ONE:
        y, z = z, y
    if z <= ONE:
        return build.or_(x, y) if z else build.and_(x, y)
    return build.xor(x, build.and_(build.xor(x, y), build.xor(x, z)))


def add_columns(build: Builder, columns: Sequence[Iterable[Literal]]) -> list[Literal]:
    """Add literals of the weights 1, 2, 4, …, column k those of 2^k, as carry-save trees.

    A column of m takes ⌊(m - 1) / 2⌋ full adders and, where m is even, one half adder.
    """
    waiting = [list(column) for column in columns]
    total: list[Literal] = []
    while len(total) < len(waiting):
        queue = waiting[len(total)]
        carries: list[Literal] = []
        head = 0  # what came first is added first, so the trees stay balanced
        while len(queue) - head > 1:
            if len(queue) - head > 2:
                bit, carry = full_adder(build, *queue[head : head + 3])
                head += 3
            else:
                bit, carry = half_adder(build, *queue[head : head + 2])
                head += 2
            queue.append(bit)
            carries.append(carry)
        total.append(queue[head] if queue else ZERO)
        if carries:
            if len(total) == len(waiting):
                waiting.append([])
            waiting[len(total)].extend(carries)
    return total


def popcount(build: Builder, literals: Sequence[Literal]) -> list[Literal]:
    """Count the true literals: at most 5 n gates, 5 (n - k) for n = 2^k - 1."""
    return add_columns(build, [literals])


def add(build: Builder, x: Number, y: Number, carry: Literal = ZERO) -> list[Literal]:
    """Add two numbers and a carry; the sum has a bit more than the longer one. 5 gates a bit."""
    columns = [[*x[k : k + 1], *y[k : k + 1]] for k in range(max(len(x), len(y)))]
    total: list[Literal] = []
    for column in columns:
        bit, carry = full_adder(build, column[0], column[1] if len(column) > 1 else ZERO, carry)
        total.append(bit)
    return [*total, carry]


def at_least(build: Builder, x: Number, bound: int) -> Literal:
    """Compare a number with a constant: x >= bound. At most a gate a bit, less one."""
    if bound <= 0:
        return ONE
    if bound >> len(x):
        return ZERO
    reached = ONE
    for k, bit in enumerate(x):
        reached = build.and_(bit, reached) if bound >> k & 1 else build.or_(bit, reached)
    return reached


def less(build: Builder, x: Number, y: Number) -> Literal:
    """Compare two numbers: x < y. 4 gates a bit, 1 for the lowest."""
    below = ZERO
    for k in range(max(len(x), len(y))):
        a = x[k] if k < len(x) else ZERO
        b = y[k] if k < len(y) else ZERO
        below = majority(build, build.not_(a), b, below)
    return below


def choose(build: Builder, which: Literal, x: Literal, y: Literal) -> Literal:
    """Give y where ``which`` is true, else x. 3 gates."""
    return build.xor(x, build.and_(which, build.xor(x, y)))


def choose_number(build: Builder, which: Literal, x: Number, y: Number) -> list[Literal]:
    """Give the number y where ``which`` is true, else x. 3 gates a bit."""
    width = max(len(x), len(y))
    pairs = zip(_extended(x, width), _extended(y, width), strict=True)
    return [choose(build, which, a, b) for a, b in pairs]


def _extended(x: Number, width: int) -> list[Literal]:
    return [*x, *[ZERO] * (width - len(x))]


def constant(value: int, width: int) -> list[Literal]:
    """Give a constant as a number."""
    if value < 0 or value >> width:
        raise BnnError(f"constant {value} in {width} bits: expected 0 to {2**width - 1}")
    return [ONE if value >> k & 1 else ZERO for k in range(width)]


def lookup(build: Builder, x: Number, table: Sequence[int]) -> list[Literal]:
    """Give table[x], 0 beyond its end: a tree of choices, equal halves shared."""
    if any(value < 0 for value in table):
        raise BnnError(f"lookup table with {min(table)}: expected no negative numbers")
    width = max((value.bit_length() for value in table), default=0)
    rows = [constant(value, width) for value in table[: 2 ** len(x)]]
    rows += [constant(0, width)] * (2 ** len(x) - len(rows))
    for bit in x:
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [choose_number(build, bit, low, high) for low, high in pairs]
    return rows[0]


def weigh(literals: Sequence[Literal], weights: Sequence[int]) -> tuple[list[list[Literal]], int]:
    """Write Σ weights[i] · literals[i] as columns for :func:`add_columns` plus a constant.

    A negative weight is taken from the complement: -w·b = w·(1 - b) - w.
    """
    columns: list[list[Literal]] = []
    offset = 0
    for literal, weight in zip(literals, weights, strict=True):
        if weight < 0:
            offset += weight
        size = abs(weight)
        while len(columns) < size.bit_length():
            columns.append([])
        for k in range(size.bit_length()):
            if size >> k & 1:
                columns[k].append(literal ^ (weight < 0))
    return columns, offset


def weighted_at_least(
    build: Builder, literals: Sequence[Literal], weights: Sequence[int], bound: int
) -> Literal:
    """Compare a sum with a constant: Σ weights[i] · literals[i] >= bound; a neuron."""
    columns, offset = weigh(literals, weights)
    used = [k for k, column in enumerate(columns) if column]
    if len(used) == 1:  # weights of one size: a count will do
        unit = 1 << used[0]
        return threshold(build, columns[used[0]], -((offset - bound) // unit))
    return at_least(build, add_columns(build, columns), bound - offset)


def threshold(build: Builder, literals: Sequence[Literal], bound: int) -> Literal:
    """Tell whether at least ``bound`` literals are true: by counting, selecting or sorting.

    Whichever is smallest on its own is built; large counts with a bound far from both ends are
    counted without trying.
    """
    n = len(literals)
    if bound <= 0 or bound > n:
        return ONE if bound <= 0 else ZERO
    ways = [_by_counting]
    if min(bound, n - bound + 1) <= FEW:
        ways.append(_by_selecting)
    if n <= SMALL_COUNT:
        ways.append(_by_sorting)
    best = min(ways, key=lambda way: _gates_alone(way, n, bound)) if len(ways) > 1 else ways[0]
    return best(build, literals, bound)


def _gates_alone(way: Callable[[Builder, Sequence[Literal], int], Literal], n: int, t: int) -> int:
    alone = Builder(n)
    return alone.build([way(alone, alone.inputs(), t)]).size


def _by_counting(build: Builder, literals: Sequence[Literal], bound: int) -> Literal:
    return at_least(build, popcount(build, literals), bound)


def _by_selecting(build: Builder, literals: Sequence[Literal], bound: int) -> Literal:
    """Keep the ``bound`` highest so far in order; from the other end where that is nearer."""
    n = len(literals)
    if bound > n - bound + 1:
        return _by_selecting(build, [x ^ 1 for x in literals], n - bound + 1) ^ 1
    highest = [ZERO] * bound
    for x in literals:
        for k in range(bound):
            highest[k], x = build.or_(highest[k], x), build.and_(highest[k], x)  # noqa: PLW2901
    return highest[-1]


def _by_sorting(build: Builder, literals: Sequence[Literal], bound: int) -> Literal:
    return sort(build, literals)[bound - 1]


def sort(build: Builder, literals: Sequence[Literal]) -> list[Literal]:
    """Put the true literals first, by Batcher's odd-even merge sort. 2 gates a comparison.

    K. Batcher, *Sorting networks and their applications*, 1968.
    """
    bits = list(literals)
    n = len(bits)
    block = 1
    while block < n:
        distance = block
        while distance:
            for start in range(distance % block, n - distance, 2 * distance):
                for i in range(start, min(start + distance, n - distance)):
                    if i // (2 * block) == (i + distance) // (2 * block):
                        high, low = bits[i], bits[i + distance]
                        bits[i], bits[i + distance] = build.or_(high, low), build.and_(high, low)
            distance //= 2
        block *= 2
    return bits


def argmax(build: Builder, numbers: Sequence[Number]) -> list[Literal]:
    """Give the index of the highest number, of several the first, as a number.

    A tournament of neighbours: the later one wins only if it is higher.
    """
    if not numbers:
        raise BnnError("argmax of no numbers: give at least one")
    width = (len(numbers) - 1).bit_length()
    players = [(number, constant(i, width)) for i, number in enumerate(numbers)]
    while len(players) > 1:
        winners = []
        for (x, i), (y, j) in zip(players[::2], players[1::2], strict=False):
            later = less(build, x, y)
            winner = choose_number(build, later, x, y)
            winners.append((winner, choose_number(build, later, i, j)))
        players = winners + players[len(players) // 2 * 2 :]
    return list(players[0][1])
