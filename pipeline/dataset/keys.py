"""Keys: what is drawn from them, a sequence's split and its place, and what pieces are named.

All come from a hash of (seed, key) alone, so that a sequence stays in its split when others come
or go, on every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

_PIECE = re.compile(rb"\[(\d+):(\d+)\]\Z")
# Makes the draw of what is held out independent of the draw of the split: those in `train` have
# low numbers there.
_HOLD_OUT = b"hold out"


def hash_key(seed: int, key: bytes, *, person: bytes = b"") -> tuple[int, int]:
    """Draws two independent numbers below 2**64 for a key: for its split and for its order.

    Args:
        seed: changes all draws.
        key: name of the sequence, UTF-8.
        person: draws others for each purpose.
    """
    digest = hashlib.blake2b(key, digest_size=16, key=b"%d" % seed, person=person).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def draw_split(key: bytes, seed: int, splits: Iterable[tuple[str, float]]) -> str:
    """Draws a split, each as often as its share says.

    Args:
        key: name of the sequence, UTF-8.
        seed: changes all draws.
        splits: name and share of each; the shares sum to 1.

    Example:
        >>> shares = [("train", 0.8), ("test", 0.2)]
        >>> [draw_split(key, 0, shares) for key in (b"a", b"b", b"c")]
        ['train', 'train', 'test']
    """
    point = hash_key(seed, key)[0] / 2**64
    bound = 0.0
    for name, share in splits:
        bound += share
        if point < bound:
            return name
    return name


def draw_held_out(name: bytes, seed: int, hold_out: Iterable[tuple[str, float]]) -> str | None:
    """Draws the split that holds out a sequence of the training split; None where it stays.

    Args:
        name: key of the sequence, or the name of a group whose sequences go together, UTF-8.
        seed: changes all draws.
        hold_out: name of each split that holds some out, and its share of the training split.

    Example:
        >>> [draw_held_out(key, 0, [("validation", 0.5)]) for key in (b"a", b"b", b"c")]
        [None, 'validation', None]
    """
    point = hash_key(seed, name, person=_HOLD_OUT)[0] / 2**64
    bound = 0.0
    for split, share in hold_out:
        bound += share
        if point < bound:
            return split
    return None


def piece_spans(length: int, longest: int, stride: int | None = None) -> Iterator[tuple[int, int]]:
    """Lists where a long sequence is cut: the first timestep of each piece, and the one after it.

    Args:
        length: timesteps of the sequence, more than `longest`.
        longest: most timesteps of a piece.
        stride: see `padless.beam_jobs.Rules`.

    Example:
        >>> list(piece_spans(10, 4)), list(piece_spans(10, 4, stride=3)), list(piece_spans(9, 4, 3))
        ([(0, 4), (4, 8), (8, 10)], [(0, 4), (3, 7), (6, 10)], [(0, 4), (3, 7), (5, 9)])
    """
    if stride is None:
        yield from ((start, min(start + longest, length)) for start in range(0, length, longest))
        return
    for start in range(0, length - longest + stride, stride):
        start = min(start, length - longest)
        yield start, start + longest


def piece_key(key: bytes, start: int, stop: int) -> bytes:
    """Names a piece of a sequence by the timesteps that it holds, the last one excluded.

    Example:
        >>> piece_key(b"run", 100, 150)
        b'run[100:150]'
    """
    return key + b"[%d:%d]" % (start, stop)


def is_piece_key(key: bytes) -> bool:
    """Checks whether a key is one that `piece_key` could have made."""
    return piece_span(key) is not None


def piece_span(key: bytes) -> tuple[int, int] | None:
    """Returns the timesteps that a piece holds, the last one excluded; None if it is no piece.

    Example:
        >>> piece_span(b"run[100:150]"), piece_span(b"run")
        ((100, 150), None)
    """
    found = _PIECE.search(key)
    return None if found is None else (int(found[1]), int(found[2]))


def place_of(key: bytes, length: int) -> tuple[bytes, tuple[int, int] | None]:
    """Returns the key of the sequence that a record is of, and the timesteps of it that it holds.

    A piece has as many timesteps as its key says: a key of the user may look like one by chance.

    Args:
        key: of the record.
        length: its timesteps.

    Returns:
        The key, and the first timestep and the one after the last; None if it is no piece.

    Example:
        >>> place_of(b"run[100:150]", 50), place_of(b"shelf[0:2]", 9)
        ((b'run', (100, 150)), (b'shelf[0:2]', None))
    """
    span = piece_span(key)
    if span is None or span[1] - span[0] != length:
        return key, None
    return whole_key(key), span


def whole_key(key: bytes) -> bytes:
    """Returns the key of the sequence that a piece was cut from, or the key itself."""
    return _PIECE.sub(b"", key)
