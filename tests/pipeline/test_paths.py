"""Paths of this machine and addresses are told apart as Beam tells them apart."""

import pytest
from apache_beam.io.filesystems import FileSystems

from padless.pipeline.paths import is_local, make_absolute


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("x.csv", True),
        ("/data/x.csv", True),
        ("", True),
        ("tfds:mnist", True),
        ("gs:/bucket/x", True),
        ("data/a://b", True),
        ("://b", True),
        ("1s://b", True),
        ("gs://bucket/x", False),
        ("s3a+x.y-z://bucket", False),
        ("mem://", False),
    ],
)
def test_addresses_are_told_as_beam_tells_them(path, local):
    assert is_local(path) == local == (FileSystems.get_scheme(path) is None)


def test_a_relative_path_is_made_absolute_and_not_changed_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert make_absolute("../x/../y") == f"{tmp_path}/../x/../y"
