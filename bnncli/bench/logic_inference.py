"""Suite ``logic``: gate networks in the C interpreter against one compiled function.

A network has six layers of equal width that read every signal of the layer before about twice, with
random wires and gates, and ten classes. It is timed from bits to bits and from pixels to classes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.bench.harness import Case, Contender, Contest, Work, equal_to
from bnncli.bench.peer_logic import OPTIONS, PeerNetwork
from bnncli.bits import WORD, WORD_BITS, pack_bits, unpack_bits
from bnncli.circuit.ir import FIRST_INPUT
from bnncli.errors import BnnError
from bnncli.gates import N_GATES, TRIVIAL
from bnncli.native import CBackend, available_isas
from bnncli.native.compile import find_compiler
from bnncli.packed import PackedModel
from bnncli.packed.logic import LogicNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnncli.native.logic_eval import LogicInterpreter

SEED = 0
IMAGE = (1, 28, 28)
N_PIXELS = 784
N_CLASSES = 10
N_LAYERS = 6
BITS_IMAGES = 512
"""Images from bits to bits: one pass of the interpreter, eight calls of the function."""
PIXEL_IMAGES = 4096
SLOW_COMPILE = 20_000
"""Gates from which on the compiler needs minutes."""

PEER = "one C function"
LIMIT = "registers only"


@dataclass(frozen=True)
class Shape:
    """A network of the suite; ``every_gate`` draws from all 16 truth tables, else from 10."""

    width: int
    every_gate: bool = False

    @property
    def name(self) -> str:
        """Name it by layers, width and gates."""
        return f"{N_LAYERS}x{self.width}-{N_GATES if self.every_gate else N_GATES - len(TRIVIAL)}op"

    @property
    def n_gates(self) -> int:
        """Count the declared gates."""
        return N_LAYERS * self.width


SHAPES = (Shape(1000), Shape(8000), Shape(8000, every_gate=True))


def layered_network(shape: Shape, seed: int = SEED) -> LogicNetwork:
    """Draw a network whose layers read every signal before them equally often, give or take one."""
    rng = np.random.default_rng(seed)
    tables = [t for t in range(N_GATES) if shape.every_gate or t not in TRIVIAL]
    wires = []
    first, size = FIRST_INPUT, N_PIXELS
    for _ in range(N_LAYERS):
        rounds = -(-2 * shape.width // size)
        reads = np.concatenate([rng.permutation(size) for _ in range(rounds)])[: 2 * shape.width]
        wires.append(first + rng.permutation(reads))
        first, size = first + size, shape.width
    a, b = (
        np.concatenate([w[: shape.width] if half == 0 else w[shape.width :] for w in wires])
        for half in range(2)
    )
    return LogicNetwork(
        pixel=np.arange(N_PIXELS, dtype=np.int32),
        threshold=np.full(N_PIXELS, 127, dtype=np.uint8),
        op=rng.choice(np.array(tables, dtype=np.uint8), shape.n_gates),
        a=a.astype(np.int32),
        b=b.astype(np.int32),
        outputs=np.arange(first, first + shape.width, dtype=np.int32),
        n_groups=N_CLASSES,
    )


def random_images(n: int) -> NDArray[np.uint8]:
    """Draw images of random bytes."""
    return np.random.default_rng(SEED + 1).integers(0, 256, (n, *IMAGE), dtype=np.uint8)


@cache
def peer(shape: Shape) -> PeerNetwork | str:
    """Compile the network as one function, once a process, or say why not."""
    compiler = find_compiler()
    if compiler is None:
        return "left out: no C compiler found; install gcc or set CC"
    if shape.n_gates >= SLOW_COMPILE:
        print(
            f"bench logic: compiling {shape.n_gates:,} gates as one function with "
            f"{compiler.name} {' '.join(OPTIONS)}; this takes minutes (--filter 6x1000 leaves it out)",
            file=sys.stderr,
        )
    return PeerNetwork(layered_network(shape), N_PIXELS)


@dataclass(frozen=True, eq=False)
class Built:
    """The ways to run a network, by name, and how long it took to make them."""

    network: LogicNetwork
    interpreters: Mapping[str, LogicInterpreter]
    function: PeerNetwork | None
    facts: Mapping[str, float | str]

    @property
    def baseline(self) -> str:
        """Name the function, or the slowest interpreter where there is no compiler."""
        return PEER if self.function else next(iter(self.interpreters))


def _build(shape: Shape) -> Built:
    network = layered_network(shape)
    names = [name for name in available_isas() if name != "ref"]
    if not names:
        raise BnnError("bench logic: the C kernels were not built; install a C compiler, reinstall")
    began = time.perf_counter()
    interpreters = {f"c:{name}": CBackend(name).prepare_logic(network) for name in names}
    seconds = (time.perf_counter() - began) / len(names)
    computed = next(iter(interpreters.values())).program.n_gates
    facts: dict[str, float | str] = {
        "seconds to build the interpreter's program": seconds,
        "gates computed of those declared": f"{computed} of {network.n_gates}",
    }
    function = peer(shape)
    if isinstance(function, str):
        facts[PEER] = function
        return Built(network, interpreters, None, facts)
    facts[f"seconds to build {PEER}"] = function.build_seconds
    return Built(network, interpreters, function, facts)


def input_words(
    images: NDArray[np.uint8], pixel: NDArray[Any], threshold: NDArray[np.uint8]
) -> NDArray[np.uint64]:
    """Give the bits of each comparison; Shape: (n, n_pixels) -> (n_comparisons, words_for(n))."""
    return pack_bits(np.ascontiguousarray((images[:, pixel] > threshold).T))


def _network_only(shape: Shape) -> Contest:
    built = _build(shape)
    network, groups = built.network, (N_CLASSES, -1, BITS_IMAGES)
    images = random_images(BITS_IMAGES).reshape(BITS_IMAGES, -1)
    contenders = {}
    if built.function:
        words = np.ascontiguousarray(input_words(images, network.pixel, network.threshold).T)
        out = np.empty((BITS_IMAGES // WORD_BITS, len(network.outputs)), dtype=WORD)
        contenders[PEER] = Contender(
            partial(built.function.evaluate, words, out),
            lambda out: unpack_bits(out.T.copy(), BITS_IMAGES).reshape(groups).sum(axis=1),
        )
    for name, interpreter in built.interpreters.items():
        words = input_words(images, *interpreter.program.inputs.comparisons())[None]
        out = np.empty((1, len(interpreter.program.counted), words.shape[2]), dtype=WORD)
        contenders[name] = Contender(
            partial(interpreter.evaluate, words, out),
            partial(_group_counts, interpreter),
        )
    fastest = list(built.interpreters)[-1]
    limit = partial(built.interpreters[fastest].spin, network.n_gates)
    contenders[f"{LIMIT} {fastest}"] = Contender(limit)

    def check(outputs: Mapping[str, NDArray[Any]]) -> None:
        computed = {name: out for name, out in outputs.items() if not name.startswith(LIMIT)}
        equal_to(built.baseline)(computed)

    return Contest(contenders, [built.baseline], check, built.facts)


def _group_counts(interpreter: LogicInterpreter, outputs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count the true signals of each class; Shape: (1, n_counted, 8) -> (n_classes, 512)."""
    program = interpreter.program
    bits = unpack_bits(outputs[0], BITS_IMAGES)
    parts = np.split(bits, program.ends[:-1].astype(np.int64))
    counts: NDArray[np.int64] = np.stack([part.sum(axis=0, dtype=np.int64) for part in parts])
    return counts + program.biases[:, None].astype(np.int64)


def _pixels(shape: Shape) -> Contest:
    built = _build(shape)
    images = random_images(PIXEL_IMAGES)
    rows = images.reshape(PIXEL_IMAGES, -1)
    contenders = {}
    if built.function:
        contenders[PEER] = Contender(partial(built.function.predict, rows))
    model = PackedModel((built.network,))
    for name, interpreter in built.interpreters.items():
        plan = model.plan(CBackend(name.removeprefix("c:")))
        contenders[f"{name} to counts"] = Contender(
            partial(interpreter, rows), lambda counts: counts.argmax(axis=1)
        )
        contenders[name] = Contender(partial(plan.predict, images))
    baseline = PEER if built.function else next(iter(contenders))
    return Contest(contenders, [baseline], equal_to(baseline), built.facts)


def cases() -> list[Case]:
    """List each network from bits to bits and from pixels to classes."""
    return [
        Case(
            f"{kind}/{shape.name}",
            Work(images=n, gates=n * shape.n_gates),
            partial(build, shape),
            partial(peer, shape),
        )
        for shape in SHAPES
        for kind, n, build in (
            ("network", BITS_IMAGES, _network_only),
            ("pixels", PIXEL_IMAGES, _pixels),
        )
    ]
