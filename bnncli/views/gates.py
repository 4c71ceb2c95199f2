"""What the gates of a network are, layer by layer, from a run or a packed model's file.

A gate is *declared* when it is in the network. It is *live* when some output needs it and, once
constants, wires and inverters before it are followed, it still combines two signals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.circuit import FIRST_INPUT, Builder
from bnncli.circuit.levels import gate_levels
from bnncli.errors import BnnError
from bnncli.gates import GATE_NAMES, N_GATES, TRIVIAL
from bnncli.native.logic_schedule import number_inputs
from bnncli.packed import load_packed
from bnncli.packed.logic import LogicNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnncli.packed import PackedModel
    from bnncli.training.runs import Run

    Floats = NDArray[np.float32]

NEVER = 255
"""No byte is above this threshold."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What is known of a layer's gates and wires beside what they round to.

    ``logits`` are as they were learned. ``entries`` are the relaxed outputs (f00, f10, f01, f11);
    ``confidence`` of a gate is 1 - the largest distance of an entry from the bit it rounds to.
    ``wire_weights`` are the largest weight among the candidates of each gate input, where wires
    were learned.

    Shape: (gates, n_logits), (gates, 4), (gates,), (2 · gates,).
    """

    parametrization: str
    logits: Floats
    entries: Floats
    confidence: Floats
    wire_weights: Floats | None


@dataclass(frozen=True, eq=False)
class GateLayer:
    """The gates of one layer of a run, or of one level of a packed model.

    ``a`` and ``b`` number what a gate reads: through the signals of the layer before it in a run,
    through all signals in a packed model. ``live`` is None where a layer's gates cannot be told
    apart in the circuit, as those of a convolution, which stand in it many times.
    """

    name: str
    tables: NDArray[np.uint8]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    live: NDArray[np.bool_] | None = None
    relaxed: Relaxed | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Count the gates by truth table. Shape: (16,)."""
        return np.bincount(self.tables, minlength=N_GATES)

    @property
    def trivial(self) -> float:
        """Give the share of constants, wires and inverters."""
        return float(self.counts[sorted(TRIVIAL)].sum() / len(self.tables))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values; functions by their names."""
        found = self.relaxed
        wires = None if found is None else found.wire_weights
        return {
            "name": self.name,
            "gates_in_layer": len(self.tables),
            "live_gates": None if self.live is None else int(self.live.sum()),
            "functions": dict(zip(GATE_NAMES, self.counts.tolist(), strict=True)),
            "trivial_share": self.trivial,
            "mean_confidence": None if found is None else float(found.confidence.mean()),
            "mean_wire_weight": None if wires is None else float(wires.mean()),
        }


@dataclass(frozen=True)
class GateView:
    """All layers of a network, and the counts of its circuit: every position written out."""

    source: str
    layers: tuple[GateLayer, ...]
    declared: int
    live: int

    @property
    def in_layers(self) -> int:
        """Count the gates of all layers."""
        return sum(len(layer.tables) for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "source": self.source,
            "gates_in_layers": self.in_layers,
            "declared_gates": self.declared,
            "live_gates": self.live,
            "layers": [layer.to_dict() for layer in self.layers],
        }


def live_gates(network: LogicNetwork) -> NDArray[np.bool_]:
    """Tell which declared gates are live. Shape: -> (n_gates,)."""
    keys, inputs = number_inputs(network)
    # Equal gates stay apart: each of them is there.
    build = Builder(len(keys), share=False)
    literals = build.add(network.circuit(), inputs)
    live = build.live([literals[i] for i in network.outputs.tolist()])
    kept = np.zeros(network.n_gates, np.bool_)
    expected = FIRST_INPUT + len(keys)
    for i, literal in enumerate(literals[network.first_gate :]):
        if literal >> 1 == expected:  # this gate made the signal; later ones may stand for it
            kept[i] = live[expected]
            expected += 1
    return kept


def find_network(packed: PackedModel, source: str) -> LogicNetwork:
    """Give the gate network of a packed model."""
    for step in packed.steps:
        if isinstance(step, LogicNetwork):
            return step
    kinds = ", ".join(dict.fromkeys(step.kind for step in packed.steps))
    raise BnnError(f"{source}: holds no gates but {kinds}; give a network of gates, such as gol's")


def view_file(path: Path) -> GateView:
    """View a packed model's file: its gates level by level, each as far from the inputs."""
    network = find_network(load_packed(path), str(path))
    live = live_gates(network)
    levels = gate_levels(network.first_gate, network.a, network.b)
    layers = []
    for level in range(1, int(levels.max()) + 1):
        at = np.flatnonzero(levels == level)
        layers.append(
            GateLayer(f"level {level}", network.op[at], network.a[at], network.b[at], live[at])
        )
    return GateView(str(path), tuple(layers), network.n_gates, int(live.sum()))


def view_run(run: Run) -> GateView:
    """View a run: the latent gates of its best weights, and what its packed file makes of them."""
    from bnncli.forms import freeze_run, run_model
    from bnncli.training.experiment import load_run_data
    from bnncli.views.latent import latent_layers

    data = load_run_data(run.settings(), data_dir=None, download=False)
    model = run_model(run, data)
    layers = latent_layers(model)
    if not layers:
        raise BnnError(
            f"{run.path}: arch {run.settings().model.arch} has no gates; give a network of gates, "
            f"such as gol or logic-mlp"
        )
    packed = load_packed(run.packed) if run.packed.exists() else freeze_run(model, run)
    network = find_network(packed, str(run.path))
    live = live_gates(network)
    layers = _with_live(layers, network, live)
    return GateView(str(run.path), tuple(layers), network.n_gates, int(live.sum()))


def _with_live(
    layers: list[GateLayer], network: LogicNetwork, live: NDArray[np.bool_]
) -> list[GateLayer]:
    """Share the circuit's live gates out to the layers, where these are the circuit gate by gate."""
    if not np.array_equal(np.concatenate([layer.tables for layer in layers]), network.op):
        return layers
    ends = np.cumsum([len(layer.tables) for layer in layers])[:-1]
    parts = np.split(live, ends)
    return [replace(layer, live=part) for layer, part in zip(layers, parts, strict=True)]
