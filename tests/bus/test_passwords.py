from __future__ import annotations

import hashlib
import logging
import os
import stat
from pathlib import Path

import pytest

from smartbus.bus import PasswordFile, PasswordFileError
from smartbus.bus.passwords import BAD_PASSWORD, BAD_USER, hash_password
from smartbus.errors import ArgumentError

SALT = "c2FsdHNhbHRzYWx0c2FsdA"  # base 64 without padding


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def cheap(user: str, password: str) -> str:
    """A line whose check takes no time; its parameters are read from the file."""
    derived = hashlib.scrypt(
        password.encode("gb18030"), salt=b"saltsaltsaltsalt", n=2, r=1, p=1, dklen=32
    )
    text = __import__("base64").b64encode(derived).decode().rstrip("=")
    return f"{user}:$scrypt$ln=1,r=1,p=1${SALT}${text}\n"


def touch(path: Path) -> None:
    """Make sure that the change shows, however coarse the clock of the file system is."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_add_and_check(path: Path) -> None:
    assert PasswordFile.add(path, "anna", "geheim")
    assert PasswordFile.add(path, "王", "密码")
    users = PasswordFile(path)
    assert users.users == ["anna", "王"]
    assert users.check("anna", "geheim") == 0
    assert users.check("anna", "Geheim") == BAD_PASSWORD
    assert users.check("anna", "") == BAD_PASSWORD
    assert users.check("王", "密码".encode("gbk")) == 0
    assert users.check("王", "密码".encode()) == BAD_PASSWORD
    assert users.check("bert", "geheim") == BAD_USER
    assert users.check("", "") == BAD_USER


def test_no_password_stands_in_the_file_and_nobody_else_reads_it(path: Path) -> None:
    PasswordFile.add(path, "anna", "geheim")
    assert "geheim" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = hash_password("same"), hash_password("same")
    assert first != second


def test_add_replaces_and_keeps_the_rest(path: Path) -> None:
    path.write_text("# our users\n\n" + cheap("anna", "old") + cheap("bert", "b"))
    assert not PasswordFile.add(path, "anna", "new")
    text = path.read_text()
    assert text.startswith("# our users\n\nbert:")
    users = PasswordFile(path)
    assert users.check("anna", "new") == 0
    assert users.check("anna", "old") == BAD_PASSWORD
    assert users.check("bert", "b") == 0


def test_add_does_not_touch_a_file_of_another_kind(path: Path) -> None:
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    with pytest.raises(PasswordFileError, match=r"users:1: expected"):
        PasswordFile.add(path, "anna", "geheim")
    assert path.read_text().startswith("root:x:0")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("user", ["", "a:b", " a", "a ", "#a", "a\nb", "a\0b", "x" * 64, "王" * 32])
def test_bad_names(path: Path, user: str) -> None:
    with pytest.raises(ArgumentError, match="user name"):
        PasswordFile.add(path, user, "geheim")
    assert not path.exists()


@pytest.mark.parametrize("password", ["", "x" * 128, "a\0b"])
def test_bad_passwords(path: Path, password: str) -> None:
    with pytest.raises(ArgumentError, match="password"):
        PasswordFile.add(path, "anna", password)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("anna", "no colon"),
        ("anna:", "expected"),
        ("anna:geheim", "expected"),
        (f"anna:$md5$1${SALT}${SALT}", "hash has not 32"),
        (f"anna:$md5$1${SALT}$" + "A" * 43, "unknown scheme 'md5'"),
        (f"anna:$scrypt$ln=1,r=1${SALT}$" + "A" * 43, "not of the form"),
        (f"anna:$scrypt$ln=x,r=1,p=1${SALT}$" + "A" * 43, "not of the form"),
        (f"anna:$scrypt$ln=99,r=1,p=1${SALT}$" + "A" * 43, "ln to 20"),
        (f"anna:$scrypt$ln=0,r=1,p=1${SALT}$" + "A" * 43, "ln to 20"),
        (f"anna:$pbkdf2-sha256$0${SALT}$" + "A" * 43, "rounds"),
        (f"anna:$pbkdf2-sha256$many${SALT}$" + "A" * 43, "rounds"),
        ("anna:$scrypt$ln=1,r=1,p=1$?$" + "A" * 43, "salt is no base 64"),
        (f"anna:$scrypt$ln=1,r=1,p=1${SALT}$?", "hash is no base 64"),
        ("anna:$scrypt$ln=1,r=1,p=1$$" + "A" * 43, "salt is empty"),
        (" anna:$scrypt$ln=1,r=1,p=1$c2FsdA$" + "A" * 43, "no blank at an end"),
    ],
)
def test_errors_name_the_line(path: Path, line: str, match: str) -> None:
    path.write_text("# first line\n" + cheap("otto", "o") + line + "\n")
    with pytest.raises(PasswordFileError, match=match) as caught:
        PasswordFile(path)
    assert f"{path}:3: " in str(caught.value)


def test_a_user_twice(path: Path) -> None:
    path.write_text(cheap("anna", "a") + cheap("anna", "b"))
    with pytest.raises(PasswordFileError, match=":2: user 'anna' stands above already"):
        PasswordFile(path)


def test_no_file_and_no_text(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PasswordFile(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PasswordFileError, match="not UTF-8"):
        PasswordFile(path)


def test_pbkdf2_lines(path: Path) -> None:
    derived = hashlib.pbkdf2_hmac("sha256", b"geheim", b"saltsaltsaltsalt", 3, 32)
    text = __import__("base64").b64encode(derived).decode()
    path.write_text(f"anna:$pbkdf2-sha256$3${SALT}${text}\n")
    users = PasswordFile(path)
    assert users.check("anna", "geheim") == 0
    assert users.check("anna", "x") == BAD_PASSWORD


def test_without_scrypt_there_is_pbkdf2(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(hashlib, "scrypt")
    PasswordFile.add(path, "anna", "geheim")
    assert "$pbkdf2-sha256$" in path.read_text()
    assert PasswordFile(path).check("anna", "geheim") == 0
    path.write_text(f"anna:$scrypt$ln=1,r=1,p=1${SALT}$" + "A" * 43)
    with pytest.raises(PasswordFileError, match="no scrypt"):
        PasswordFile(path)


def test_outcomes_are_remembered_until_the_file_changes(path: Path) -> None:
    path.write_text(cheap("anna", "old"))
    users = PasswordFile(path)
    assert users.recall("anna", "old") is None
    assert users.recall("bert", "old") == BAD_USER
    assert users.check("anna", "old") == 0
    assert users.check("anna", "wrong") == BAD_PASSWORD
    assert users.recall("anna", "old") == 0
    assert users.recall("anna", "wrong") == BAD_PASSWORD
    path.write_text(cheap("anna", "new"))
    touch(path)
    assert users.recall("anna", "old") is None
    assert users.check("anna", "old") == BAD_PASSWORD
    assert users.check("anna", "new") == 0


def test_the_memory_of_outcomes_is_bounded(path: Path) -> None:
    path.write_text(cheap("anna", "a"))
    users = PasswordFile(path)
    for number in range(1100):
        users.check("anna", f"guess {number}")
    assert users.recall("anna", "guess 0") is None
    assert users.recall("anna", "guess 1099") == BAD_PASSWORD
    assert len(users._outcomes) == 1024


def test_a_file_that_went_bad_keeps_the_users(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(cheap("anna", "a"))
    users = PasswordFile(path)
    path.write_text("nonsense\n")
    touch(path)
    assert users.check("anna", "a") == 0
    assert users.check("anna", "a") == 0
    path.unlink()
    assert users.check("anna", "a") == 0
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 2
    assert f"{path}:1: no colon" in errors[0]
    assert "is gone" in errors[1]
    path.write_text(cheap("bert", "b"))
    assert users.check("anna", "a") == BAD_USER
    assert users.check("bert", "b") == 0
