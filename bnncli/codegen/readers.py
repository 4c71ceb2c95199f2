"""Read designs from files: the text form, JSON, AIGER and BLIF, told apart by their beginning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bnncli.circuit.design import Design, PixelInputs
from bnncli.circuit.ir import Circuit
from bnncli.circuit.sums import ClassSums
from bnncli.circuit.text import from_text
from bnncli.codegen.aiger import read_aiger
from bnncli.codegen.blif import read_blif
from bnncli.codegen.jsonform import FORMAT, VERSION
from bnncli.errors import BnnError

if TYPE_CHECKING:
    from pathlib import Path


def read_design(path: Path) -> Design:
    """Read a design from a file; of formats that hold gates only, its name is the file's."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BnnError(f"{path}: cannot be read ({error.strerror or error})") from error
    source = str(path)
    name = path.stem or "circuit"
    if data[:4] in {b"aig ", b"aag "}:
        return Design(name, read_aiger(data, source))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    first = next((line for line in lines if line), "")
    if first.startswith("{"):
        return read_json(text, source)
    if first.startswith("bnn-circuit"):
        return Design(name, from_text(text, source))
    if first.startswith("."):
        return Design(name, read_blif(text, source))
    raise BnnError(
        f"{path}: neither a circuit's text nor JSON, AIGER or BLIF; write one with "
        f"`bnn extract --format text`"
    )


def _row(values: dict[str, Any], key: str, source: str) -> Any:
    row = values.get(key)
    if not isinstance(row, list) or not all(type(value) is int for value in row):
        raise BnnError(f"{source}: expected {key!r} to be a list of integers")
    if any(abs(value) >= 2**31 for value in row):
        raise BnnError(f"{source}: {key!r} has numbers beyond 32 bits")
    return np.array(row, dtype=np.int64)


def _words(values: dict[str, Any], key: str, source: str) -> tuple[str, ...]:
    words = values.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BnnError(f"{source}: expected {key!r} to be a list of texts")
    return tuple(words)


def _number(values: dict[str, Any], key: str, source: str) -> int:
    number = values.get(key)
    if type(number) is not int or not 0 <= number < 2**31:
        raise BnnError(f"{source}: expected {key!r} to be a number from 0 to 2^31 - 1")
    return number


def _bytes(values: dict[str, Any], key: str, source: str) -> Any:
    row = _row(values, key, source)
    if len(row) and not 0 <= row.min() <= row.max() <= 255:
        raise BnnError(f"{source}: expected {key!r} to be bytes, 0 to 255")
    return row.astype(np.uint8)


def _part(values: dict[str, Any], key: str, source: str) -> dict[str, Any] | None:
    part = values.get(key)
    if part is not None and not isinstance(part, dict):
        raise BnnError(f"{source}: expected {key!r} to be an object")
    return part


def read_json(text: str, source: str) -> Design:
    """Read what the emitter ``json`` wrote."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BnnError(f"{source}: not JSON ({error})") from None
    if not isinstance(values, dict) or (values.get("format"), values.get("version")) != (
        FORMAT,
        VERSION,
    ):
        raise BnnError(f'{source}: expected "format": "{FORMAT}" and "version": {VERSION}')
    try:
        return _design(values, source)
    except BnnError as error:
        told = str(error)
        raise BnnError(told if told.startswith(source) else f"{source}: {told}") from None


def _design(values: dict[str, Any], source: str) -> Design:
    gates = values.get("gates")
    if not isinstance(gates, list) or not all(
        isinstance(gate, list) and len(gate) == 3 and all(type(x) is int for x in gate)
        for gate in gates
    ):
        raise BnnError(f"{source}: expected 'gates' to be a list of [truth table, a, b]")
    if any(abs(x) >= 2**31 for gate in gates for x in gate):
        raise BnnError(f"{source}: 'gates' has numbers beyond 32 bits")
    circuit = Circuit.of_gates(
        _number(values, "inputs", source),
        gates,
        _row(values, "outputs", source).tolist(),
        _words(values, "input_names", source),
        _words(values, "output_names", source),
    )
    pixels, sums = _part(values, "pixels", source), _part(values, "sums", source)
    name, task = values.get("name"), values.get("task")
    if not isinstance(name, str) or not name.strip():
        raise BnnError(f"{source}: expected 'name' to be a text")
    if not isinstance(task, str | None):
        raise BnnError(f"{source}: expected 'task' to be a text, such as rule:B3/S23")
    return Design(
        name,
        circuit,
        PixelInputs(
            _number(pixels, "n_pixels", source),
            _row(pixels, "pixel", source).astype(np.int32),
            _bytes(pixels, "threshold", source),
            None if pixels.get("mask") is None else _bytes(pixels, "mask", source),
        )
        if pixels
        else None,
        ClassSums(*(_row(sums, key, source) for key in ("group", "weight", "bias")))
        if sums
        else None,
        _number(values, "channels", source),
        _words(values, "notes", source),
        task,
    )
