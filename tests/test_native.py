"""How the kernels are built, chosen and announced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnncli.errors import BnnError, UsageError
from bnncli.native import CBackend, available_isas, backend_name, default_backend, kernels
from bnncli.packed.reference import NumpyBackend

ROOT = Path(__file__).resolve().parent.parent
C_SOURCES = sorted((ROOT / "kernels/src").glob("*.c"))
FUZZERS = ("fuzz", "fuzz_logic_layers", "fuzz_trees", "fuzz_logic_eval", "fuzz_circuit")
C_OPTIONS = [
    *("-std=c11", "-Wall", "-Wextra", "-Werror"),
    *(f"-I{ROOT / 'kernels' / folder}" for folder in ("include", "src")),
]

needs_kernels = pytest.mark.skipif(not kernels.compiled(), reason="the C kernels are not built")


@pytest.fixture(autouse=True)
def _fresh_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_KERNEL", raising=False)
    monkeypatch.delenv("BNN_ISA", raising=False)
    default_backend.cache_clear()


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_lib", None)
    monkeypatch.setattr(kernels, "_IMPORT_ERROR", "No module named '_kernels'", raising=False)


@pytest.mark.skipif(
    os.environ.get("BNN_REQUIRE_KERNEL") != "1", reason="BNN_REQUIRE_KERNEL=1 is not set"
)
def test_required_kernels_are_active() -> None:
    assert default_backend().name.startswith("c:")


@needs_kernels
def test_default_is_the_fastest_instruction_set(capfd: pytest.CaptureFixture[str]) -> None:
    assert default_backend().name == backend_name() == f"c:{available_isas()[-1]}"
    assert capfd.readouterr() == ("", "")


@needs_kernels
@pytest.mark.parametrize("isa", available_isas())
def test_isa_is_chosen_by_argument_and_environment(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CBackend(isa=isa).name == f"c:{isa}"
    monkeypatch.setenv("BNN_ISA", isa)
    assert CBackend().name == f"c:{isa}"


@needs_kernels
@pytest.mark.parametrize("isa", ["sse9", "AVX2", "neon" if "avx2" in available_isas() else "avx2"])
def test_unknown_isa_is_refused_in_one_line(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_ISA", isa)
    with pytest.raises(UsageError, match=rf"{isa}.*one of: ref, scalar") as caught:
        CBackend()
    assert "\n" not in str(caught.value)


def test_numpy_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BNN_KERNEL", "numpy")
    assert isinstance(default_backend(), NumpyBackend)
    assert backend_name() == "numpy"
    assert capfd.readouterr() == ("", "")


def test_unknown_kernel_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_KERNEL", "fortran")
    with pytest.raises(UsageError, match=r"fortran.*auto, c, numpy"):
        default_backend()


@pytest.mark.usefixtures("no_kernels")
def test_missing_kernels_are_announced_once_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert backend_name() == "numpy"
    assert capfd.readouterr() == ("", "")
    assert default_backend() is default_backend()
    assert default_backend().name == "numpy"
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--no-cache-dir --force-reinstall" in err


@pytest.mark.usefixtures("no_kernels")
def test_missing_kernels_are_an_error_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_isas() == []
    monkeypatch.setenv("BNN_KERNEL", "c")
    with pytest.raises(BnnError, match="cannot be loaded"):
        default_backend()


@needs_kernels
def test_backends_do_not_accept_each_others_weights() -> None:
    words = np.zeros((4, 2), dtype=np.uint64)
    for maker, user in [(NumpyBackend(), CBackend()), (CBackend(), NumpyBackend())]:
        with pytest.raises(BnnError, match="another backend"):
            user.xor_gemm(words, maker.prepare(words, 128))
    scalar, fastest = CBackend("scalar"), CBackend()
    assert fastest.xor_gemm(words, scalar.prepare(words, 128)).tolist() == [[128] * 4] * 4


def test_native_imports_without_torch() -> None:
    code = "import sys, bnncli.native; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout == "False\n"


def run(*command: str | Path, **environment: str) -> str:
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Compile the kernels with sanitizers, once for all programs that drive them."""
    folder = tmp_path_factory.mktemp("sanitized")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler named cc")
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    probe = subprocess.run(["cc", *SANITIZERS, empty, "-o", folder / "empty"], check=False)
    if probe.returncode != 0:
        pytest.skip("cc cannot link the sanitizers")
    for source in C_SOURCES:
        run("cc", *C_OPTIONS, *SANITIZERS, "-c", source, "-o", folder / f"{source.stem}.o")
    return sorted(folder.glob("*.o"))


@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_c_sources_are_clean_under_sanitizers(
    fuzzer: str, sanitized: list[Path], tmp_path: Path
) -> None:
    program = tmp_path / fuzzer
    source = ROOT / "tests/kernels" / f"{fuzzer}.c"
    run("cc", *C_OPTIONS, *SANITIZERS, source, *sanitized, "-o", program, "-lm", "-lpthread")
    assert run(program, "40", "7").startswith("40 cases: ref scalar")


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None,
    reason="no aarch64 cross compiler with qemu-user",
)
@pytest.mark.parametrize("fuzzer", FUZZERS)
def test_c_sources_run_on_aarch64(fuzzer: str, tmp_path: Path) -> None:
    program = tmp_path / fuzzer
    sources = [*C_SOURCES, ROOT / "tests/kernels" / f"{fuzzer}.c"]
    cross = ("aarch64-linux-gnu-gcc", "-O1", "-static", *C_OPTIONS)
    run(*cross, *sources, "-o", program, "-lm", "-lpthread")
    assert run("qemu-aarch64", program, "20", "8") == "20 cases: ref scalar neon\n"


def build_without_compiler(tmp_path: Path, required: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("setuptools")
    return subprocess.run(
        [
            *(sys.executable, "setup.py", "build_ext"),
            *("--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "CC": str(tmp_path / "no-cc"), "BNN_REQUIRE_KERNEL": required},
    )


def test_build_without_a_compiler_says_so_and_succeeds(tmp_path: Path) -> None:
    found = build_without_compiler(tmp_path, required="0")
    assert found.returncode == 0
    lines = [line for line in found.stderr.splitlines() if "numpy path will be used" in line]
    assert len(lines) == 1


def test_build_without_a_compiler_fails_when_kernels_are_required(tmp_path: Path) -> None:
    found = build_without_compiler(tmp_path, required="1")
    assert found.returncode != 0
    assert "no-cc" in found.stderr
