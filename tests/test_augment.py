"""Laws of augmentation: exact content, stated shape and dtype, one generator in control."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncli.data.augment import (
    Affine,
    Chain,
    Flip,
    Shift,
    affine_by,
    flip_where,
    parse_augment,
    shift_by,
)
from bnncli.errors import BnnError, UsageError

SPECS = ["none", "shift:0", "shift:2", "shift:3:255", "flip", "shift:4,flip", "affine:10"]
sizes = st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(size: tuple[int, ...], dtype: torch.dtype = torch.uint8, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, size, generator=generator(seed), dtype=torch.uint8).to(dtype)


def slow_shift(images: np.ndarray, offsets: np.ndarray, fill: int) -> np.ndarray:
    out = np.full_like(images, fill)
    n, _, height, width = images.shape
    for k in range(n):
        for i in range(height):
            for j in range(width):
                y, x = i - offsets[k, 0], j - offsets[k, 1]
                if 0 <= y < height and 0 <= x < width:
                    out[k, :, i, j] = images[k, :, y, x]
    return out


@settings(deadline=None, max_examples=60)
@given(
    size=sizes,
    reach=st.integers(0, 9),
    fill=st.sampled_from([0, 7, 255]),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
    seed=st.integers(0, 2**32),
)
def test_shift_translates_exactly(
    size: tuple[int, int, int, int], reach: int, fill: int, dtype: torch.dtype, seed: int
) -> None:
    images = batch(size, dtype, seed)
    before = images.clone()
    offsets = torch.randint(-reach, reach + 1, (size[0], 2), generator=generator(seed))
    moved = shift_by(images, offsets, reach, fill)
    assert moved.dtype == dtype
    assert moved.is_contiguous()
    np.testing.assert_array_equal(moved.numpy(), slow_shift(before.numpy(), offsets.numpy(), fill))
    assert torch.equal(images, before)


def test_shift_takes_images_that_are_not_contiguous() -> None:
    images = batch((4, 6, 7, 3)).permute(0, 3, 1, 2)
    offsets = torch.tensor([[1, -2], [0, 0], [-1, 2], [2, 2]])
    expected = slow_shift(images.numpy(), offsets.numpy(), 0)
    np.testing.assert_array_equal(shift_by(images, offsets, 2).numpy(), expected)


def test_shift_by_nothing_is_identity() -> None:
    images = batch((5, 3, 6, 4))
    assert torch.equal(Shift(0)(images, generator()), images)


def test_shift_reaches_every_offset_and_no_other() -> None:
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 4] = 1
    moved = Shift(2)(image.expand(2000, 1, 9, 9), generator())
    seen = {tuple(row) for row in moved.nonzero()[:, 2:].tolist()}
    assert seen == {(y, x) for y in range(2, 7) for x in range(2, 7)}


@settings(deadline=None, max_examples=40)
@given(size=sizes, seed=st.integers(0, 2**32))
def test_flip_mirrors_where_the_mask_says_and_undoes_itself(
    size: tuple[int, int, int, int], seed: int
) -> None:
    images = batch(size, seed=seed)
    mask = torch.randint(0, 2, (size[0],), generator=generator(seed)).bool()
    flipped = flip_where(images, mask)
    for image, mirrored, chosen in zip(images, flipped, mask, strict=True):
        expected = image.numpy()[..., ::-1] if chosen else image.numpy()
        np.testing.assert_array_equal(mirrored.numpy(), expected)
    assert torch.equal(flip_where(flipped, mask), images)


def test_flip_leaves_about_half_of_the_images() -> None:
    images = torch.arange(2, dtype=torch.uint8).expand(4000, 1, 1, 2)
    flipped = Flip()(images, generator())
    assert 1800 < int(flipped[:, 0, 0, 0].sum()) < 2200


def test_affine_identity_keeps_every_pixel() -> None:
    images = batch((3, 3, 8, 5))
    same = affine_by(images, torch.eye(2, 3).expand(3, 2, 3))
    assert same.dtype == torch.float32
    torch.testing.assert_close(same, images.float(), atol=1e-3, rtol=0)


def test_affine_quarter_turn_is_rot90() -> None:
    images = batch((2, 1, 6, 6))
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(2, 2, 3)
    torch.testing.assert_close(
        affine_by(images, turn), torch.rot90(images, 1, (2, 3)).float(), atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("offset", [(0, 0), (1, 0), (0, -2), (-2, 1)])
def test_affine_translation_is_a_shift(offset: tuple[int, int]) -> None:
    images = batch((1, 2, 7, 4))
    matrix = torch.tensor([[[1.0, 0.0, -offset[1]], [0.0, 1.0, -offset[0]]]])
    expected = shift_by(images.float(), torch.tensor([offset]), 2)
    torch.testing.assert_close(affine_by(images, matrix), expected, atol=1e-2, rtol=0)


def test_affine_turns_wide_images_without_stretching_them() -> None:
    image = torch.zeros(1, 1, 5, 9)
    image[0, 0, 2, 6] = 255  # two pixels right of the centre
    turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    turned = affine_by(image, turn)
    assert turned[0, 0, 0, 4] == pytest.approx(255, abs=0.1)  # two pixels above it


def test_affine_draws_stay_in_their_ranges() -> None:
    amount, side = 10.0, 20
    matrix = Affine(amount).draw(5000, torch.Size((side, side)), generator())
    assert matrix[..., 2].abs().max() <= amount / 100 * side
    linear = matrix[..., :2]
    angle = torch.atan2(linear[:, 1, 0], linear[:, 1, 1])
    assert angle.abs().max() <= math.radians(amount) + 1e-6
    assert angle.abs().max() > math.radians(amount * 0.98)
    scale_y = linear[:, 1].norm(dim=1)
    assert scale_y.min() >= 0.9 - 1e-6
    assert scale_y.max() <= 1.1 + 1e-6
    determinant = torch.linalg.det(linear)
    assert determinant.min() >= 0.9**2 - 1e-5
    assert determinant.max() <= 1.1**2 + 1e-5
    assert matrix.mean(0)[0, 0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [(0, 1, 8, 8), (1, 3, 32, 32), (7, 1, 28, 28)])
def test_every_augmentation_keeps_shape_and_range(
    spec: str, dtype: torch.dtype, size: tuple[int, ...]
) -> None:
    augment = parse_augment(spec)
    images = batch(size, dtype)
    before = images.clone()
    out = augment(images, generator())
    assert out.shape == images.shape
    assert out.dtype == (torch.float32 if "affine" in spec else dtype)
    assert torch.equal(images, before)
    if out.numel():
        assert out.min() >= 0
        assert out.max() <= 255 + 1e-3


@pytest.mark.parametrize("spec", SPECS)
def test_the_generator_decides(spec: str) -> None:
    augment = parse_augment(spec)
    images = batch((16, 1, 12, 12))
    first = augment(images, generator(3))
    torch.manual_seed(5)
    assert torch.equal(augment(images, generator(3)), first)
    if spec not in {"none", "shift:0"}:
        assert not torch.equal(augment(images, generator(4)), first)


def test_none_gives_the_batch_itself() -> None:
    images = batch((2, 1, 3, 3))
    assert parse_augment("none")(images, generator()) is images


@pytest.mark.parametrize("spec", SPECS)
def test_spec_parses_back(spec: str) -> None:
    assert parse_augment(spec).spec == spec
    assert parse_augment(f" {spec.replace(',', ' , ')} ") == parse_augment(spec)


def test_parse_builds_what_is_written() -> None:
    assert parse_augment("shift:4,flip") == Chain((Shift(4), Flip()))
    assert parse_augment("affine:7.5") == Affine(7.5)
    assert parse_augment("none") == Chain()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "known: affine, flip, none, shift"),
        ("shfit:2", "did you mean 'shift'"),
        ("shift", "expected shift:PIXELS"),
        ("shift:two", "invalid literal"),
        ("shift:-1", "expected shift:PIXELS"),
        ("shift:1:2:3", "expected shift:PIXELS"),
        ("shift:1:nan", "expected shift:PIXELS"),
        ("flip:2", "expected flip"),
        ("flip,", "unknown augmentation ''"),
        ("affine:90", "amount up to 45"),
        ("affine:nan", "amount up to 45"),
        ("none,flip", "expected none alone"),
    ],
)
def test_a_bad_spec_is_a_usage_error_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_augment(spec)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["shift:1", "flip", "affine:5"])
def test_a_batch_without_channels_is_refused(spec: str) -> None:
    with pytest.raises(BnnError, match=r"shape \(4, 8, 8\), expected"):
        parse_augment(spec)(batch((4, 8, 8)), generator())
