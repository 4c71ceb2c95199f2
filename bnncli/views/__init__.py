"""See what a gate network computes, and what a comparison found: text, tables, figures."""

from bnncli.views.gates import GateLayer, GateView, view_file, view_run
from bnncli.views.tables import Table, methods_table

__all__ = ["GateLayer", "GateView", "Table", "methods_table", "view_file", "view_run"]
