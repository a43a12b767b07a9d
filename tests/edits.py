"""Edits of JSON files and of bytes, as someone who means harm, or a bad disk, makes them."""

import copy
import json
import random

VALUES = [
    *(None, True, False, 0, -1, 1, 3, 2**70, -(2**70), 1.5, float("inf"), float("nan")),
    *("", "x", "\ud800", "a" * 300, "../x", "1e999", "-1", "99999999999"),
    *([], {}, [[]], {"a": 1}, [1, 2], [None]),
]
PIECES = [b"[", b"{", b"}", b'"', b"\xff", b"0", b",", b"NaN", b"[" * 100_000, b"9" * 5000]


def list_paths(tree, path=()):
    """Yields the path of keys and indices to each part of a tree."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if _is_list(tree) else ()
    for key, part in items:
        yield from list_paths(part, (*path, key))


def _is_list(tree):
    return isinstance(tree, list)


def edit_bytes(data, rng):
    """Flips bits, cuts the end off, or puts something in."""
    place = rng.randrange(len(data))
    kind = rng.randrange(3)
    if kind == 0:
        flipped = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    return data[:place] if kind == 1 else data[:place] + rng.choice(PIECES) + data[place:]


def edit_tree(tree, rng):
    """Replaces, deletes, renames or inserts a part of what JSON holds."""
    tree = copy.deepcopy(tree)
    path = rng.choice(list(list_paths(tree)))
    if not path:
        return rng.choice(VALUES)
    *outer, last = path
    parent = tree
    for key in outer:
        parent = parent[key]
    value, kind = copy.deepcopy(rng.choice(VALUES)), rng.randrange(5)
    if kind <= 2:
        parent[last] = value
    elif kind == 3:
        del parent[last]
    elif isinstance(parent, dict):
        parent[rng.choice(["x", "", f"{last}_", "9", "-3", "\ud800"])] = parent.pop(last)
    else:
        parent.insert(last, value)
    return tree


def answer_to(call):
    """Returns the message that something is rejected with, None if it is not."""
    try:
        call()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def edits_of(data, count, seed=0):
    """Yields edits of a JSON file: a third of its bytes, two thirds of what they mean."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 3:
            yield json.dumps(edit_tree(json.loads(data), rng)).encode()
        else:
            yield edit_bytes(data, rng)
