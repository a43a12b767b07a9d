"""Outputs inside a dataset or a run are rejected, whatever way leads there."""

import json
import os

import pytest

from padless.pipeline.figures import check_picture
from padless.pipeline.protected import check_unprotected

MARKS = {
    "provenance.json": {"format_version": 1, "made": {}, "shards": {}},
    "config.json": {"architecture": {}, "fingerprint": {}, "training": {}},
}


@pytest.fixture(params=MARKS)
def folder(request, tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / request.param).write_text(json.dumps(MARKS[request.param]))
    return folder


@pytest.mark.parametrize(
    "path", ["x.parquet", "inner/x", "new/deep/x", "model.keras", "../folder/x"]
)
def test_a_path_inside_is_rejected(folder, path):
    with pytest.raises(ValueError, match=r"`output` must not be inside a (dataset|training run)"):
        check_unprotected(folder / path)


def test_a_path_by_links_is_rejected(folder, tmp_path, monkeypatch):
    os.symlink(folder, tmp_path / "link")
    os.symlink(folder / "lengths.json", tmp_path / "file")
    os.symlink(tmp_path / "elsewhere", folder / "out")
    for path in (tmp_path / "link" / "x", tmp_path / "file", folder / "out" / "x"):
        with pytest.raises(ValueError, match="`picture` must not be inside a"):
            check_unprotected(path, "picture")
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"got x\.png in"):
        check_picture("x.png")


def test_the_directory_itself_and_what_is_beside_it_are_not_inside(folder, tmp_path):
    for path in (folder, tmp_path / "x", tmp_path / "folder2" / "x", "gs://bucket/folder/x"):
        check_unprotected(path)


@pytest.mark.parametrize("content", ["", "[]", "5", '{"format_version": 1}', "[" * 100_000])
@pytest.mark.parametrize("name", MARKS)
def test_files_of_the_same_name_of_others_protect_nothing(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    check_unprotected(tmp_path / "x")


def test_a_picture_that_cannot_be_written_is_rejected_before_any_work(tmp_path):
    check_picture(tmp_path / "x.PNG")
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not"):
        check_picture(tmp_path / "nowhere" / "x.png")
    with pytest.raises(IsADirectoryError, match="`picture` must be a file"):
        check_picture(tmp_path)
    for name in ("x.xyz", "x"):
        with pytest.raises(ValueError, match=rf"/{name}: the extension .* 'png'.*, got '.*'\."):
            check_picture(tmp_path / name)
