"""Keys and splits from the name of a file, for sequences that come without."""

from __future__ import annotations

import os
import re

from padless.beam_jobs.readers.values import parse_key

_EXTENSION = re.compile(r"(\.[a-z]+)?(\.gz)?$", re.IGNORECASE)
_ARCHIVE_SPLIT = re.compile(r"_(train|test)$", re.IGNORECASE)


def number_key(path: str, number: int) -> bytes:
    """Returns the key of a sequence: the file's name without its extension, and a number.

    Raises:
        RejectionError: if the name is not UTF-8.

    Example:
        >>> number_key("vowels/JapaneseVowels_TRAIN.ts.gz", 0)
        b'JapaneseVowels_TRAIN/0'
    """
    return parse_key(f"{_stem(path)}/{number}")


def split_of_archive(path: str, part: tuple | None = None) -> str | None:
    """Returns the split by the name of a file, as the UEA and UCR archives have it, or None.

    Example:
        >>> split_of_archive("ECG200_TRAIN.tsv")
        'train'
    """
    match = _ARCHIVE_SPLIT.search(_stem(path))
    return match and match[1].lower()


def _stem(path: str) -> str:
    """Returns a file's name without its extension; one of many shards keeps its number."""
    return _EXTENSION.sub("", os.path.basename(path), count=1)
