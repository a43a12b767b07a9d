"""Files and directories are whole or not there."""

import os

import pytest

from padless.pipeline.written_whole import delete_unfinished, unfinished, written_whole


@pytest.fixture(params=["file", "directory"])
def write(request):
    """Writes a file, or a directory with one, of a content; returns how to read it."""
    is_file = request.param == "file"

    def write_content(path, content):
        if not is_file:
            path.mkdir()
        path = path if is_file else path / "part"
        with path.open("x") as file:  # nothing may be there from before
            file.write(content)

    write_content.read = lambda path: (path if is_file else path / "part").read_text()
    return write_content


def test_it_replaces_what_was_there(write, tmp_path):
    path = tmp_path / "x"
    for content in ("first", "second"):
        with written_whole(path, durable=True) as beside:
            assert beside.parent == path.parent
            write(beside, content)
        assert write.read(path) == content
        assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(write, tmp_path, error):
    path = tmp_path / "x"
    write(path, "before")

    def fail():
        with written_whole(path) as beside:
            write(beside, "half")
            raise error

    with pytest.raises(error):
        fail()
    assert write.read(path) == "before"
    assert os.listdir(tmp_path) == ["x"]


def test_a_move_that_fails_leaves_what_was_there(write, tmp_path, monkeypatch):
    path = tmp_path / "x"
    write(path, "before")
    replace = type(path).replace

    def fail(source, target):
        if source.name == unfinished("x"):
            raise PermissionError("in use")
        return replace(source, target)

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(PermissionError, match="in use"), written_whole(path) as beside:
        write(beside, "after")
    assert write.read(path) == "before"
    assert os.listdir(tmp_path) == ["x"]


def test_nothing_is_left_where_nothing_was_written(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"incomplete\.x"),
        written_whole(tmp_path / "x"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    (tmp_path / unfinished("file")).write_text("a longer half")
    (tmp_path / unfinished("directory")).mkdir()
    (tmp_path / unfinished("directory") / "old").write_text("")
    with written_whole(tmp_path / "file") as beside:
        beside.write_text("whole")
    with written_whole(tmp_path / "directory") as beside:
        beside.mkdir()
    assert (tmp_path / "file").read_text() == "whole"
    assert os.listdir(tmp_path / "directory") == []


def test_delete_unfinished_deletes_nothing_else(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / unfinished("file")).write_text("")
    (tmp_path / unfinished("directory")).mkdir()
    delete_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_writers_that_share_a_place_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "x"
    with written_whole(path, shared=True) as one, written_whole(path, shared=True) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["x"]


def test_what_a_killed_writer_left_is_removed_by_the_next_one_of_the_same_file(tmp_path):
    path = tmp_path / "x"
    child = os.fork()
    if not child:
        with written_whole(path, shared=True) as beside:
            beside.write_text("half")
            os._exit(0)  # as a kill: nothing is cleaned up
    os.waitpid(child, 0)
    left = os.listdir(tmp_path)
    assert len(left) == 2
    (tmp_path / ".incomplete.0123abcd.x").write_text("mine")
    with written_whole(tmp_path / "y", shared=True) as beside:
        beside.write_text("another file")
    assert set(left) < set(os.listdir(tmp_path))
    with written_whole(path, shared=True) as beside:
        beside.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == [".incomplete.0123abcd.x", "x", "y"]
