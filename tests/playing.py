"""What tests of playing share: the table of the Game of Life, escape codes, keys."""

from __future__ import annotations

import re

from bnncli.data import rule_table

LIFE = rule_table("B3/S23")
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def press(game, *keys):
    """Press keys one after another."""
    for key in keys:
        game.press(key)
