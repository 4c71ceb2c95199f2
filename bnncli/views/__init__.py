"""See what a gate network computes, and what a comparison found: text, tables, figures, live boards."""

from bnncli.views.gates import GateLayer, GateView, view_file, view_run
from bnncli.views.live import LiveBoard, live_board
from bnncli.views.tables import Table, methods_table

__all__ = [
    "GateLayer",
    "GateView",
    "LiveBoard",
    "Table",
    "live_board",
    "methods_table",
    "view_file",
    "view_run",
]
