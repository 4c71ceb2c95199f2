"""``bnn extract``: a network as the smallest circuit found, proven equal, in any format."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnncli.cli.console import print_json, print_note, stderr, table
from bnncli.cli.options import RUNS, AsJson, DataDir, Force, Offline, Quiet, RunsDir, option
from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from bnncli.circuit import Design
    from bnncli.cli.training import Manner
    from bnncli.extract.job import Part, Result
    from bnncli.training.runs import Run

CIRCUIT, PROOF, OUTPUT = "Circuit", "Proof", "Output"

MAX_JOBS = 1024

EPILOG = """Examples

[cyan]bnn extract gol > gate.c[/]                  # train the rule first where there is no run

[cyan]bnn extract gol --rule B36/S23 -o high.v --format verilog[/]

[cyan]bnn extract digits.bnn --pure -o digits.blif --format blif[/]

[cyan]bnn extract --check gate.blif digits.bnn[/]  # are two circuits equal?"""


def register(app: typer.Typer) -> None:
    """Add the command under both of its names."""
    app.command("extract", epilog=EPILOG)(extract)
    app.command("extract-circuit", epilog=EPILOG, hidden=True)(extract)


def extract(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|RUN|FILE",
            help="A recipe such as gol (trained first where there is no run), a run, a packed "
            "model or a netlist. Default: the latest run.",
        ),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="c or another of bnn list formats.", rich_help_panel=OUTPUT
        ),
    ] = "c",
    output: Annotated[
        Path | None,
        option("--output", OUTPUT, "File to write. Default: stdout.", "-o", metavar="FILE"),
    ] = None,
    rule: Annotated[
        str | None,
        option("--rule", CIRCUIT, "Learn another rule than the recipe's, such as B36/S23 or W110."),
    ] = None,
    level: Annotated[
        int,
        typer.Option(
            "-O",
            min=0,
            max=3,
            help="0 as declared, 1 clean, 2 merge equal signals, 3 search.",
            rich_help_panel=CIRCUIT,
        ),
    ] = 3,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            min=0.0,
            help="Time for the passes of -O2 and -O3 together. The proof comes after, and nothing "
            "bounds it. Default: 20 s for the search, and the others to their end.",
            rich_help_panel=CIRCUIT,
        ),
    ] = None,
    shared: Annotated[
        bool | None,
        option(
            "--shared/--no-shared",
            CIRCUIT,
            "Minimize an automaton's operations, work shared between cells, not a cell's gates. "
            "Default: for C.",
        ),
    ] = None,
    pure: Annotated[
        bool,
        option(
            "--pure",
            CIRCUIT,
            "Class sums as adders and the class's index as outputs: gates alone.",
        ),
    ] = False,
    layer: Annotated[
        int | None,
        option("--layer", CIRCUIT, "Only the N-th layer, a circuit of what it reads.", metavar="N"),
    ] = None,
    neuron: Annotated[
        int | None,
        option(
            "--neuron",
            CIRCUIT,
            "Only neuron K of that layer, counted from 0.",
            metavar="K",
            min=0,
        ),
    ] = None,
    inexact_on: Annotated[
        str | None,
        option(
            "--inexact-on",
            CIRCUIT,
            "Also merge signals equal on these training images: smaller, not equal.",
            metavar="DATA",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the search.", rich_help_panel=CIRCUIT)
    ] = 0,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=0,
            max=MAX_JOBS,
            help="Threads; 0: one a core.",
            rich_help_panel=CIRCUIT,
        ),
    ] = 0,
    check: Annotated[
        tuple[str, str] | None,
        option(
            "--check",
            PROOF,
            "Compare two circuits instead: runs, packed models or netlists. Exit code: 0 equal, or "
            "sampled and not proved, which stderr says; 1 different or undecided.",
            metavar="A B",
        ),
    ] = None,
    require_proof: Annotated[
        bool,
        option(
            "--require-proof",
            PROOF,
            "Fail with exit code 1, and write nothing, where equality is not proved.",
        ),
    ] = False,
    data_dir: DataDir = None,
    offline: Offline = False,
    runs_dir: RunsDir = RUNS,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Extract a network's circuit, make it small, prove it equal and write it out."""
    from bnncli.cli.progress import search_view
    from bnncli.cli.training import Manner
    from bnncli.codegen import find_emitter
    from bnncli.data.files import check_output
    from bnncli.extract.files import check_format, emitted, write
    from bnncli.extract.job import Part, run
    from bnncli.extract.work import Wish
    from bnncli.training.signals import stop_on_signals

    part = Part(pure, layer, neuron)
    manner = replace(Manner.plain(runs_dir, quiet=quiet), data_dir=data_dir, download=not offline)
    if check is not None:
        if target is not None or output is not None:
            raise UsageError("--check A B compares and writes nothing; give it alone")
        _check(check, part, manner, seed=seed, as_json=as_json, require_proof=require_proof)
        return
    find_emitter(format_name)
    if as_json and output is None:
        raise UsageError("--json: stdout carries the circuit; give it a file with -o FILE")
    if output is not None:
        check_output(output, force=force)
    path, name = _source(target, rule, manner)

    def begin(design: Design) -> None:
        blank = check_format(design, format_name)
        if output is None and isinstance(blank, bytes) and sys.stdout.isatty():
            raise UsageError(f"--format {format_name}: not for a terminal; give -o FILE")
        view.begin(design)

    if shared is None and format_name != "c":
        shared = False
    wish = Wish(level, budget, seed, jobs, shared)
    with stop_on_signals() as stop, search_view(stderr(), wish, quiet=quiet) as view:
        result = run(
            path,
            wish,
            part,
            name=name,
            inexact_on=inexact_on,
            data_dir=data_dir,
            download=not offline,
            on_design=begin,
            on_progress=view.update,
            should_stop=stop,
        )
    verdict = result.extraction.verdict
    if require_proof and not verdict.proved:
        raise BnnError(f"--require-proof: the circuits are {verdict.sentence()}")
    content = emitted(result.extraction.design, format_name)
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:
        write(content, output)
    if not quiet:
        _print_passes(result)
        _print_summary(result, output)
    if as_json:
        print_json(_to_dict(result, format_name, output))
    if result.extraction.stopped:
        print_note("stopped: this is the best so far; it is not kept in the cache")
        raise typer.Exit(130)


def _source(target: str | None, rule: str | None, manner: Manner) -> tuple[Path, str | None]:
    """Give the file to read and the name of what it holds; train a recipe where there is no run."""
    from bnncli.recipes import recipe_names, settings_from
    from bnncli.training.runs import find_run

    if target is not None and Path(target).is_file():
        if rule is not None:
            raise UsageError(f"--rule {rule}: {target} is a file; give a recipe such as gol")
        return Path(target), None
    if target is not None and Path(target).suffix and not Path(target).exists():
        raise BnnError(
            f"{target}: no such file; give a packed model, a netlist, a run or a recipe such as gol"
        )
    if target is None and rule is not None:
        target = "gol"
    if target in recipe_names():
        from bnncli.cli.training import trained

        settings = settings_from(target)
        if rule is not None:
            settings = settings.updated({"data": {"name": f"rule:{rule}"}})
        run = trained(settings, target, manner)
        return _finished(run), target if rule is None else f"{target}_{rule}"
    if rule is not None:
        raise UsageError(f"--rule {rule}: {target} is no recipe; give one such as gol")
    run = find_run(target, manner.runs_dir)
    return _finished(run), run.name


def _finished(run: Run) -> Path:
    if not run.packed.exists():
        why = run.result().get("packed_error") if run.finished else None
        finish = f"finish it with: bnn train --resume {shlex.quote(str(run.path))}"
        raise BnnError(f"{run.path}: holds no packed model; {why or finish}")
    return run.packed


def _check(
    names: tuple[str, str],
    part: Part,
    manner: Manner,
    *,
    seed: int,
    as_json: bool,
    require_proof: bool,
) -> None:
    from bnncli.extract.files import open_design
    from bnncli.extract.job import check
    from bnncli.extract.work import plain_verdict

    a, b = (
        open_design(path, name=name, pure=part.pure, layer=part.layer, neuron=part.neuron)
        for path, name in (_source(given, None, manner) for given in names)
    )
    verdict = check(a, b, seed=seed)
    if as_json:
        print_json({"a": names[0], "b": names[1], **plain_verdict(verdict)})
    else:
        sys.stdout.write(f"{names[0]} and {names[1]}: {verdict.sentence()}\n")
    if verdict.equal and not verdict.proved and not manner.quiet:
        print_note("sampled, not proved: the circuits agree on every input that was tried")
    if not verdict.equal or (require_proof and not verdict.proved):
        raise typer.Exit(1)


def _print_passes(result: Result) -> None:
    found = result.extraction
    if found.cached:
        print_note("optimized before, taken from the cache")
    cost = "operations" if found.shared else "gates"
    rows = [
        (
            step.name,
            f"{step.before:,}",
            f"{step.after:,}",
            f"{step.seconds:.2f} s" if not step.skipped else "–",
            "the time was up" if step.cut else step.skipped,
        )
        for step in found.steps
    ]
    if rows:
        stderr().print(table(("pass", f"{cost} before", "after", "time", ""), rows))


def _print_summary(result: Result, output: Path | None) -> None:
    found = result.extraction
    circuit = found.design.circuit
    lines = {
        "circuit": f"{found.design.name}: {_count(circuit.n_inputs, 'input')}, "
        f"{_count(circuit.n_outputs, 'output')}, depth {circuit.depth}",
        "gates": f"{found.declared:,} declared, {found.live:,} live, {found.minimized:,} minimized",
    }
    if found.shared_operations is not None:
        lines["shared"] = f"{_count(found.shared_operations, 'operation')} a word of cells"
    before = "declared"
    if result.inexact:
        lines["inexact"] = result.inexact.removeprefix("inexact: ")
        before = "merged"
    lines["proof"] = f"minimized and {before} circuit are {found.verdict.sentence()}"
    if found.unproved is not None:
        lines["unproved"] = (
            f"a circuit of {found.unproved:,} gates was set aside: no proof was found"
        )
    if result.agreement is not None:
        lines["check"] = result.agreement.sentence()
    if output is not None:
        lines["wrote"] = str(output)
    for name, value in lines.items():
        print_note(f"{name:<8} {value}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _to_dict(result: Result, format_name: str, output: Path | None) -> dict[str, Any]:
    return {
        "file": None if output is None else str(output),
        "format": format_name,
        **result.extraction.to_dict(),
        "inexact": result.inexact or None,
        "agreement": None if result.agreement is None else asdict(result.agreement),
    }
