"""See what a gate network computes: which functions, how sure, how many of them matter."""

from bnncli.views.gates import GateLayer, GateView, view_file, view_run

__all__ = ["GateLayer", "GateView", "view_file", "view_run"]
