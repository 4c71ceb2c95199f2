"""Build the C kernels; without a C compiler install without them and say so."""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError


class BuildKernels(build_ext):
    """Let the kernels be optional unless BNN_REQUIRE_KERNEL=1."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (CCompilerError, ExecError, PlatformError):
            if os.environ.get("BNN_REQUIRE_KERNEL") == "1":
                raise
            print(
                "bnncli: the C kernels could not be built; installing without them, the slower "
                "numpy path will be used",
                file=sys.stderr,
            )


setup(
    cffi_modules=["kernels/build_kernels.py:ffibuilder"],
    cmdclass={"build_ext": BuildKernels},
)
