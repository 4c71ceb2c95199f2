"""From the bytes that a terminal sends to the names of keys."""

from __future__ import annotations

_SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
}
_SINGLE = {
    0x20: "space",
    0x0D: "enter",
    0x0A: "enter",
    0x7F: "backspace",
    0x08: "backspace",
}


def key_names(sent: bytes) -> list[str]:
    """Name the keys in what one read gave; sequences of keys that are not used here are dropped.

    A terminal sends the sequence of a key in one piece; an escape byte alone is the key itself.

    >>> key_names(b"s \\x1b[A+\\x1b")
    ['s', 'space', 'up', '+', 'escape']
    """
    names = []
    at = 0
    while at < len(sent):
        byte = sent[at]
        if byte == 0x1B:
            end = _sequence_end(sent, at)
            name = "escape" if end == at + 1 else _SEQUENCES.get(sent[at:end])
            at = end
        else:
            end = at + 1
            while end < len(sent) and 0x80 <= sent[end] < 0xC0:  # the rest of a UTF-8 character
                end += 1
            character = sent[at:end].decode("utf-8", errors="ignore")
            name = _SINGLE.get(byte, character if character.isprintable() and character else None)
            at = end
        if name is not None:
            names.append(name)
    return names


def _sequence_end(sent: bytes, at: int) -> int:
    """Find where the escape sequence that begins at a position ends."""
    second = sent[at + 1 : at + 2]
    if second == b"O":
        return min(at + 3, len(sent))
    if second != b"[":
        return at + 1
    end = at + 2
    while end < len(sent) and not 0x40 <= sent[end] <= 0x7E:
        end += 1
    return min(end + 1, len(sent))
