"""Each preset against its published update, written out weight by weight."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.optim import OPTIMIZERS
from tests.weight_bench import Bench, sign

STEPS, N = 40, 30


def agreement(update, threshold, rest):
    """Build a method of agreements a = g · s: a ← update(a, g, s); flip if a > θ, then a = rest."""

    def method(weights, gradients):
        s, a = [sign(w) for w in weights], [0.0] * len(weights)
        for step, row in enumerate(gradients):
            theta = threshold(step / len(gradients))
            for i, g in enumerate(row):
                a[i] = update(a[i], g, s[i])
                if a[i] > theta:
                    s[i], a[i] = -s[i], rest(theta)
            yield list(s)

    return method


def votes(decay: float, friction: float = 0.0):
    return lambda a, g, s: decay * a + sign(g) * s * (abs(g) > friction)


def bop(weights, gradients):
    w, m = [sign(x) for x in weights], [0.0] * len(weights)
    for row in gradients:
        m = [0.7 * a + 0.3 * g for a, g in zip(m, row, strict=True)]
        w = [-x if x * a > 0.11 else x for x, a in zip(w, m, strict=True)]
        yield list(w)


def bold(weights, gradients):
    w, m, beta = [sign(x) for x in weights], [0.0] * len(weights), 1.0
    for row in gradients:
        m = [beta * a + 0.9 * g for a, g in zip(m, row, strict=True)]
        flips = [a * x >= 1 for a, x in zip(m, w, strict=True)]
        w = [-x if f else x for x, f in zip(w, flips, strict=True)]
        m = [0.0 if f else a for a, f in zip(m, flips, strict=True)]
        beta = 1 - sum(flips) / len(flips)
        yield list(w)


def integer_voting(weights, gradients):
    w, a = [sign(x) for x in weights], [0] * len(weights)
    for row in gradients:
        for i, g in enumerate(row):
            a[i] -= sign(g)
            if abs(a[i]) >= 4:
                w[i], a[i] = sign(a[i]), 0
        yield list(w)


def threshold_if(weights, gradients):
    w, a = [sign(x) for x in weights], [0.0] * len(weights)
    for row in gradients:
        for i, g in enumerate(row):
            a[i] = 0.9 * a[i] - 0.1 * g
            if abs(a[i]) > 0.21:
                w[i], a[i] = sign(a[i]), 0.0
        yield list(w)


def steered(factors: bool):
    """Integrate and fire (or vote) under a threshold that steers the share of flips."""

    def method(weights, gradients):
        s, a, theta, n = [sign(x) for x in weights], [0.0] * len(weights), 1.3, len(weights)
        for row in gradients:
            flips = 0
            for i, g in enumerate(row):
                a[i] = 0.9 * a[i] + (g * s[i] if factors else sign(g) * s[i])
                if a[i] > theta:
                    s[i], a[i], flips = -s[i], 0.0, flips + 1
            if factors:
                theta = max(0.001, 0.95 * theta) if flips / n < 0.05 else theta
                theta = 1.05 * theta if flips / n > 0.2 else theta
            else:
                theta += 0.5 * (flips / n > 0.2) - 0.1 * (flips / n < 0.02)
                theta = max(1.2, min(theta, 50.0))
            yield list(s)

    return method


def rank(weights, gradients):
    s, n = [sign(x) for x in weights], len(weights)
    for row in gradients:
        order = sorted(range(n), key=lambda i: -row[i] * s[i])
        for i in order[: int(0.2 * n)]:
            s[i] = -s[i]
        yield list(s)


def momentum_rank(weights, gradients):
    s, b, n = [sign(x) for x in weights], [0.0] * len(weights), len(weights)
    for step, row in enumerate(gradients):
        rate = 0.4 * (0.05 / 0.4) ** (step / len(gradients))
        b = [0.9 * x + 0.1 * g * y for x, g, y in zip(b, row, s, strict=True)]
        for i in sorted(range(n), key=lambda i: -b[i])[: int(rate * n)]:
            s[i], b[i] = -s[i], 0.0
        yield list(s)


def hybrid(weights, gradients):
    p, e, a, theta = list(weights), [0.0] * len(weights), [0.0] * len(weights), 0.3
    for row in gradients:
        fires = 0
        for i, g in enumerate(row):
            e[i] = 0.9 * e[i] + 0.1 * g
            a[i] = 0.8 * a[i] - 0.5 * e[i]
            if abs(a[i]) > theta:
                p[i], a[i], fires = 0.4 * p[i] + 0.6 * sign(a[i]), 0.0, fires + 1
        rate = fires / len(p)
        theta *= 0.9 if rate < 0.04 else 1.1 if rate > 0.16 else 1.0
        yield list(p)


def voting(push: float):
    def method(weights, gradients):
        p, a = list(weights), [0.0] * len(weights)
        for row in gradients:
            for i, g in enumerate(row):
                a[i] = max(-1.0, min(1.0, a[i] - 0.25 * sign(g)))
                p[i] = max(-1.0, min(1.0, p[i] + push * (sign(a[i]) - p[i])))
            yield list(p)

    return method


def signum(weights, gradients):
    p, m = list(weights), [0.0] * len(weights)
    for row in gradients:
        for i, g in enumerate(row):
            m[i] = 0.9 * m[i] + 0.1 * (g + 0.01 * p[i])
            step = 0.2 * sign(m[i]) * (abs(m[i]) > 0.05)
            p[i] = max(-0.7, min(0.7, p[i] - step))
        yield list(p)


def ema_flip(weights, gradients):
    p, m, r = list(weights), [0.0] * len(weights), 0.0
    for row in gradients:
        m = [0.9 * a + 0.1 * g for a, g in zip(m, row, strict=True)]
        r = 0.95 * r + 0.05 * sum(map(abs, m)) / len(m)
        p = [
            max(-1.5, min(1.5, x - 0.06 * sign(a) * (abs(a) > 0.3 * r)))
            for x, a in zip(p, m, strict=True)
        ]
        yield list(p)


def sign_sgd(weights, gradients):
    p = list(weights)
    for row in gradients:
        p = [x - 0.5 * sign(g) for x, g in zip(p, row, strict=True)]
        yield list(p)


PUBLISHED = {
    "bop": (bop, {"lr": 0.3, "threshold": 0.11}),
    "bold": (bold, {"lr": 0.9}),
    "integer-voting": (integer_voting, {"threshold": 4}),
    "threshold-if": (threshold_if, {"lr": 0.1, "threshold": 0.21, "decay": 0.9}),
    "integrate-fire": (
        agreement(lambda a, g, s: 0.9 * a + 100 * g * s, lambda _: 210.0, lambda _: 0.0),
        {"lr": 100.0, "threshold": 210.0},
    ),
    "adaptive-if": (steered(True), {"lr": 1.0, "threshold": 1.3, "target": 0.1}),
    "bounded-vote": (
        agreement(votes(0.95), lambda _: 3.1, lambda theta: -theta / 2),
        {"threshold": 3.1},
    ),
    "lif": (
        agreement(votes(0.9), lambda _: 2.3, lambda theta: -theta / 2),
        {"threshold": 2.3},
    ),
    "friction-vote": (
        agreement(votes(0.9, 0.2), lambda t: 1.5 + 2 * t, lambda theta: -theta / 2),
        {"threshold": 1.5, "last_threshold": 3.5, "friction": 0.2},
    ),
    "adaptive-vote": (
        steered(False),
        {"threshold": 1.3, "target": 0.1, "decay": 0.9, "least": 1.2},
    ),
    "rank": (rank, {"lr": 0.2}),
    "momentum-rank": (momentum_rank, {"lr": 0.4, "last": 0.05}),
    "hybrid": (
        hybrid,
        {"lr": 0.5, "decay": 0.8, "threshold": 0.3, "push": 0.6},
    ),
    # A rate that is exact in binary: sums of votes then are zero at the same steps.
    "voting": (voting(0.3), {"lr": 0.25}),
    "voting-reference": (voting(1.0), {"lr": 0.25}),
    "signum": (signum, {"lr": 0.2, "clip": 0.7, "confidence": 0.05, "weight_decay": 0.01}),
    "ema-flip": (ema_flip, {}),
    "sign-sgd": (sign_sgd, {"lr": 0.5}),
}


@pytest.mark.parametrize("name", PUBLISHED)
@given(seed=st.integers(0, 2**31))
# The same seeds every time: in one of thousands a float32 score lies on the other side of its limit.
@settings(max_examples=3, deadline=None, derandomize=True)
def test_a_preset_is_its_published_update(name, seed):
    method, options = PUBLISHED[name]
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(N, generator=generator).mul(2).sub(1).tolist()
    gradients = torch.randn(STEPS, N, generator=generator)
    gradients += torch.randn(N, generator=generator) * 0.5  # some weights have a clear wish
    bench = Bench(name, start, **options)
    moved = False
    for step, expected in enumerate(method(start, gradients.tolist())):
        found = bench.step(gradients[step].tolist(), progress=step / STEPS)
        assert found == pytest.approx(expected, abs=1e-5), step
        moved |= any(sign(a) != sign(b) for a, b in zip(found, start, strict=True))
    assert moved


def test_presets_without_a_test_of_their_update_are_none():
    drawn = {"swarm", "bit-logic", "adaptive-bit", "swarm-log", "swarm-log-dynamic", "unary"}
    drawn |= {"unary-link", "register", "ternary-register", "stochastic-register"}
    other = {"sgd", "adam", "adamw", "cosine-voting", "sparse-sign", "diode"}
    assert {*PUBLISHED, *drawn, *other} == set(OPTIMIZERS)
