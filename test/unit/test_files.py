"""Files come to be whole or not at all; what is no file is never replaced."""

import os
import stat

import pytest
from neomlir import files


def test_a_file_is_replaced_in_one_step(tmp_path):
    place = tmp_path / "f"
    place.write_bytes(b"old")
    with files.replacing(place) as file:
        file.write(b"new")
        assert place.read_bytes() == b"old"
    assert place.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_failure_leaves_what_was_there(tmp_path):
    place = tmp_path / "f"
    place.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(place) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert place.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_link_leads_to_its_file(tmp_path):
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    files.write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    """A device is treated alike: replaced by a file, /dev/null would be lost to the whole machine."""
    pipe, source = tmp_path / "pipe", tmp_path / "source"
    os.mkfifo(pipe)
    source.write_bytes(b"data")
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    files.move(source, pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.read(end, 100) == b"data"
    os.close(end)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe", "source"]


def test_places_where_no_file_can_be(tmp_path):
    assert files.why_not_writable(tmp_path / "f") is None
    assert files.why_not_writable("/dev/null") is None
    assert files.why_not_writable(tmp_path) == "Is a directory"
    assert files.why_not_writable(tmp_path / "no" / "f") == f"there is no folder {tmp_path / 'no'}"
    with pytest.raises(IsADirectoryError):
        files.write_whole(tmp_path, b"")
    with pytest.raises(FileNotFoundError):
        files.write_whole(tmp_path / "no" / "f", b"")
    assert list(tmp_path.iterdir()) == []


def test_modes_heed_the_mask(tmp_path):
    old = os.umask(0o027)
    try:
        (tmp_path / "a").touch()
        files.move(tmp_path / "a", tmp_path / "b", 0o777)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o750
