"""Shared test settings: one torch thread, reproducible Hypothesis runs where CI is set."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from hypothesis import settings

settings.register_profile("dev", deadline=None, max_examples=40)
settings.register_profile("ci", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread():
    """Keep small tensors off the thread pool, which is slower for them on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def life(tmp_path_factory):
    """Save a correct circuit of the Game of Life as a packed model's file."""
    from bnncli.packed import save_packed
    from tests.automata import rule_model

    path = tmp_path_factory.mktemp("life") / "life.bnn"
    save_packed(rule_model("B3/S23"), path)
    return path


@pytest.fixture
def game(life):
    """Begin a game of that circuit on a small board."""
    from bnncli.play import Game, open_file

    return Game(open_file(life), (12, 20), seed=3)
