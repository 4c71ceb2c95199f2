"""Nets by name in any order, resolved into a circuit: what readers of netlists share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bnncli.circuit.builder import Builder
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from bnncli.circuit.ir import Circuit

    Make = Callable[[Builder, list[int]], int]


@dataclass
class Nets:
    """Drivers of nets; ``source`` names the file in errors.

    Each net is an input or has one driver: the nets that it reads, and a function that gives the
    literal of the net from theirs.
    """

    source: str
    inputs: list[Hashable] = field(default_factory=list)
    drivers: dict[Hashable, tuple[tuple[Hashable, ...], Make]] = field(default_factory=dict)

    def drive(self, net: Hashable, reads: Sequence[Hashable], make: Make) -> None:
        """Give a net its driver."""
        if net in self.drivers:
            raise BnnError(f"{self.source}: the signal {net} is driven twice")
        self.drivers[net] = (tuple(reads), make)

    def circuit(
        self,
        outputs: Sequence[Hashable],
        input_names: Sequence[str] = (),
        output_names: Sequence[str] = (),
    ) -> Circuit:
        """Build the gates that the outputs need; refuse loops and signals that nothing drives."""
        build = Builder(len(self.inputs))
        literals: dict[Hashable, int] = dict(zip(self.inputs, build.inputs(), strict=True))
        if len(literals) < len(self.inputs):
            raise BnnError(f"{self.source}: an input is named twice")
        driven = next((net for net in self.inputs if net in self.drivers), None)
        if driven is not None:
            raise BnnError(f"{self.source}: the input {driven} is driven")
        for output in outputs:
            self._resolve(output, build, literals)
        ends = [literals[net] for net in outputs]
        return build.build(ends, input_names, output_names)

    def _resolve(self, output: Hashable, build: Builder, literals: dict[Hashable, int]) -> None:
        stack, open_nets = [output], set()
        while stack:
            net = stack[-1]
            if net in literals:
                stack.pop()
                continue
            if net not in self.drivers:
                raise BnnError(f"{self.source}: the signal {net} is read, but nothing drives it")
            reads, make = self.drivers[net]
            missing = [read for read in reads if read not in literals]
            if not missing:
                literals[net] = make(build, [literals[read] for read in reads])
                open_nets.discard(stack.pop())
                continue
            open_nets.add(net)
            loop = next((read for read in missing if read in open_nets), None)
            if loop is not None:
                raise BnnError(
                    f"{self.source}: the signal {loop} depends on itself; a circuit without "
                    f"memory has no loops"
                )
            stack += missing


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Give names if each end has one of its own, else none."""
    complete = all(names) and len(set(names)) == len(names)
    return tuple(names) if complete else ()
