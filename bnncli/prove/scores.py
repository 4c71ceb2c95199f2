"""Compare designs that end in class sums: their scores must be equal, not their outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bits import WORD_BITS, unpack_bits
from bnncli.circuit import Builder, Circuit
from bnncli.errors import BnnError
from bnncli.native.circuits import default_circuits
from bnncli.prove.cases import all_patterns, case_bits, draw, outputs_for, sampled_patterns
from bnncli.prove.classes import Classes, cases_around
from bnncli.prove.comparison import CONFLICTS, FIRST_LOOK, SAMPLES, check_ends, compare
from bnncli.prove.sat import side_by_side
from bnncli.prove.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnncli.circuit import ClassSums, Design, PixelInputs
    from bnncli.prove.cases import Patterns

    Form = list[dict[int, int]]
    """For each class the weight of each class of signals; -1 is the bias."""

_EASY_INPUTS = 16
_SAMPLE_WORDS = 64
_SCORED_WORDS = 2**17  # of all outputs at once: 64 MB where a case's output takes 8 bytes
_BIAS = -1


def _check_pixels(a: PixelInputs | None, b: PixelInputs | None) -> None:
    if a is None or b is None:
        return
    pairs = ((a.pixel, b.pixel), (a.threshold, b.threshold), (a.mask, b.mask))
    same = all(
        (x is None) == (y is None) and (x is None or y is None or np.array_equal(x, y))
        for x, y in pairs
    )
    if not same or a.n_pixels != b.n_pixels:
        raise BnnError("compare: the inputs are bits of other pixels; expected the same ones")


def _scores(design: Design, outputs: NDArray[np.bool_]) -> NDArray[np.int64]:
    assert design.sums is not None
    return design.sums.scores(outputs)


def _find_difference(
    a: Design, b: Design, patterns: Patterns
) -> tuple[tuple[int, ...] | None, int]:
    """Find a case in which the scores differ, and count the cases tried."""
    simulate = default_circuits().simulate
    step = max(1, _SCORED_WORDS // max(1, a.circuit.n_outputs, b.circuit.n_outputs))
    tried = 0
    for drawn, n_drawn in patterns:
        for start in range(0, drawn.shape[1], step):
            words = np.ascontiguousarray(drawn[:, start : start + step])
            count = min(n_drawn - WORD_BITS * start, WORD_BITS * words.shape[1])
            tried += count
            x, y = (_scores(d, unpack_bits(simulate(d.circuit, words), count)) for d in (a, b))
            wrong = np.flatnonzero((x != y).any(axis=1))
            if len(wrong):
                return case_bits(words, int(wrong[0])), tried
    return None, tried


def _difference(a: Design, b: Design, inputs: tuple[int, ...], **known: Any) -> Verdict | None:
    """Make the verdict of a counterexample, computed gate by gate; None if it is none."""
    x, y = (
        _scores(d, np.array([outputs_for(d.circuit, inputs)], dtype=np.bool_).T)[0] for d in (a, b)
    )
    wrong = np.flatnonzero(x != y)
    if not len(wrong):
        return None
    return Verdict(
        equal=False, counterexample=inputs, output=int(wrong[0]), of_scores=True, **known
    )


def _tried(a: Design, b: Design, patterns: Patterns, **known: Any) -> Verdict:
    inputs, cases = _find_difference(a, b, patterns)
    if inputs is not None:
        verdict = _difference(a, b, inputs, cases=cases, **known)
        if verdict is None:
            raise BnnError("compare: a counterexample does not tell the scores apart; report this")
        return verdict
    return Verdict(equal=True, cases=cases, of_scores=True, **known)


def _form(sums: ClassSums, label: Sequence[int], phase: Sequence[bool]) -> Form:
    """Write scores as sums over classes of signals; label[0] is the class of the constants.

    A signal s of phase 1 counts as 1 - its class.
    """
    form: Form = [{_BIAS: bias} for bias in sums.bias.tolist()]
    for j, (k, weight) in enumerate(zip(sums.group.tolist(), sums.weight.tolist(), strict=True), 1):
        terms = form[k]
        terms[_BIAS] += weight if phase[j] else 0
        if label[j] != label[0]:
            terms[label[j]] = terms.get(label[j], 0) + (-weight if phase[j] else weight)
    return [{x: w for x, w in terms.items() if w or x == _BIAS} for terms in form]


def _is_same_form(a: Design, b: Design, classes: Classes, split: int) -> bool:
    assert a.sums is not None
    assert b.sums is not None
    assert classes.phase is not None
    label, phase = classes.leader.tolist(), classes.phase.tolist()
    left = _form(a.sums, label[:split], phase[:split])
    return left == _form(b.sums, label[:1] + label[split:], phase[:1] + phase[split:])


def _prove_classes(both: Circuit, classes: Classes, **options: Any) -> Verdict:
    """Compare every output with the first one of its class."""
    assert classes.phase is not None
    leaders = classes.leader
    build = Builder(both.n_inputs)
    literals = build.add(both, build.inputs())
    ends = [literals[i] for i in both.outputs.tolist()]
    turn = classes.phase ^ classes.phase[leaders]
    led = [ends[leader] ^ int(t) for leader, t in zip(leaders.tolist(), turn.tolist(), strict=True)]
    return compare(build.build(ends), build.build(led), **options)


def compare_designs(
    a: Design,
    b: Design,
    *,
    method: str = "auto",
    seed: int = 0,
    samples: int = SAMPLES,
    conflicts: int = CONFLICTS,
) -> Verdict:
    """Tell whether two designs have the same scores for all inputs, or outputs where none sums.

    Class sums may weigh other outputs and have the same scores. So outputs that agree on samples
    are put into classes; if both scores are the same sum over these classes, it is proved, by the
    methods of :func:`compare`, that every output equals the first of its class. If they are not,
    samples are all there is, unless the inputs are few enough to try them all.
    """
    _check_pixels(a.pixels, b.pixels)
    options: dict[str, Any] = {"seed": seed, "samples": samples, "conflicts": conflicts}
    if a.sums is None and b.sums is None:
        return compare(a.circuit, b.circuit, method=method, **options)
    if a.sums is None or b.sums is None:
        raise BnnError("compare: one design ends in class sums, the other in outputs")
    check_ends(
        inputs=(a.circuit.n_inputs, b.circuit.n_inputs),
        classes=(a.sums.n_classes, b.sums.n_classes),
    )
    n_inputs = a.circuit.n_inputs
    sampled = {"kind": "sampled", "seed": seed}
    if method == "exhaustive" or (method == "auto" and n_inputs <= _EASY_INPUTS):
        return _tried(a, b, all_patterns(n_inputs), kind="exhaustive")
    if method == "sampled":
        return _tried(a, b, sampled_patterns(n_inputs, samples, seed), **sampled)
    first = _tried(a, b, sampled_patterns(n_inputs, FIRST_LOOK, seed), **sampled)
    return first if first.equal is False else _by_classes(a, b, method, options)


def _by_classes(a: Design, b: Design, method: str, options: dict[str, Any]) -> Verdict:
    # A first output that is always 0 gives the class of the constants.
    zero = Circuit.of_gates(a.circuit.n_inputs, [], [0])
    both = side_by_side(zero, side_by_side(a.circuit, b.circuit))
    split = 1 + a.circuit.n_outputs
    rng = np.random.default_rng(options["seed"])
    classes = Classes(both.n_outputs)
    cases = draw(rng, both.n_inputs, _SAMPLE_WORDS)
    while True:
        classes.refine(default_circuits().simulate(both, cases))
        if not _is_same_form(a, b, classes, split):
            break
        verdict = _prove_classes(both, classes, method=method, **options)
        if verdict.counterexample is None:
            return replace(verdict, of_scores=True, output_name="")
        known = {"kind": verdict.kind, "cases": verdict.cases, "seed": verdict.seed}
        found = _difference(a, b, verdict.counterexample, **known, prover=verdict.prover)
        if found is not None:
            return found
        cases = cases_around(verdict.counterexample, rng)
    patterns = sampled_patterns(both.n_inputs, options["samples"], options["seed"])
    hint = "the sums weigh outputs that differ"
    return _tried(a, b, patterns, kind="sampled", seed=options["seed"], hint=hint)
