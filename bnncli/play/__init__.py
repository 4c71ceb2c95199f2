"""Watch learned cellular automata: a network steps a board, its true rule beside it."""

from bnncli.play.game import Game
from bnncli.play.opening import Automaton, World, open_file, open_run

__all__ = ["Automaton", "Game", "World", "open_file", "open_run"]
