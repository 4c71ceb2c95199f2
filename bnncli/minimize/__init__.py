"""Make circuits smaller: passes, and levels of optimization that end in a proof."""

from bnncli.minimize.levels import LEVELS, Optimized, optimize
from bnncli.minimize.passes import PASSES, Effort, Pass, PassRecord, find_pass

__all__ = ["LEVELS", "PASSES", "Effort", "Optimized", "Pass", "PassRecord", "find_pass", "optimize"]
