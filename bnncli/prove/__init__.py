"""Equivalence of circuits: by trying all inputs, by structure, by SAT, or by sampling."""

from bnncli.prove.comparison import METHODS, compare
from bnncli.prove.verdict import Verdict

__all__ = ["METHODS", "Verdict", "compare"]
