"""Make circuits smaller: passes, a search, and levels of optimization that end in a proof."""

from bnncli.minimize.levels import LEVELS, Optimized, optimize
from bnncli.minimize.passes import PASSES, Effort, Pass, PassRecord, find_pass
from bnncli.minimize.search import Progress, minimize

__all__ = [
    "LEVELS",
    "PASSES",
    "Effort",
    "Optimized",
    "Pass",
    "PassRecord",
    "Progress",
    "find_pass",
    "minimize",
    "optimize",
]
