"""Optimize a design, prove it equal, keep the result: what ``bnn extract`` does with a circuit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bnncli import __version__
from bnncli.circuit import Builder, Circuit, ClassSums, Design, from_text, to_text
from bnncli.circuit.translation import shared_operations
from bnncli.data.files import replacing
from bnncli.data.store import cache_dir
from bnncli.errors import BnnError, UsageError
from bnncli.extract.scores import as_sums
from bnncli.gates import declared_gates
from bnncli.jsontext import to_json
from bnncli.minimize.levels import optimize_design
from bnncli.minimize.passes import Effort, PassRecord, never
from bnncli.prove import Verdict, have_solvers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bnncli.minimize.search import Progress

CACHE_FORMAT = 4
CLEAN = 1
"""The level whose result structure alone proves."""

SEARCH_SECONDS = 20.0
"""Seconds of search, where no budget is given."""


@dataclass(frozen=True)
class Wish:
    """How much to do: the level of optimization, seconds for all passes, seed and threads.

    Without a ``budget`` a search takes :data:`SEARCH_SECONDS`, and all else comes to its end. With
    ``shared`` a search counts what neighbouring cells share once; None says so of automata.
    """

    level: int = 3
    budget: float | None = None
    seed: int = 0
    jobs: int = 0
    shared: bool | None = None

    def on(self, design: Design) -> Wish:
        """Settle for a design what is left open; refuse to share where there are no cells."""
        if self.shared and not design.channels:
            raise UsageError(
                f"--shared: {design.name} is no cellular automaton, whose cells could share"
            )
        shared = bool(design.channels) if self.shared is None else self.shared
        return dataclasses.replace(self, shared=shared)


@dataclass(frozen=True, eq=False)
class Extraction:
    """A design made small, and how it became so.

    ``declared`` counts all gates of the design that was given, ``live`` those that some output
    needs once constants, wires and inverters are followed, ``minimized`` those that are left;
    ``unproved`` are those of a smaller circuit that was set aside for want of a proof. The costs of
    passes are gates, or operations a word with ``shared``.
    """

    design: Design
    declared: int
    live: int
    minimized: int
    steps: tuple[PassRecord, ...]
    verdict: Verdict
    seconds: float
    unproved: int | None = None
    shared: bool = False
    stopped: bool = False
    cached: bool = False

    @property
    def shared_operations(self) -> int | None:
        """Count an automaton's operations a word where neighbouring cells share work."""
        return shared_operations(self.design.circuit) if self.design.channels else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "name": self.design.name,
            "inputs": self.design.circuit.n_inputs,
            "outputs": self.design.circuit.n_outputs,
            "declared_gates": self.declared,
            "live_gates": self.live,
            "minimized_gates": self.minimized,
            "unproved_gates": self.unproved,
            "depth": self.design.circuit.depth,
            "shared_operations": self.shared_operations,
            "verdict": plain_verdict(self.verdict),
            "cost": "shared operations" if self.shared else "gates",
            "passes": [asdict(step) for step in self.steps],
            "seconds": self.seconds,
            "stopped": self.stopped,
            "cached": self.cached,
        }


def plain_verdict(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict as plain values, with its sentence."""
    return {**asdict(verdict), "proved": verdict.proved, "sentence": verdict.sentence()}


def live_gates(circuit: Circuit) -> int:
    """Count the gates that an output needs and that combine two signals; equal ones stay apart."""
    build = Builder(circuit.n_inputs, share=False)
    literals = build.add(circuit, build.inputs())
    live = build.live([literals[i] for i in circuit.outputs.tolist()])
    return sum(live[circuit.first_gate :])


def minimize_design(
    design: Design,
    wish: Wish,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Extraction:
    """Optimize a design and prove the result equal: its outputs, or its scores if it has sums.

    A smaller circuit without a proof gives way to the clean one that has it.
    """
    began = time.perf_counter()
    wish = wish.on(design)
    circuit = design.circuit
    effort = Effort(
        seed=wish.seed,
        jobs=wish.jobs,
        budget=SEARCH_SECONDS if wish.budget is None else None,
        limit=wish.budget,
        shared=bool(wish.shared),
        should_stop=should_stop or never,
        on_progress=on_progress,
    )
    made = optimize_design(design, level=wish.level, effort=effort)
    unproved = None
    if wish.level > CLEAN and not made.verdict.proved:
        clean = optimize_design(design, level=CLEAN, effort=Effort(seed=wish.seed))
        if clean.verdict.proved:
            unproved = made.design.circuit.size
            made = dataclasses.replace(clean, steps=(*made.steps, *clean.steps))
    found = Extraction(
        made.design,
        circuit.n_gates,
        live_gates(circuit),
        made.design.circuit.size,
        made.steps,
        made.verdict,
        time.perf_counter() - began,
        unproved,
        bool(wish.shared),
        stopped=should_stop is not None and should_stop(),
    )
    return dataclasses.replace(found, design=noted(found))


def noted(found: Extraction, begin: str = "") -> Design:
    """Write the counts and the proof into the head of what is emitted.

    ``begin`` says what the proof is about where it is not the declared circuit.
    """
    declared = declared_gates(found.declared)
    counts = f"{declared}, {found.live:,} live, {found.minimized:,} minimized"
    design = found.design
    return design.with_circuit(design.circuit, counts, begin + found.verdict.sentence())


def key_of(design: Design, wish: Wish) -> str:
    """Give the name of a design's result in the cache: a hash of all that decides it.

    A result that no solver proved is not that of a machine that has one.
    """
    digest = hashlib.sha256()
    about = [CACHE_FORMAT, __version__, design.name, design.channels, design.notes, have_solvers()]
    digest.update(json.dumps([*about, *asdict(wish).values()]).encode())
    digest.update(to_text(design.circuit).encode())
    for part in (design.sums, design.pixels):
        values = {} if part is None else vars(part)
        for name, value in values.items():
            given = value if isinstance(value, int) or value is None else value.tobytes()
            digest.update(f"{name}={given!r};".encode())
    return digest.hexdigest()


def _path(design: Design, wish: Wish) -> Path:
    return cache_dir() / "circuits" / f"{key_of(design, wish)}.json"


def recall(design: Design, wish: Wish) -> Extraction | None:
    """Give the kept result for a design; None where there is none, or a damaged one."""
    path = _path(design, wish)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return _restored(_unsealed(text), design)
    except (ValueError, KeyError, TypeError, BnnError) as error:
        sys.stderr.write(f"warning: {path} is damaged ({error}); optimizing again\n")
        return None


def _sealed(values: dict[str, Any]) -> str:
    """Write values with a checksum: a proof holds for the very circuit that was proved."""
    text = to_json(values)
    return to_json({"sha256": hashlib.sha256(text.encode()).hexdigest(), "found": text})


def _unsealed(text: str) -> dict[str, Any]:
    kept = json.loads(text)
    if kept["sha256"] != hashlib.sha256(kept["found"].encode()).hexdigest():
        raise BnnError("its checksum is another one")
    values: dict[str, Any] = json.loads(kept["found"])
    return values


def _restored(values: dict[str, Any], design: Design) -> Extraction:
    sums = None
    if design.sums is not None:
        sums = as_sums(*(values["sums"][name] for name in ("group", "weight", "bias")))
    circuit = from_text(values["circuit"])
    found = dict(values["verdict"])
    if found["counterexample"] is not None:
        found["counterexample"] = tuple(found["counterexample"])
    made = Extraction(
        dataclasses.replace(design, circuit=circuit, sums=sums),
        values["declared"],
        values["live"],
        circuit.size,
        tuple(PassRecord(**step) for step in values["steps"]),
        Verdict(**found),
        values["seconds"],
        values["unproved"],
        values["shared"],
        cached=True,
    )
    return dataclasses.replace(made, design=noted(made))


def keep(found: Extraction, design: Design, wish: Wish) -> None:
    """Keep a result for the next time; warn in one line where the cache cannot be written."""
    sums = found.design.sums
    values = {
        "circuit": to_text(found.design.circuit),
        "sums": None if sums is None else _plain(sums),
        "declared": found.declared,
        "live": found.live,
        "steps": [asdict(step) for step in found.steps],
        "verdict": asdict(found.verdict),
        "seconds": found.seconds,
        "unproved": found.unproved,
        "shared": found.shared,
    }
    path = _path(design, wish)
    try:
        with replacing(path) as part:
            part.write_text(_sealed(values), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(
            f"warning: {path.parent} cannot be written ({error.strerror or error}); the circuit is "
            "optimized again each time; set BNN_CACHE_DIR to a writable folder\n"
        )


def _plain(sums: ClassSums) -> dict[str, list[int]]:
    return {name: getattr(sums, name).tolist() for name in ("group", "weight", "bias")}


def extract(
    design: Design,
    wish: Wish,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Extraction:
    """Give the kept result for a design, or make and keep it; a stopped one is not kept."""
    wish = wish.on(design)
    known = recall(design, wish)
    if known is not None:
        return known
    found = minimize_design(design, wish, on_progress=on_progress, should_stop=should_stop)
    if not found.stopped:
        keep(found, design, wish)
    return found
