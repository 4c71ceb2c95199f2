"""``bnn info``: versions, kernels, devices and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnncli.cli.console import print_json, stdout, table
from bnncli.cli.options import AsJson  # noqa: TC001 (typer reads annotations)

if TYPE_CHECKING:
    import typer

EPILOG = """Examples

[cyan]bnn info[/]

[cyan]bnn info --json[/]"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("info", epilog=EPILOG)(info)


def info(as_json: AsJson = False) -> None:
    """Show versions, kernels, devices and folders of this installation."""
    found = installation()
    if as_json:
        print_json(found)
        return
    rows = [(name.replace("_", " "), _shown(value)) for name, value in found.items()]
    stdout().print(table(("what", "here"), rows, left=2))


def installation() -> dict[str, Any]:
    """Collect what a bug report needs."""
    import os

    import torch

    from bnncli.data import cache_dir
    from bnncli.native import available_isas, backend_name
    from bnncli.training.environment import environment

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        **environment(),
        "kernels": backend_name(),
        "instruction_sets": available_isas(),
        "gpus": gpus,
        "cache": str(cache_dir()),
        "data_dir": os.environ.get("BNN_DATA_DIR"),
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
