"""The C kernels as seen from Python, and the choice of the backend that computes."""

from __future__ import annotations

from bnncli.native.kernels import (
    ISA_NAMES,
    CBackend,
    available_isas,
    backend_name,
    compiled,
    default_backend,
)

__all__ = [
    "ISA_NAMES",
    "CBackend",
    "available_isas",
    "backend_name",
    "compiled",
    "default_backend",
]
