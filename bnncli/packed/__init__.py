"""Packed models: what a trained network becomes, evaluated without torch."""
