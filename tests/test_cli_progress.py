"""What training shows while it runs."""

from __future__ import annotations

import io

from rich.console import Console
from rich.live import Live

from bnncli.cli.progress import SHOWN_EPOCHS, LiveView, PlainView, minutes, training_view
from bnncli.training.records import EpochRecord
from bnncli.training.tensorboard import TensorBoardReporter

EPOCHS = 30


class Unreadable:
    """Stand in for a loss on a device: to read it would wait."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the loss was read: {name}")


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.91, 0.92, 0.93, 0.04, 1e-3, 1.5, 1.0, 0.5)


def terminal(width: int) -> Console:
    return Console(
        file=io.StringIO(), width=width, height=50, force_terminal=True, color_system=None
    )


def drawn(view: LiveView, width: int, *, step: int | None = None) -> list[str]:
    view.live.console.width = width
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view.table() if step is None else view.bar(step, 100))
    return console.file.getvalue().splitlines()


def test_the_live_table_keeps_the_last_epochs_and_the_best_one():
    view = LiveView(Live(console=terminal(80), auto_refresh=False), EPOCHS)
    for epoch in range(20):
        view.on_epoch(record(epoch), is_best=epoch in {2, 5})
    for width in (80, 120):
        lines = drawn(view, width)
        assert [int(line.split()[0]) for line in lines[1:]] == [6, *range(9, 21)]
        assert len(lines) == 1 + 1 + SHOWN_EPOCHS
        assert [line for line in lines if "best" in line] == [lines[1]]
        assert all(word in lines[0] for word in ("val hard", "val soft", "flips"))
        assert "…" not in "".join(lines)


def test_a_narrow_terminal_gets_fewer_columns_and_a_low_one_fewer_epochs():
    view = LiveView(Live(console=terminal(80), auto_refresh=False), 100)
    for epoch in range(99):
        view.on_epoch(record(epoch), is_best=epoch == 2)
    for width in (60, 69):
        lines = drawn(view, width)
        assert len(lines) == 1 + 1 + SHOWN_EPOCHS
        assert not any(word in lines[0] for word in ("val soft", "flips", "lr"))
        assert all(word in lines[0] for word in ("loss", "train", "val hard", "seconds"))
        assert len(drawn(view, width, step=9899)) == 1
    for height in (10, 6):
        view.live.console.height = height
        lines = drawn(view, 80) + drawn(view, 80, step=9899)
        assert len(lines) < height
        assert lines[-2].split()[0] == "99"


def test_the_bar_tells_epoch_step_and_rest():
    view = LiveView(Live(console=terminal(80), auto_refresh=False), EPOCHS)
    view.on_step(1, 100, Unreadable())
    (line,) = drawn(view, 80, step=1425)
    assert line.startswith("epoch 15/30 ")
    assert "step 25/100" in line
    assert line.rstrip().endswith("left")


def test_steps_draw_nothing_between_frames():
    console = terminal(80)
    live = Live(console=console, auto_refresh=False)
    view = LiveView(live, EPOCHS)
    view.on_step(1, 100, Unreadable())
    first = live.renderable
    for step in range(2, 50):
        view.next_frame_at = float("inf")
        view.on_step(step, 100, Unreadable())
    assert live.renderable is first


def test_where_stderr_is_no_terminal_each_epoch_is_one_line():
    console = Console(file=io.StringIO(), width=80)
    with training_view(console, EPOCHS, quiet=False) as view:
        assert isinstance(view, PlainView)
        view.on_step(1, 100, Unreadable())
        view.on_epoch(record(0), is_best=True)
        view.on_epoch(record(1), is_best=False)
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("epoch 1/30  loss 0.5000  train 91.00 %  val hard 92.00 %")
    assert first.endswith("best")
    assert second.startswith("epoch 2/30")
    assert not second.endswith("best")


def test_of_many_short_epochs_about_one_a_second_is_a_line(monkeypatch):
    console = Console(file=io.StringIO(), width=200)
    view = PlainView(console, EPOCHS)
    now = 100.0
    monkeypatch.setattr("bnncli.cli.progress.time.monotonic", lambda: now)
    for epoch in range(EPOCHS):
        now += 0.3
        view.on_epoch(record(epoch), is_best=False)
    shown = [int(line.split()[1].split("/")[0]) for line in console.file.getvalue().splitlines()]
    assert shown == [*range(1, SHOWN_EPOCHS + 1), 16, 20, 24, 28, EPOCHS]


def test_a_terminal_gets_the_live_view_and_quiet_gets_nothing():
    with training_view(terminal(80), EPOCHS, quiet=False) as view:
        assert isinstance(view, LiveView)
    console = terminal(80)
    with training_view(console, EPOCHS, quiet=True) as view:
        view.on_epoch(record(0), is_best=True)
    assert console.file.getvalue() == ""


def test_minutes():
    assert [minutes(s) for s in (0, 59.9, 60, 3725)] == ["0:00", "0:59", "1:00", "62:05"]


def test_tensorboard_gets_every_number_of_an_epoch_at_its_epoch():
    written = {}

    class Writer:
        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written[name, epoch] = value

        def flush(self) -> None:
            """Nothing is buffered here."""

    reporter = TensorBoardReporter(Writer())
    reporter.on_step(1, 100, Unreadable())
    reporter.on_epoch(record(3), is_best=False)
    values = record(3).to_dict()
    del values["epoch"]
    assert written == {(name, 3): value for name, value in values.items()}
