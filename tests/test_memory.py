"""Memory is counted by the tensors held, each storage once."""

from __future__ import annotations

import mmap

import pytest
import torch

from bnncli.layers import Pixels
from bnncli.models import Quantization, build_model
from bnncli.optim import make_optimizer
from bnncli.training import memory

FC1, FC2 = 64 * 32, 32 * 10
NORMS = 4 * (32 + 10) // 2  # weight and bias of two BatchNorms


def trained(optimizer, weights="binary", **options):
    model = build_model(
        "mlp",
        image_shape=(1, 8, 8),
        n_classes=10,
        quantization=Quantization(weights=weights, weight_options=options or None),
        pixels=Pixels("signed", 1),
        widths=(32,),
    )
    steps = make_optimizer(model, optimizer)
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    model(images).square().sum().backward()
    steps.step()
    return memory.measure_memory(model, steps, peak_of="run")


def test_a_view_and_a_second_reference_cost_nothing():
    tensor = torch.zeros(10, 10)
    assert memory.storage_bytes([tensor, tensor[2:], tensor.T]) == 400
    assert memory.storage_bytes([torch.zeros(()).expand(1000, 1000)]) == 4


def test_adam_on_latents_costs_sixteen_bytes_a_parameter():
    held = trained("adam")
    parameters = 4 * (FC1 + FC2 + NORMS)
    assert held.parameter_bytes == held.gradient_bytes == parameters
    steps = 4 * 6  # one counter a parameter tensor: two weights, two norms of two
    assert held.optimizer_bytes == 2 * parameters + steps


@pytest.mark.parametrize(
    ("optimizer", "weights", "options", "bits"),
    [
        ("bop", "bits", {}, 8),
        ("swarm", "swarm", {}, 32),
        ("swarm", "swarm", {"storage": "int8"}, 256),
        ("register", "register", {"bits": 8}, 8),
        ("register", "register", {"bits": 16}, 16),
    ],
)
def test_a_stored_weight_costs_its_bits_and_a_port_four_bytes(optimizer, weights, options, bits):
    held = trained(optimizer, weights, **options)
    ports = 2 * 4
    masks = 2 * 4 if bits == 32 else 0  # packed agents: which bits of the last word are live
    assert held.parameter_bytes == (FC1 + FC2) * bits // 8 + ports + masks + 4 * NORMS
    assert held.gradient_bytes == 4 * (FC1 + FC2 + NORMS)  # the gradient itself is still real


def test_statistics_of_norms_are_buffers():
    running = 2 * (32 + 10) * 4 + 2 * 8  # means and variances, and two counters of batches
    pixels = 2 * 4
    assert trained("adam").buffer_bytes == running + pixels


def test_the_peak_sees_memory_that_came_and_went():
    if not memory.reset_peak():
        pytest.skip("this system does not start the peak anew")
    before = memory.peak_resident_bytes()
    # From the system itself: the allocator may have kept as much from earlier tests.
    with mmap.mmap(-1, 2**27) as big:
        big.write(bytes(2**27))
    assert memory.peak_resident_bytes() - before > 2**26


def test_a_system_that_keeps_its_peak_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "missing" / "clear_refs")
    assert not memory.reset_peak()
    assert memory.peak_resident_bytes() > 2**20


def test_the_allocator_is_left_alone_where_the_environment_sets_it(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not memory.keep_freed_memory()
