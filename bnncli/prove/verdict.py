"""What a comparison of two circuits found, and what kind of evidence it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["exhaustive", "structural", "sat", "sampled"]

_SHOWN_BITS = 64


def _shown(bits: tuple[int, ...]) -> str:
    text = "".join(map(str, bits[:_SHOWN_BITS]))
    more = len(bits) - _SHOWN_BITS
    return f"{text}… ({more:,} more)" if more > 0 else text


@dataclass(frozen=True)
class Verdict:
    """Say whether two circuits are equal and how that is known.

    ``equal`` is None where a solver gave up. Sampling that met no difference leaves ``equal`` true
    but is no proof: ``proved`` tells the two apart. ``cases`` counts the inputs tried and ``seed``
    is that of the sampled ones. A counterexample has a bit for each input, in order, and
    ``output`` is an output (for scores: a class) in which the circuits differ there.
    """

    equal: bool | None
    kind: Kind
    cases: int = 0
    seed: int | None = None
    counterexample: tuple[int, ...] | None = None
    output: int | None = None
    output_name: str = ""
    prover: str = ""
    hint: str = ""
    of_scores: bool = False

    @property
    def proved(self) -> bool:
        """Tell whether equality is certain."""
        return self.equal is True and self.kind != "sampled"

    def sentence(self) -> str:
        """Say it in a line."""
        if self.equal is False and self.counterexample is not None:
            where = f"{'score' if self.of_scores else 'output'} {self.output}"
            name = f" ({self.output_name})" if self.output_name else ""
            return f"differ: {where}{name} for inputs {_shown(self.counterexample)}"
        subject = "equal scores" if self.of_scores else "equal"
        if self.kind == "exhaustive":
            inputs = f"all {self.cases:,} inputs" if self.cases != 1 else "the only input"
            return f"{subject} on {inputs} (exhaustive)"
        if self.kind == "structural":
            return f"{subject} (structure: the same gates after hashing)"
        sampled = f"{subject} on {self.cases:,} sampled inputs (seed {self.seed}): not a proof"
        if self.kind == "sat":
            if self.equal:
                return f"{subject} (SAT, {self.prover})"
            return f"undecided: {self.prover} gave up; {sampled}"
        return f"{sampled}; {self.hint}" if self.hint else sampled
