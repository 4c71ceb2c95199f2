"""Equivalence of circuits: by trying all inputs, by structure, by SAT, or by sampling."""

from bnncli.prove.comparison import METHODS, compare, have_solvers
from bnncli.prove.scores import compare_designs
from bnncli.prove.verdict import Verdict

__all__ = ["METHODS", "Verdict", "compare", "compare_designs", "have_solvers"]
