"""Randomness as a function of (seed, stream, index), so that a run resumes without stored states."""

from __future__ import annotations

import hashlib

import torch


def mix(seed: int, stream: str, index: int = 0) -> int:
    """Give 32 well-mixed bits for a seed, a named stream and an index in it.

    torch's CPU generator keeps only the low 32 bits of a seed, hence a hash and not a sum.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def generator(seed: int, stream: str, index: int = 0) -> torch.Generator:
    """Give a CPU generator for one use."""
    return torch.Generator().manual_seed(mix(seed, stream, index))


def seed_default(seed: int, device: torch.device) -> None:
    """Seed the default generators that a step on ``device`` draws from.

    ``torch.manual_seed`` does the same for every backend it knows, at 75 µs a call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
