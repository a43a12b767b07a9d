"""A full disk is called that, with the file."""

import errno
import os

import pytest
import tensorflow as tf

from padless.cli.main import _explain
from padless.pipeline.full_disk import full_disk_named
from padless.pipeline.written_whole import written_whole

FULL = "x/events.out; No space left on device"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (tf.errors.ResourceExhaustedError(None, None, FULL), errno.ENOSPC),
        (OSError("Unable to write (errno = 122, message = 'Disk quota exceeded')"), errno.EDQUOT),
        (OSError(errno.ENOSPC, "x"), errno.ENOSPC),
        (ValueError(FULL), errno.ENOSPC),
    ],
)
def test_a_full_disk_is_named_whoever_found_it(tmp_path, error, number):
    with pytest.raises(OSError, match=os.strerror(number)) as caught, full_disk_named("a/b"):
        raise error
    assert (caught.value.errno, caught.value.filename) == (number, "a/b")

    def write():
        with written_whole(tmp_path / "file") as beside:
            beside.write_text("x")
            raise error

    with pytest.raises(OSError, match=f"{os.strerror(number)}.*file"):
        write()
    assert os.listdir(tmp_path) == []


def test_other_errors_stay_what_they_are():
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with pytest.raises(tf.errors.ResourceExhaustedError), full_disk_named("a"):
        raise error
    assert "Out of memory" in _explain(error)


def test_a_full_disk_is_no_lack_of_memory():
    error = tf.errors.ResourceExhaustedError(None, None, FULL)
    assert _explain(error) == f"TensorFlow: {FULL}"
