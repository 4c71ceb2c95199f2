"""From a file to a small, proven design: the whole of ``bnn extract`` without its options."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnncli.bits import pack_bits
from bnncli.data import load_dataset
from bnncli.errors import BnnError, UsageError
from bnncli.extract.agreement import Agreement, agreement
from bnncli.extract.files import is_packed, open_design
from bnncli.extract.work import Extraction, Wish, extract, live_gates, noted
from bnncli.minimize.merging import merge_equal_on
from bnncli.packed import load_packed
from bnncli.prove import Verdict, compare_designs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bnncli.circuit import Design
    from bnncli.minimize.search import Progress


@dataclass(frozen=True)
class Part:
    """What of a model to extract: all of it, a layer or a neuron; the class as gates or as sums."""

    pure: bool = False
    layer: int | None = None
    neuron: int | None = None

    @property
    def whole(self) -> bool:
        """Tell whether it is the whole model."""
        return self.layer is None


@dataclass(frozen=True)
class Result:
    """An extraction, and how it compares with the packed model where there is one.

    ``inexact`` says what was merged though it is not equal, if anything was.
    """

    extraction: Extraction
    agreement: Agreement | None
    inexact: str = ""


def run(
    path: Path,
    wish: Wish,
    part: Part | None = None,
    *,
    name: str | None = None,
    inexact_on: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    on_design: Callable[[Design], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result:
    """Read a file, optimize its circuit, prove the result and compare it with the packed model.

    ``on_design`` hears of the design before it is optimized.
    """
    part = part or Part()
    design = open_design(path, name=name, pure=part.pure, layer=part.layer, neuron=part.neuron)
    given, inexact = design, ""
    if inexact_on is not None:
        design, inexact = merged_on(given, inexact_on, data_dir=data_dir, download=download)
    wish = wish.on(design)
    if on_design is not None:
        on_design(design)
    found = extract(design, wish, on_progress=on_progress, should_stop=should_stop)
    if inexact:
        found = dataclasses.replace(
            found,
            design=dataclasses.replace(found.design, notes=(inexact,)),
            declared=given.circuit.n_gates,
            live=live_gates(given.circuit),
        )
        found = dataclasses.replace(found, design=noted(found, "minimized and merged circuit are "))
    compared = None
    if part.whole and is_packed(path):
        compared = agreement(found.design, load_packed(path), data_dir=data_dir)
    if compared is None:
        return Result(found, None, inexact)
    if compared.n_equal < compared.n_images and not inexact:
        raise BnnError(f"{path}: the circuit {compared.sentence()}; please report this")
    said = found.design.with_circuit(found.design.circuit, compared.sentence())
    return Result(dataclasses.replace(found, design=said), compared, inexact)


def merged_on(
    design: Design, data: str, *, data_dir: Path | None = None, download: bool = False
) -> tuple[Design, str]:
    """Merge signals that are equal on the training images of a data set: inexact elsewhere.

    Also give a line that says so.
    """
    if design.pixels is None:
        raise UsageError(
            f"--inexact-on {data}: the inputs of {design.name} are bits, not pixels of images"
        )
    images = load_dataset(data, data_dir=data_dir, download=download).train.images
    inputs = pack_bits(design.pixels.bits(images))
    circuit = merge_equal_on(design.circuit, inputs, len(images))
    note = (
        f"inexact: signals equal on the {len(images):,} training images of {data} are merged, "
        f"{design.circuit.size:,} gates become {circuit.size:,}"
    )
    return design.with_circuit(circuit, note), note


def check(a: Design, b: Design, *, seed: int = 0) -> Verdict:
    """Compare two designs: circuits that read and give the same."""
    if (a.sums is None) != (b.sums is None):
        one, other = (a, b) if a.sums else (b, a)
        raise UsageError(
            f"--check: {one.name} ends in class sums, {other.name} in bits; give both with --pure "
            f"or both without"
        )
    return compare_designs(a, b, seed=seed)
