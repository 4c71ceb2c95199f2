"""Train networks made of bits, freeze them into packed words, and run exactly what was trained."""

__version__ = "0.1.0"
