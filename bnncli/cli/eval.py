"""``bnn eval``: every form of a trained network on the whole test set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from bnncli.cli.console import kib, percent, print_json, size_change, stdout, table
from bnncli.cli.options import (
    RUNS,
    AsJson,
    DataDir,
    Device,
    Offline,
    RunsDir,
    Sample,
    Target,
    option,
    packed_file,
)
from bnncli.errors import UsageError

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from bnncli.forms import Evaluation

EPILOG = """Examples

[cyan]bnn eval[/]                    # the latest run

[cyan]bnn eval smallconv --json[/]   # the one run with smallconv in its name

[cyan]bnn eval digits.bnn[/]         # a file from bnn freeze, without torch

[cyan]bnn eval gol --compiled[/]     # its circuit as compiled C, too

[cyan]bnn eval --sample 1[/]         # weights drawn at random once, not signs"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval", epilog=EPILOG)(evaluate)


def evaluate(
    target: Target = None,
    data: Annotated[
        str | None,
        option("--data", "Data", "Another data set of the same shape."),
    ] = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    sample: Sample = None,
    compiled: Annotated[
        bool,
        option("--compiled", "Run", "Also extract the circuit, compile it and evaluate that."),
    ] = False,
    runs_dir: RunsDir = RUNS,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Evaluate the soft, hard and packed forms of a run on its test set, and compare them."""
    from bnncli.forms import evaluate_file, evaluate_run

    file = packed_file(target)
    if file is not None:
        if sample is not None:
            raise UsageError(f"--sample {sample}: {target} is frozen already; give a run instead")
        found = evaluate_file(
            file, data_name=data, data_dir=data_dir, download=not offline, compiled=compiled
        )
    else:
        from bnncli.training.building import pick_device
        from bnncli.training.runs import find_run

        found = evaluate_run(
            find_run(target, runs_dir),
            device=pick_device(device),
            data_name=data,
            data_dir=data_dir,
            download=not offline,
            sample_seed=sample,
            compiled=compiled,
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(stdout(), found)


def _print(console: Console, found: Evaluation) -> None:
    sampled = (
        "" if found.sample_seed is None else f", weights sampled with seed {found.sample_seed}"
    )
    console.print(
        f"{found.source} on the {found.n_images:,} test {found.items} of {found.data}{sampled}",
        markup=False,
        soft_wrap=True,
    )
    rows = [
        (
            form.form,
            percent(form.accuracy),
            f"{form.correct:,}",
            f"{form.images_per_second:,.0f}",
            _size(found, form.form),
        )
        for form in found.forms
    ]
    console.print(table(("form", "accuracy", "correct", f"{found.items}/s", "size"), rows))
    for form in found.forms:
        if form.parts:
            parts = ", ".join(f"{name} {percent(value)}" for name, value in form.parts.items())
            console.print(f"{form.form}: {parts}")
    if found.float_bytes is not None:
        console.print(f"packed is {size_change(found.float_bytes, found.packed_bytes)}")
    console.print(f"kernels {found.backend}")
    _print_difference(console, found)
    if found.compiled_differs is not None:
        console.print(
            f"compiled and packed predictions differ on {found.compiled_differs:,} of "
            f"{found.n_images:,} {found.items}"
        )


def _size(found: Evaluation, form: str) -> str:
    if form == "compiled":
        return ""
    n_bytes = found.packed_bytes if form == "packed" else found.float_bytes
    return "" if n_bytes is None else kib(n_bytes)


def _print_difference(console: Console, found: Evaluation) -> None:
    difference = found.difference
    if difference is None:
        return
    console.print(
        f"packed and hard predictions differ on {difference.n_different:,} of "
        f"{found.n_images:,} {found.items}"
    )
    console.print(f"largest difference of a logit: {difference.max_logit_difference:.3g}")
    for example in difference.examples:
        console.print(
            f"  {found.items[:-1]} {example.index}: label {example.label}, hard {example.hard}, "
            f"packed {example.packed}"
        )
