"""Questions about a circuit's signals, asked of an incremental SAT solver (python-sat)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from itertools import product
from typing import TYPE_CHECKING, Self

from bnncli.circuit import FALSE, FIRST_INPUT, TRUE
from bnncli.errors import BnnError
from bnncli.gates import N_GATES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnncli.circuit import Circuit

SOLVER = "glucose4"
"""It stops after a number of conflicts when told to, which the CaDiCaL of python-sat does not."""

NO_SOLVER = "install bnncli[verify] to prove it by SAT"


def have(package: str) -> bool:
    """Tell whether a Python package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require_solvers() -> None:
    """Refuse to go on without the packages of the ``verify`` extra."""
    missing = [name for name in ("aigverse", "pysat") if not have(name)]
    if missing:
        raise BnnError(
            f"SAT needs {' and '.join(missing)}, not installed; pip install 'bnncli[verify]', or "
            f"compare by another method"
        )


def prover_name(distribution: str) -> str:
    """Give a distribution's name and version."""
    return f"{distribution} {importlib.metadata.version(distribution)}"


def _prime_clauses(table: int) -> tuple[tuple[int, int, int], ...]:
    """Give the signs of (a, b, output) in the clauses that define a gate; 0 leaves one out."""
    signs = (-1, 0, 1)

    def rows(a: int, b: int) -> set[int]:
        return {r for r in range(4) if a in (0, 2 * (r & 1) - 1) and b in (0, (r & 2) - 1)}

    clauses = []
    for value in (0, 1):
        cubes = [
            (a, b)
            for a, b in product(signs, signs)
            if all(table >> r & 1 == value for r in rows(a, b))
        ]
        primes = [c for c in cubes if not any(rows(*c) < rows(*d) for d in cubes)]
        clauses += [(-a, -b, 2 * value - 1) for a, b in primes]
    return tuple(clauses)


_CLAUSES = tuple(_prime_clauses(table) for table in range(N_GATES))


class SignalSolver:
    """Decide questions about signals; the cones that they need become clauses when asked for.

    A solver's variable is the signal's number; 1 is true, and false is its complement.
    Use as a context manager.
    """

    def __init__(self, circuit: Circuit, conflicts: int = 0) -> None:
        from pysat.solvers import Solver

        self._first = circuit.first_gate
        self._gates = (circuit.op.tolist(), circuit.a.tolist(), circuit.b.tolist())
        self._known = bytearray(circuit.n_signals)
        self._known[: self._first] = b"\1" * self._first
        self._conflicts = conflicts
        self._solver = Solver(name=SOLVER, bootstrap_with=[[TRUE]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.delete()

    def _define(self, signals: Iterable[int]) -> None:
        """Add the clauses of all gates that some signals depend on."""
        op, a, b = self._gates
        waiting = list(signals)
        while waiting:
            signal = waiting.pop()
            if self._known[signal]:
                continue
            self._known[signal] = 1
            i = signal - self._first
            x, y = (-TRUE if s == FALSE else s for s in (a[i], b[i]))
            for in_a, in_b, out in _CLAUSES[op[i]]:
                self._solver.add_clause([v for v in (in_a * x, in_b * y, out * signal) if v])
            waiting += (a[i], b[i])

    def _ask(self, x: int, y: int) -> tuple[int, ...] | bool:
        """Give the inputs for which x and not y, True if there are none, False if undecided."""
        if self._conflicts:
            self._solver.conf_budget(self._conflicts)
            answer = self._solver.solve_limited(assumptions=[x, -y])
        else:
            answer = self._solver.solve(assumptions=[x, -y])
        if answer is None:
            return False
        if not answer:
            return True
        true = {v for v in self._solver.get_model()[: self._first] if v > 0}
        return tuple(int(v in true) for v in range(FIRST_INPUT, self._first))

    def equal(self, x: int, y: int, complement: bool = False) -> tuple[int, ...] | bool:
        """Decide whether two signals are always equal (complementary).

        Gives True, the inputs for which they are not, or False where the solver gave up. What is
        proved helps later questions.
        """
        self._define((x, y))
        p, q = (-TRUE if s == FALSE else s for s in (x, y))
        q = -q if complement else q
        for left, right in ((p, q), (q, p)):
            answer = self._ask(left, right)
            if answer is not True:
                return answer
        self._solver.add_clause([-p, q])
        self._solver.add_clause([p, -q])
        return True
