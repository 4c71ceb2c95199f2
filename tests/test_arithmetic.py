"""Numbers too small to be normal: 0 while training, and as ever outside."""

from __future__ import annotations

import pytest
import torch

from bnncli.errors import BnnError
from bnncli.training.arithmetic import flushes_subnormals, subnormals_flushed
from bnncli.training.fit import fit

QUICK = {
    "model": {"arch": "mlp", "widths": [8]},
    "data": {"name": "digits"},
    "train": {"epochs": 1},
}


@pytest.fixture
def able() -> bool:
    with subnormals_flushed() as able:
        pass
    if not able:
        pytest.skip("this processor cannot take subnormal numbers for 0")
    return able


@pytest.mark.usefixtures("able")
def test_subnormals_are_zero_inside_and_numbers_outside() -> None:
    tiny = torch.tensor([1.2e-38, 1e-39])
    for _ in range(2):
        assert not flushes_subnormals()
        with subnormals_flushed():
            assert flushes_subnormals()
            assert (tiny / 4).count_nonzero() == 0
            with subnormals_flushed():
                pass
            assert flushes_subnormals(), "the inner one leaves what it found"
    assert (tiny / 4).count_nonzero() == 2


@pytest.mark.usefixtures("able")
def test_the_mode_ends_with_the_block_whatever_ends_it() -> None:
    with pytest.raises(BnnError), subnormals_flushed():
        raise BnnError("stopped")
    assert not flushes_subnormals()


@pytest.mark.usefixtures("able")
def test_a_training_computes_in_the_mode_and_ends_without_it() -> None:
    seen = []

    class Watch:
        def on_step(self, step, steps_per_epoch, loss) -> None:
            seen.append(flushes_subnormals())

        def on_epoch(self, record, is_best) -> None:
            seen.append(flushes_subnormals())

    fit(QUICK, reporters=[Watch()])
    assert seen
    assert all(seen)
    assert not flushes_subnormals()
