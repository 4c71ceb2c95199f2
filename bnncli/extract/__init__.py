"""From packed models to circuits: gates as they are, sums and thresholds as arithmetic."""

from bnncli.extract.model import design_of, n_layers

__all__ = ["design_of", "n_layers"]
