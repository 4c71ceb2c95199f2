"""Augmentation: random shifts, flips and small affine maps of whole batches as tensor operations.

Pixels keep their values 0..255; every random choice comes from the generator that is passed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F

from bnncli.errors import BnnError, UsageError, unknown_name

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Augment(Protocol):
    """Map a batch of images to an augmented batch; ``spec`` is the text that parses to it.

    Shape: (n, channels, height, width) -> the same.
    """

    @property
    def spec(self) -> str:
        """Give the text that :func:`parse_augment` turns into this."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch; the input is left as it is."""


def shift_by(images: Tensor, offsets: Tensor, reach: int, fill: float = 0) -> Tensor:
    """Move each image by its own whole number of pixels: out[i, j] = in[i - dy, j - dx].

    ``offsets`` holds (dy, dx) in [-reach, reach]; pixels from outside are ``fill``. The batch is
    padded once, and each output image is one window of the padded memory, picked by its start.
    Shape: (n, c, h, w), (n, 2) -> (n, c, h, w), dtype kept.
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, (reach, reach, reach, reach), value=fill).contiguous()
    plane, row = padded.stride(1), padded.stride(2)
    corner = reach - offsets
    start = torch.arange(n, device=offsets.device) * channels * plane
    start = start + corner[:, 0] * row + corner[:, 1]
    window = (channels - 1) * plane + (height - 1) * row + width
    n_starts = max(padded.numel() - window + 1, 0)
    windows = padded.as_strided((n_starts, channels, height, width), (1, plane, row, 1))
    return windows.index_select(0, start.to(images.device))


def flip_where(images: Tensor, mask: Tensor) -> Tensor:
    """Mirror the images where ``mask`` is true: out[i, j] = in[i, width - 1 - j].

    Shape: (n, c, h, w), (n,) bool -> (n, c, h, w), dtype kept.
    """
    index = mask.nonzero()[:, 0].to(images.device)
    return images.index_copy(0, index, images.index_select(0, index).flip(3))


def affine_by(images: Tensor, matrix: Tensor) -> Tensor:
    """Sample each image at the pixel coordinates that its matrix gives, bilinearly, 0 outside.

    With p = (x, y, 1) measured in pixels from the centre of the image, out(p) = in(matrix p).
    Shape: (n, c, h, w), (n, 2, 3) -> (n, c, h, w) float32.
    """
    if len(images) == 0:  # affine_grid refuses an empty batch
        return images.float()
    height, width = images.shape[2:]
    ratio = torch.tensor(
        [[1, height / width, 2 / width], [width / height, 1, 2 / height]], dtype=torch.float32
    )
    theta = (matrix * ratio).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class Shift:
    """Move each image by up to ``pixels`` in either axis, uniformly; dtype kept."""

    pixels: int
    fill: float = 0

    @property
    def spec(self) -> str:
        """Give ``shift:PIXELS`` or ``shift:PIXELS:FILL``."""
        return f"shift:{self.pixels}" + (f":{self.fill:g}" if self.fill else "")

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Shift a batch."""
        _check_batch("shift", images)
        offsets = torch.randint(
            -self.pixels,
            self.pixels + 1,
            (len(images), 2),
            generator=generator,
            device=generator.device,
        )
        return shift_by(images, offsets, self.pixels, self.fill)


@dataclass(frozen=True)
class Flip:
    """Mirror each image left to right with probability one half; dtype kept."""

    @property
    def spec(self) -> str:
        """Give ``flip``."""
        return "flip"

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Flip a batch."""
        _check_batch("flip", images)
        mask = torch.randint(0, 2, (len(images),), generator=generator, device=generator.device)
        return flip_where(images, mask.bool())


@dataclass(frozen=True)
class Affine:
    """Turn, scale, shear and shift each image a little; the result is float32.

    With a = ``amount``, uniformly: rotation ±a degrees, shear ±a/2 degrees, scale 1 ± a/100 in
    each axis, shift ±a/100 of the side.
    """

    amount: float

    @property
    def spec(self) -> str:
        """Give ``affine:AMOUNT``."""
        return f"affine:{self.amount:g}"

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Map a batch."""
        _check_batch("affine", images)
        return affine_by(images, self.draw(len(images), images.shape[2:], generator))

    def draw(self, n: int, size: torch.Size, generator: Generator) -> Tensor:
        """Draw ``n`` matrices scale · shear · rotation with a shift for images of (height, width).

        Shape: -> (n, 2, 3) float32 on the CPU.
        """
        unit = torch.rand((6, n), generator=generator, device=generator.device).cpu() * 2 - 1
        angle = unit[0] * math.radians(self.amount)
        shear = torch.tan(unit[1] * math.radians(self.amount / 2))
        part = self.amount / 100
        scale_x, scale_y = 1 + part * unit[2], 1 + part * unit[3]
        cos, sin = torch.cos(angle), torch.sin(angle)
        matrix = torch.empty(n, 2, 3)
        matrix[:, 0, 0] = scale_x * (cos + shear * sin)
        matrix[:, 0, 1] = scale_x * (shear * cos - sin)
        matrix[:, 1, 0] = scale_y * sin
        matrix[:, 1, 1] = scale_y * cos
        matrix[:, 0, 2] = part * size[1] * unit[4]
        matrix[:, 1, 2] = part * size[0] * unit[5]
        return matrix


@dataclass(frozen=True)
class Chain:
    """Apply augmentations in order; an empty chain gives back the batch itself."""

    steps: tuple[Augment, ...] = ()

    @property
    def spec(self) -> str:
        """Give the specs of the steps with commas, or ``none``."""
        return ",".join(step.spec for step in self.steps) or "none"

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch by each step in turn."""
        for step in self.steps:
            images = step(images, generator)
        return images


FORMS = {
    "none": "none",
    "shift": "shift:PIXELS or shift:PIXELS:FILL, such as shift:2",
    "flip": "flip",
    "affine": "affine:AMOUNT with an amount up to 45, such as affine:10",
}


def parse_augment(spec: str) -> Augment:
    """Build the augmentation that a text asks for, such as ``shift:4,flip`` or ``none``."""
    words = [word.strip() for word in spec.split(",")]
    if words == ["none"]:
        return Chain()
    steps = tuple(_parse_step(word) for word in words)
    return steps[0] if len(steps) == 1 else Chain(steps)


def _parse_step(word: str) -> Augment:
    name, *values = word.split(":")
    if name not in FORMS:
        raise unknown_name("augmentation", name, FORMS)
    try:
        if name == "shift" and len(values) in {1, 2}:
            pixels, fill = int(values[0]), float(values[1]) if len(values) == 2 else 0.0
            if pixels >= 0 and 0 <= fill <= 255:
                return Shift(pixels, fill)
        elif name == "affine" and len(values) == 1:
            amount = float(values[0])
            if 0 <= amount <= 45:
                return Affine(amount)
        elif name == "flip" and not values:
            return Flip()
    except ValueError as error:
        raise UsageError(f"augmentation {word!r}: {error}; expected {FORMS[name]}") from error
    alone = " alone" if name == "none" else ""
    raise UsageError(f"augmentation {word!r}: expected {FORMS[name]}{alone}")


def _check_batch(name: str, images: Tensor) -> None:
    if images.ndim != 4:
        raise BnnError(
            f"{name}: images have shape {tuple(images.shape)}, expected (n, channels, height, "
            "width); add the missing axes"
        )
