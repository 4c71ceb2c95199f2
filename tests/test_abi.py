"""The version number of the compiled kernels changes with their header."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from bnncli.native import kernels

ROOT = Path(__file__).parent.parent
HEADER = ROOT / "kernels" / "include" / "bnn_kernels.h"
STORED = Path(__file__).parent / "golden" / "kernels_abi.txt"


def described() -> str:
    """Give the number in the header, and a digest of its declarations without comments."""
    text = HEADER.read_text()
    number = re.search(r"#define BNN_ABI (\d+)", text)
    assert number is not None
    bare = re.sub(r"/\*.*?\*/", "", text.replace(number.group(0), ""), flags=re.DOTALL)
    digest = hashlib.sha256(" ".join(bare.split()).encode()).hexdigest()
    return f"{number.group(1)} {digest[:16]}\n"


def test_a_changed_header_has_a_new_number() -> None:
    """When this fails raise BNN_ABI in the header and in native/kernels.py, and store the line."""
    assert described() == STORED.read_text()


def test_python_expects_the_number_of_the_header() -> None:
    assert described().split()[0] == str(kernels.ABI)
