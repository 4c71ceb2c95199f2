"""Laws of every registered optimizer: a new one is tested by being registered."""

from __future__ import annotations

import copy
import inspect
import io

import pytest
import torch

from bnncli.cli.train import parse_options
from bnncli.errors import UsageError
from bnncli.layers import Pixels, QuantLinear
from bnncli.models import Quantization, build_model, quantized_weights
from bnncli.optim import EVERYTHING, LATENT, OPTIMIZERS, STORED, make_optimizer
from bnncli.quantizers import QUANTIZERS, UniformGrid, make_quantizer
from bnncli.training.memory import storage_bytes

NAMES = list(OPTIMIZERS)
OWN = [name for name, preset in OPTIMIZERS.items() if preset.trains != EVERYTHING]
F, I8, I32, I64 = torch.float32, torch.int8, torch.int32, torch.int64

# What each optimizer keeps for a weight tensor: names and types. Scalars are marked by "()".
STATE = {
    "bop": {"average": F},
    "bold": {"leak": F, "kept()": F},
    "integer-voting": {"count": I8},
    "threshold-if": {"leak": F},
    "integrate-fire": {"leak": F},
    "adaptive-if": {"leak": F, "theta()": F},
    "bounded-vote": {"leak": F},
    "lif": {"leak": F},
    "friction-vote": {"leak": F},
    "adaptive-vote": {"leak": F, "theta()": F},
    "rank": {},
    "momentum-rank": {"average": F},
    "swarm": {},
    "bit-logic": {},
    "adaptive-bit": {},
    "swarm-log": {"count": I8},
    "swarm-log-dynamic": {"count": I8},
    "unary": {"average": F},
    "unary-link": {"average": F, "square": F, "steps()": I64},
    "register": {"average": F},
    "ternary-register": {"average": F},
    "stochastic-register": {"average": F},
    "signum": {"average": F},
    "ema-flip": {"average": F, "scale()": F},
    "sign-sgd": {},
    "cosine-voting": {"average": F},
    "voting": {"leak": F},
    "voting-reference": {"leak": F},
    "sparse-sign": {"average": F},
    "hybrid": {"leak": F, "average": F, "theta()": F},
    "diode": {"average": F},
}
# Rules that by their definition also move weights which nothing asks to move.
RESTLESS = {"bit-logic", "rank", "momentum-rank"}
MOVES_AT_ZERO = RESTLESS | {"voting-reference"}  # its sign of an empty sum is +1
NEVER_MOVES = {"adaptive-vote"}  # votes reach 2 at most, its threshold is never below


def network(name: str, weights: str | None = None):
    torch.manual_seed(0)
    return build_model(
        "mlp",
        image_shape=(1, 8, 8),
        n_classes=10,
        quantization=Quantization(weights=weights or OPTIMIZERS[name].weights or "binary"),
        pixels=Pixels("signed", 1),
        widths=(8,),
    )


def give_gradients(model, seed: int, size: float = 1.0):
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator) * size
    torch.manual_seed(seed)  # as a run does before each step


def steps(model, optimizer, first: int, last: int, size: float = 0.1):
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["progress"] = step / 20
        give_gradients(model, step, size)
        optimizer.step()


def codes(model):
    return [q.codes(w).codes.clone() for _, w, q in quantized_weights(model)]


def states(model, optimizer):
    """Give the state of each quantized weight, whichever part of the optimizer holds it."""
    parts = getattr(optimizer, "parts", [optimizer])
    return [part.state[w] for _, w, _ in quantized_weights(model) for part in parts[:1]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-4, 1e3])
def test_weights_stay_in_their_grid(name, size):
    model = network(name)
    optimizer = make_optimizer(model, name)
    steps(model, optimizer, 0, 20, size)
    for _, w, q in quantized_weights(model):
        found = q.codes(w).codes
        if isinstance(q.grid, UniformGrid):
            assert found.min() >= q.grid.lowest
            assert found.max() <= q.grid.highest
        else:
            assert set(found.unique().tolist()) <= {-1, 1}
        assert q.levels(*q.codes(w)).isfinite().all()


@pytest.mark.parametrize("name", [n for n in OWN if "clip" in OPTIMIZERS[n].options])
def test_latents_stay_within_the_clip(name):
    model = network(name)
    steps(model, make_optimizer(model, name, lr=10.0, options={"clip": 0.5}), 0, 5, 100.0)
    assert all(w.abs().max() <= 0.5 for _, w, _ in quantized_weights(model))


@pytest.mark.parametrize("name", OWN)
def test_state_is_what_is_claimed(name):
    model = network(name)
    optimizer = make_optimizer(model, name)
    before = [{k: (v.dtype, v.shape) for k, v in s.items()} for s in states(model, optimizer)]
    steps(model, optimizer, 0, 2)
    for (_, w, _), state, first in zip(
        quantized_weights(model), states(model, optimizer), before, strict=True
    ):
        found = {f"{k}()" if v.dim() == 0 else k: v.dtype for k, v in state.items()}
        assert found == STATE[name]
        assert {k: (v.dtype, v.shape) for k, v in state.items()} == first
        whole = [v for v in state.values() if v.dim() > 0]
        assert all(v.shape == w.shape for v in whole)
        # Of a shape alone is not enough: a port's own layout has the storage of one number.
        assert storage_bytes(whole) == sum(t.itemsize for k, t in STATE[name].items()
                                           if not k.endswith("()")) * w.numel()  # fmt: skip


def weight_bytes(name: str) -> int:
    model = network(name)
    optimizer = make_optimizer(model, name)
    steps(model, optimizer, 0, 1)
    held = (v for state in states(model, optimizer) for v in state.values())
    return storage_bytes(v for v in held if v.dim() > 0)


def test_bytes_of_state_against_adam():
    adam = weight_bytes("adam")
    assert weight_bytes("signum") == adam / 2
    assert weight_bytes("integer-voting") == adam / 8
    assert weight_bytes("swarm-log") == adam / 8
    assert weight_bytes("swarm") == weight_bytes("rank") == weight_bytes("sign-sgd") == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weights_move_against_the_gradient_and_never_with_it(name, sign):
    model = network(name)
    optimizer = make_optimizer(model, name)
    start = codes(model)
    for step in range(20):
        before = codes(model)
        for p in model.parameters():
            p.grad = torch.full(p.shape, sign)
        torch.manual_seed(step)
        optimizer.step()
        if name not in RESTLESS:
            for old, new in zip(before, codes(model), strict=True):
                assert ((new.int() - old.int()) * sign <= 0).all()
    gained = sum(float(((a.int() - b.int()) * sign).sum()) for a, b in zip(
        codes(model), start, strict=True))  # fmt: skip
    assert gained == 0 if name in NEVER_MOVES else gained < 0


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_of_zero_moves_nothing(name):
    model = network(name)
    optimizer = make_optimizer(model, name)
    start = codes(model)
    for _ in range(3):
        for p in model.parameters():
            p.grad = torch.zeros(p.shape)
        optimizer.step()
    same = all(torch.equal(a, b) for a, b in zip(start, codes(model), strict=True))
    assert same == (name not in MOVES_AT_ZERO)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_optimizer_goes_on_to_the_same_bits(name):
    model = network(name)
    optimizer = make_optimizer(model, name)
    steps(model, optimizer, 0, 3)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    steps(model, optimizer, 3, 6)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = network(name)
    resumed = make_optimizer(other, name)
    other.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["optimizer"])
    steps(other, resumed, 3, 6)
    for a, b in zip(codes(model), codes(other), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(states(model, optimizer), states(other, resumed), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            assert torch.equal(a[key], b[key])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_claimed_once(name):
    model = network(name)
    groups = make_optimizer(model, name).param_groups
    claimed = [id(p) for group in groups for p in group["params"]]
    assert sorted(claimed) == sorted(id(p) for p in model.parameters())
    assert all(group["initial_lr"] == group["lr"] for group in groups)
    assert groups[0]["lr"] == OPTIMIZERS[name].lr


@pytest.mark.parametrize("name", NAMES)
def test_options_can_be_given_on_the_command_line(name):
    defaults = OPTIMIZERS[name].options
    assert all(isinstance(value, int | float | bool | str) for value in defaults.values())
    texts = [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in defaults.items()
    ]
    given = parse_options("--optimizer-option", texts) or {}
    assert given == defaults
    one = network(name)
    steps(one, make_optimizer(one, name), 0, 2)
    other = network(name)
    steps(other, make_optimizer(other, name, options=given), 0, 2)
    assert all(torch.equal(a, b) for a, b in zip(codes(one), codes(other), strict=True))
    with pytest.raises(UsageError, match=f"optimizer {name} has no option 'nothing'"):
        make_optimizer(network(name), name, options={"nothing": 1})
    for key in defaults:
        with pytest.raises(UsageError, match=f"optimizer {name}: option {key}=.*: expected"):
            make_optimizer(network(name), name, options={key: [1]})


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_an_optimizer_cannot_train_are_one_clear_line(name):
    preset = OPTIMIZERS[name]
    wrong = "ternary" if preset.trains == STORED else "bits"
    with pytest.raises(UsageError) as caught:
        make_optimizer(network(name, wrong), name)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"optimizer {name} trains {preset.trains}, but the network has ")
    fitting = text.rsplit(": ", 1)[1].split(", ")
    able = {LATENT, EVERYTHING} if wrong == "ternary" else {STORED}
    assert fitting == [n for n, p in OPTIMIZERS.items() if p.trains in able]


@pytest.mark.parametrize("name", [n for n in OWN if OPTIMIZERS[n].trains == STORED])
@pytest.mark.parametrize("weights", ["bits", "swarm", "register", "ternary-register"])
def test_flips_work_on_every_kind_of_store(name, weights):
    model = network(name, weights)
    steps(model, make_optimizer(model, name), 0, 1)
    assert all(q.codes(w).codes.shape == w.shape for _, w, q in quantized_weights(model))


def test_a_copy_of_a_network_is_not_moved_by_the_optimizer_of_the_first():
    model = network("bop")
    optimizer = make_optimizer(model, "bop")
    other = copy.deepcopy(model)
    before = codes(other)
    steps(model, optimizer, 0, 5)
    assert all(torch.equal(a, b) for a, b in zip(before, codes(other), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, codes(model), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_say_what_a_method_does_and_where_it_is_from(name):
    preset = OPTIMIZERS[name]
    doc = inspect.getdoc(preset.make) or ""
    first, *rest = doc.split("\n")
    assert 15 <= len(first) <= 100
    assert first.endswith((".", ")."))
    if preset.trains != EVERYTHING:
        assert "Source" in doc or "arXiv" in doc
        assert rest[0] == ""
    if preset.weights is not None:
        assert preset.trains == STORED
        assert preset.weights in QUANTIZERS


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("sparse-sign", {"density": 0.0}, "density=0: expected a share in (0, 1]"),
        ("sparse-sign", {"last_density": 1.5}, "last_density=1.5: expected a share in (0, 1]"),
        ("hybrid", {"density": -1.0}, "density=-1: expected a share in (0, 1]"),
        ("unary-link", {"step": "sdg"}, "did you mean 'sgd'?"),
    ],
)
def test_options_out_of_range_are_refused(name, options, says):
    with pytest.raises(UsageError) as caught:
        make_optimizer(network(name), name, options=options)
    assert says in str(caught.value)


def test_a_layer_that_stands_alone_is_trained_like_one_in_a_network():
    alone = QuantLinear(3, 1, weight_quantizer=make_quantizer("binary"))
    assert [name for name, _, _ in quantized_weights(alone)] == ["weight"]
    optimizer = make_optimizer(alone, "sgd", lr=1e6)
    alone(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(alone.weight, torch.full((1, 3), -1.0)), "clipped, so claimed as a latent"
