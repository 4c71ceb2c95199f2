"""Make circuits smaller: passes, a search, and levels of optimization that end in a proof."""

from bnncli.minimize.levels import LEVELS, Optimized, OptimizedDesign, optimize, optimize_design
from bnncli.minimize.merging import merge_equal_on
from bnncli.minimize.passes import PASSES, Effort, Pass, PassRecord, find_pass
from bnncli.minimize.search import Progress, minimize
from bnncli.minimize.sums import fold_sums

__all__ = [
    "LEVELS",
    "PASSES",
    "Effort",
    "Optimized",
    "OptimizedDesign",
    "Pass",
    "PassRecord",
    "Progress",
    "find_pass",
    "fold_sums",
    "merge_equal_on",
    "minimize",
    "optimize",
    "optimize_design",
]
