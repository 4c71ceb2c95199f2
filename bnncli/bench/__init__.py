"""Timing: an interleaving harness, machine records, and suites that list what is compared."""
