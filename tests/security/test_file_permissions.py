"""Stores have texts and answers of tables: other users of the machine cannot read them."""

import os
import stat

import pytest

import aiquery
from aiquery.runtime.private_files import create_private_file, make_private_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")


@pytest.fixture(autouse=True)
def _open_umask():
    """The user's umask takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


def read_modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_new_stores_and_their_folders_are_for_this_user_only(tmp_path):
    config = {
        "endpoints": {"m": {"provider": "fake"}},
        "cache": {"store": str(tmp_path / "a" / "b" / "answers.sqlite")},
        "runs": {"store": str(tmp_path / "a" / "runs.sqlite")},
    }
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(3) r(i)")
        modes = read_modes(tmp_path)
        assert {"a", "b", "answers.sqlite", "answers.sqlite-wal"} <= set(modes)
    modes |= read_modes(tmp_path)
    names = set(modes)
    assert "runs.sqlite" in names
    assert {name: oct(mode) for name, mode in modes.items()} == {
        name: oct(0o700 if name in {"a", "b"} else 0o600) for name in names
    }


def test_what_exists_stays_as_it_is(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o770)
    (shared / "answers.sqlite").touch(mode=0o660)
    config = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": str(shared / "answers.sqlite")}}
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'text')")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o770
    assert stat.S_IMODE((shared / "answers.sqlite").stat().st_mode) == 0o660


def test_a_file_is_private_from_its_first_moment(tmp_path, monkeypatch):
    """It is not created first and narrowed afterwards."""
    monkeypatch.setattr(os, "chmod", None)
    make_private_folder(tmp_path / "x" / "y")
    create_private_file(tmp_path / "x" / "y" / "z")
    assert set(read_modes(tmp_path).values()) == {0o700, 0o600}
