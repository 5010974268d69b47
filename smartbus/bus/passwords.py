"""Users of a bus and their passwords: a text file with one salted hash in a line.

A line is ``user:$scrypt$ln=14,r=8,p=1$salt$hash`` or
``user:$pbkdf2-sha256$rounds$salt$hash``; salt and hash are in base 64. Empty lines and
lines that start with ``#`` are ignored. ``python -m smartbus bus --add-user`` writes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from smartbus.encoding import encode_text
from smartbus.errors import ArgumentError

__all__ = ["PasswordFile", "PasswordFileError", "hash_password"]

_log = logging.getLogger("smartbus.bus")

ACCEPTED: Final = 0
BAD_USER: Final = -5
BAD_PASSWORD: Final = -6

#: Longest user name and password in bytes, as they fit into a registration (NET.md 2.1).
MAX_USER: Final = 63
MAX_PASSWORD: Final = 127

_LN, _R, _P = 14, 8, 1  # scrypt: 16 MiB and some 50 ms
_ROUNDS: Final = 600_000  # PBKDF2, where there is no scrypt
_SALT_BYTES, _HASH_BYTES = 16, 32
# What a line may ask for at most, so that a slip of the pen cannot eat the memory.
_MAX_LN, _MAX_R, _MAX_P, _MAX_ROUNDS = 20, 32, 16, 10_000_000
#: So many outcomes are remembered, so that a reconnecting client costs no hash.
_REMEMBERED: Final = 1024


class PasswordFileError(ValueError):
    """A password file is not as it should be; the text names file and line."""


class _Entry(NamedTuple):
    derive: Callable[[bytes], bytes]
    hash: bytes


def hash_password(password: str) -> str:
    """Return what stands behind ``user:`` in the file, with a new salt.

    Raises:
        ArgumentError: The password does not fit into a registration.
    """
    secret = _secret(password)
    salt = secrets.token_bytes(_SALT_BYTES)
    if hasattr(hashlib, "scrypt"):
        scheme, derive = f"scrypt$ln={_LN},r={_R},p={_P}", _scrypt(_LN, _R, _P, salt)
    else:
        scheme, derive = f"pbkdf2-sha256${_ROUNDS}", _pbkdf2(_ROUNDS, salt)
    return f"${scheme}${_encode(salt)}${_encode(derive(secret))}"


class PasswordFile:
    """The users in a file. The file is read anew when it changes; any thread may ask."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read `path`.

        Raises:
            OSError: It cannot be read.
            PasswordFileError: A line of it is bad.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._key = secrets.token_bytes(32)
        self._outcomes: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._stamp = self._look()
        self._entries = _read(self.path)

    @property
    def users(self) -> list[str]:
        """The names of the users, sorted."""
        return sorted(self._current())

    def check(self, user: str, password: str | bytes) -> int:
        """Return 0 if `password` is the user's, else -5 (no such user) or -6 (wrong password).

        Takes about 50 ms if the outcome is not known from before.
        """
        known = self.recall(user, password)
        if known is not None:
            return known
        entry = self._current().get(user)
        if entry is None:
            return BAD_USER
        secret = _as_bytes(password)
        outcome = (
            ACCEPTED if hmac.compare_digest(entry.derive(secret), entry.hash) else BAD_PASSWORD
        )
        with self._lock:
            if self._entries.get(user) is entry:  # not read anew meanwhile
                self._outcomes[user, self._fingerprint(secret)] = outcome
                if len(self._outcomes) > _REMEMBERED:
                    self._outcomes.popitem(last=False)
        return outcome

    def recall(self, user: str, password: str | bytes) -> int | None:
        """Return the outcome of `check` if that takes no time, else None."""
        if user not in self._current():
            return BAD_USER
        with self._lock:
            return self._outcomes.get((user, self._fingerprint(_as_bytes(password))))

    def _fingerprint(self, secret: bytes) -> bytes:
        # Keyed with this object's own random key: the memory holds no password.
        return hashlib.blake2b(secret, key=self._key).digest()

    def _look(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _current(self) -> dict[str, _Entry]:
        """Return the entries, read anew if the file changed; the old ones if that fails."""
        with self._lock:
            try:
                stamp = self._look()
                if stamp == self._stamp:
                    return self._entries
                self._stamp = stamp  # also if it is bad: say so once
                self._entries = _read(self.path)
            except FileNotFoundError:
                if self._stamp != (0, 0, 0):
                    self._stamp = (0, 0, 0)
                    _log.error("%s is gone; the users known so far stay", self.path)
            except (OSError, PasswordFileError) as error:
                _log.error("the users known so far stay: %s", error)
            else:
                self._outcomes.clear()
                _log.info("%s was read anew: %d user(s)", self.path, len(self._entries))
            return self._entries

    @staticmethod
    def add(path: str | os.PathLike[str], user: str, password: str) -> bool:
        """Set the password of `user` in the file at `path`, which is made if it is missing.

        Returns:
            True if the user is new.

        Raises:
            ArgumentError: The name or the password does not fit into a registration.
            OSError: The file cannot be written.
            PasswordFileError: It is no password file.
        """
        _check_name(user)
        line = f"{user}:{hash_password(password)}"
        path = Path(path)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if lines:
            _parse(lines, path)
        others = [old for old in lines if old.partition(":")[0] != user or old.startswith("#")]
        _write(path, "\n".join([*others, line]) + "\n")
        return len(others) == len(lines)


def _check_name(user: str) -> None:
    if not user or not user.isprintable() or ":" in user or user[0] == "#" or user != user.strip():
        raise ArgumentError(
            -1, f"user name {user!r}: printable, no colon, no blank at an end, no # at the start"
        )
    if len(encode_text(user)) > MAX_USER:
        raise ArgumentError(-1, f"user name {user!r} is longer than {MAX_USER} bytes")


def _secret(password: str) -> bytes:
    secret = encode_text(password)
    if not secret or len(secret) > MAX_PASSWORD or b"\0" in secret:
        raise ArgumentError(-1, f"a password has 1 to {MAX_PASSWORD} bytes and no NUL")
    return secret


def _as_bytes(password: str | bytes) -> bytes:
    return encode_text(password) if isinstance(password, str) else password


def _write(path: Path, text: str) -> None:
    """Replace `path` at once, readable by its owner only."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- reading -----------------------------------------------------------------------------


def _read(path: Path) -> dict[str, _Entry]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PasswordFileError(f"{path}: not UTF-8: {error}") from None
    return _parse(lines, path)


def _parse(lines: list[str], path: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, rest = line.partition(":")
        try:
            if not colon:
                raise ValueError("no colon behind the user name")
            if user in entries:
                raise ValueError(f"user {user!r} stands above already")
            _check_name(user)
            entries[user] = _entry(rest.strip())
        except (ValueError, ArgumentError) as error:
            reason = error.message if isinstance(error, ArgumentError) else error
            raise PasswordFileError(f"{path}:{number}: {reason}") from None
    return entries


def _entry(text: str) -> _Entry:
    parts = text.split("$")
    if len(parts) != 5 or parts[0]:
        raise ValueError("expected $scheme$parameters$salt$hash behind the colon")
    _, scheme, parameters, salt_text, hash_text = parts
    salt, wanted = _decode("salt", salt_text), _decode("hash", hash_text)
    if not salt or len(wanted) != _HASH_BYTES:
        raise ValueError(f"the salt is empty, or the hash has not {_HASH_BYTES} bytes")
    if scheme == "scrypt":
        if not hasattr(hashlib, "scrypt"):
            raise ValueError("this Python has no scrypt")
        return _Entry(_scrypt(*_scrypt_parameters(parameters), salt), wanted)
    if scheme == "pbkdf2-sha256":
        if not parameters.isdecimal() or not 1 <= int(parameters) <= _MAX_ROUNDS:
            raise ValueError(f"rounds {parameters!r} are not in 1..{_MAX_ROUNDS}")
        return _Entry(_pbkdf2(int(parameters), salt), wanted)
    raise ValueError(f"unknown scheme {scheme!r}; there are scrypt and pbkdf2-sha256")


def _scrypt_parameters(text: str) -> tuple[int, int, int]:
    values: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if value.isdecimal():
            values[name] = int(value)
    if values.keys() != {"ln", "r", "p"}:
        raise ValueError(f"parameters {text!r} are not of the form ln=14,r=8,p=1")
    ln, r, p = values["ln"], values["r"], values["p"]
    if not (1 <= ln <= _MAX_LN and 1 <= r <= _MAX_R and 1 <= p <= _MAX_P):
        raise ValueError(f"parameters {text!r}: ln to {_MAX_LN}, r to {_MAX_R}, p to {_MAX_P}")
    return ln, r, p


def _scrypt(ln: int, r: int, p: int, salt: bytes) -> Callable[[bytes], bytes]:
    def derive(secret: bytes) -> bytes:
        memory = 128 * r * ((1 << ln) + p + 2) + (1 << 20)
        return hashlib.scrypt(
            secret, salt=salt, n=1 << ln, r=r, p=p, maxmem=memory, dklen=_HASH_BYTES
        )

    return derive


def _pbkdf2(rounds: int, salt: bytes) -> Callable[[bytes], bytes]:
    def derive(secret: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", secret, salt, rounds, _HASH_BYTES)

    return derive


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii").rstrip("=")


def _decode(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the {name} is no base 64") from None
