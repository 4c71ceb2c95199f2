"""``bnn train``: settings from recipe, file, environment and flags; then the main job."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnncli.cli.console import print_json
from bnncli.cli.options import (
    RUNS,
    AsJson,
    DataDir,
    Device,
    Force,
    Offline,
    Quiet,
    RunsDir,
    check_threads,
    numbers,
    option,
    toml_value,
)
from bnncli.cli.training import Manner, go_on, start
from bnncli.errors import UsageError

if TYPE_CHECKING:
    from bnncli.training.config import Settings

MODEL, DATA, TRAINING, RUN = "Model", "Data", "Training", "Run"

EPILOG = """Examples

[cyan]bnn train --arch smallconv --binary[/]   # on the embedded digits

[cyan]bnn train --arch mlp --widths 256,256 --binary --data mnist[/]

[cyan]bnn train --arch bnn-mlp --epochs 5 --seed 1[/]

[cyan]bnn train gol --rule B36/S23[/]   # a cellular automaton's rule, exactly

[cyan]bnn train --arch mlp --binary --print-config > mine.toml[/]

[cyan]bnn train mine.toml --lr 0.003[/]"""


def _pairs(flag: str, panel: str, whose: str) -> Any:
    help_text = f"An option of the {whose} (bnn list options); may be repeated."
    return option(flag, panel, help_text, metavar="NAME=VALUE")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", epilog=EPILOG)(train)


def train(
    ctx: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A name from bnn list recipes, or a TOML file."),
    ] = None,
    arch: Annotated[
        str | None, option("--arch", MODEL, "Architecture (bnn list archs). Default: smallconv.")
    ] = None,
    arch_option: Annotated[list[str] | None, _pairs("--arch-option", MODEL, "architecture")] = None,
    binary: Annotated[
        bool, typer.Option("--binary", rich_help_panel=MODEL, help="Short for --weights binary.")
    ] = False,
    weights: Annotated[
        str | None, option("--weights", MODEL, "Weight quantizer (bnn list quantizers), or float.")
    ] = None,
    weight_option: Annotated[
        list[str] | None, _pairs("--weight-option", MODEL, "quantizer")
    ] = None,
    activations: Annotated[
        str | None, option("--activations", MODEL, "Activation quantizer, or float.")
    ] = None,
    scale: Annotated[
        str | None, option("--scale", MODEL, "Scale of quantized weights (bnn list scales).")
    ] = None,
    surrogate: Annotated[
        str | None, option("--surrogate", MODEL, "Surrogate gradient of the weights.")
    ] = None,
    activation_surrogate: Annotated[
        str | None, option("--activation-surrogate", MODEL, "The same for the activations.")
    ] = None,
    norm: Annotated[str | None, option("--norm", MODEL, "Norm (bnn list norms).")] = None,
    norm_option: Annotated[list[str] | None, _pairs("--norm-option", MODEL, "norm")] = None,
    widths: Annotated[
        str | None, option("--widths", MODEL, "Hidden layer sizes, such as 256,256.", metavar="N,…")
    ] = None,
    width_factor: Annotated[
        float | None, option("--width-factor", MODEL, "Multiply all layer sizes by this.")
    ] = None,
    dropout: Annotated[
        float | None, option("--dropout", MODEL, "Probability of dropping an activation.")
    ] = None,
    pixels: Annotated[
        str | None, option("--pixels", MODEL, "Pixel scaling: signed (default), unit or standard.")
    ] = None,
    data: Annotated[
        str | None, option("--data", DATA, "Data set (bnn data list). Default: digits.")
    ] = None,
    rule: Annotated[
        str | None,
        option("--rule", DATA, "Short for --data rule:NAME, such as B36/S23 or W110."),
    ] = None,
    data_dir: DataDir = None,
    validation: Annotated[
        int | None, option("--validation", DATA, "Training images held out for validation.")
    ] = None,
    split_seed: Annotated[
        int | None, option("--split-seed", DATA, "Seed that draws them. Default: 0.")
    ] = None,
    augment: Annotated[
        str | None, option("--augment", DATA, "Such as shift:2 or shift:4,flip. Default: none.")
    ] = None,
    offline: Offline = False,
    epochs: Annotated[int | None, option("--epochs", TRAINING, "Default: 20.")] = None,
    batch_size: Annotated[
        int | None, option("--batch-size", TRAINING, "Images per step. Default: 64.")
    ] = None,
    optimizer: Annotated[
        str | None, option("--optimizer", TRAINING, "bnn list optimizers. Default: adam.")
    ] = None,
    optimizer_option: Annotated[
        list[str] | None, _pairs("--optimizer-option", TRAINING, "optimizer")
    ] = None,
    lr: Annotated[
        float | None, option("--lr", TRAINING, "Learning rate. Default: the optimizer's own.")
    ] = None,
    momentum: Annotated[
        float | None, option("--momentum", TRAINING, "Of sgd and averages.")
    ] = None,
    plain_optimizer: Annotated[
        str | None,
        option(
            "--plain-optimizer", TRAINING, "For what the optimizer does not train: adam or sgd."
        ),
    ] = None,
    plain_option: Annotated[
        list[str] | None, _pairs("--plain-option", TRAINING, "plain optimizer")
    ] = None,
    plain_lr: Annotated[float | None, option("--plain-lr", TRAINING, "Its learning rate.")] = None,
    weight_decay: Annotated[
        float | None, option("--weight-decay", TRAINING, "Of real-valued weights. Default: 0.")
    ] = None,
    latent_clip: Annotated[
        float | None, option("--latent-clip", TRAINING, "Bound of latent weights. Default: 1.")
    ] = None,
    schedule: Annotated[
        str | None, option("--schedule", TRAINING, "bnn list schedules. Default: cosine.")
    ] = None,
    warmup: Annotated[
        float | None, option("--warmup", TRAINING, "Epochs of rising learning rate. Default: 0.")
    ] = None,
    label_smoothing: Annotated[
        float | None, option("--label-smoothing", TRAINING, "Default: 0.")
    ] = None,
    precision: Annotated[
        str | None,
        option(
            "--precision", TRAINING, "float32 (default), bfloat16, or auto: bfloat16 where fast."
        ),
    ] = None,
    config: Annotated[
        Path | None, option("--config", RUN, "A TOML file laid over the recipe.")
    ] = None,
    seed: Annotated[int | None, option("--seed", RUN, "Default: 0.", envvar="BNN_SEED")] = None,
    device: Device = "auto",
    threads: Annotated[
        int | None, option("--threads", RUN, "Threads of torch. Default: its own choice.", min=1)
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", rich_help_panel=RUN, help="Refuse operations that vary (on a GPU)."
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
    force: Force = False,
    resume: Annotated[
        str | None, option("--resume", RUN, "Go on with this run.", metavar="RUN")
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", rich_help_panel=RUN, help="Also write TensorBoard scalars."),
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", rich_help_panel=RUN, help="Print the settings and stop."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network, freeze it to bits and evaluate what was frozen."""
    if binary and weights not in {None, "binary"}:
        raise UsageError(f"--binary with --weights {weights}: these contradict; give one of them")
    if rule is not None and data is not None:
        raise UsageError(f"--rule {rule} with --data {data}: these contradict; give one of them")
    if resume is not None:
        _refuse_settings_with_resume(ctx)
    flags: dict[str, dict[str, Any]] = {
        "model": {
            "arch": arch,
            "arch_options": parse_options("--arch-option", arch_option),
            "weights": "binary" if binary else weights,
            "weight_options": parse_options("--weight-option", weight_option),
            "activations": activations,
            "scale": scale,
            "surrogate": surrogate,
            "activation_surrogate": activation_surrogate,
            "norm": norm,
            "norm_options": parse_options("--norm-option", norm_option),
            "widths": None if widths is None else numbers("--widths", widths),
            "width_factor": width_factor,
            "dropout": dropout,
            "pixels": pixels,
        },
        "data": {
            "name": data if rule is None else f"rule:{rule}",
            "validation": validation,
            "split_seed": split_seed,
            "augment": augment,
        },
        "train": {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "optimizer_options": parse_options("--optimizer-option", optimizer_option),
            "lr": lr,
            "momentum": momentum,
            "plain_optimizer": plain_optimizer,
            "plain_options": parse_options("--plain-option", plain_option),
            "plain_lr": plain_lr,
            "weight_decay": weight_decay,
            "latent_clip": latent_clip,
            "schedule": schedule,
            "warmup_epochs": warmup,
            "label_smoothing": label_smoothing,
            "seed": seed,
            "precision": precision,
            "deterministic": deterministic or None,
        },
    }
    check_threads(threads)
    manner = Manner(
        data_dir=data_dir,
        download=not offline,
        device=device if resume is None or _given(ctx, "device") else None,
        threads=threads,
        runs_dir=runs_dir,
        tensorboard=tensorboard,
        as_json=as_json,
        quiet=quiet,
    )
    if resume is not None:
        go_on(resume, manner)
        return
    settings = merge(recipe, config, flags)
    if print_config:
        if as_json:
            print_json({"settings": settings.to_dict()})
        else:
            sys.stdout.write(settings.to_toml())
        return
    start(settings, manner, force=force)


# Options that say how to run, not what: they go with --resume.
WITH_RESUME = {
    *("resume", "data_dir", "offline", "device", "threads", "runs_dir"),
    *("tensorboard", "as_json", "quiet"),
}


def _refuse_settings_with_resume(ctx: typer.Context) -> None:
    for name in ctx.params:
        if name not in WITH_RESUME and _given(ctx, name):
            given = "RECIPE" if name == "recipe" else "--" + name.replace("_", "-")
            raise UsageError(
                f"--resume with {given}: a resumed run keeps its settings; drop {given}, "
                f"or start another run without --resume"
            )


def _given(ctx: typer.Context, name: str) -> bool:
    """Tell whether an option stands on the command line itself."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_options(flag: str, pairs: list[str] | None) -> dict[str, Any] | None:
    """Read ``NAME=VALUE`` texts as TOML values; a value that is none is text as it stands."""
    if not pairs:
        return None
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise UsageError(f"{flag} {pair}: expected NAME=VALUE, such as momentum=0.9")
        options[name] = toml_value(text)
    return options


def merge(recipe: str | None, config: Path | None, flags: dict[str, dict[str, Any]]) -> Settings:
    """Lay flags over the file, over the recipe, over the defaults, and resolve the result."""
    from bnncli.recipes import settings_from
    from bnncli.training.config import Settings, read_settings
    from bnncli.training.experiment import resolve

    settings = Settings() if recipe is None else settings_from(recipe)
    if config is not None:
        settings = read_settings(config, settings)
    given = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in flags.items()
    }
    return resolve(settings.updated(given))
