"""Pictures of boards as PNG, the same bytes on every machine: two colours, nothing compressed."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PALETTE = bytes([0xF4, 0xF1, 0xEA, 0x1D, 0x3A, 0x56])
"""Dead and alive cells: dark on light, whatever the page around them is."""


def board_png(cells: NDArray[np.uint8]) -> bytes:
    """Draw a board, a pixel a cell.

    Compressors differ from one build of zlib to the next, so the data are stored as they are.
    Shape: (height, width), 0 and 1.
    """
    height, width = cells.shape
    rows = np.packbits(cells, axis=1)
    lines = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()  # 0: no filter
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    parts = [
        (b"IHDR", head),
        (b"PLTE", PALETTE),
        (b"IDAT", zlib.compress(lines, 0)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
