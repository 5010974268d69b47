"""Bearer tokens of the HTTP interface: who may do what (``WEB_AUTH``).

``python -m sbusr.tokens NAME SCOPE…`` makes one. The settings keep only the token's SHA-256 hash.
A slow hash such as scrypt is for what people think of, which can be guessed; a token has 256
random bits, which cannot, and a slow hash for each request would be a way to stop the daemon.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import secrets
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

__all__ = ["SCOPES", "Scope", "Token", "Tokens", "digest", "main", "make"]

Scope = Literal["flow", "reset", "metrics", "rpc"]
"""What a token may be good for. ``/healthz`` and ``/readyz`` need none."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

_SCHEME = "bearer"


class Token(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One member of ``WEB_AUTH``."""

    name: Annotated[str, Meta(min_length=1)]
    """For the log."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Meta(min_length=1)]


class Tokens:
    """The tokens that there are."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = [(bytes.fromhex(token.sha256), token) for token in tokens]

    def find(self, authorization: str) -> Token | None:
        """The token that a header ``Authorization`` presents; None if it is not known.

        It takes as long for every text of the same length.
        """
        scheme, _, text = authorization.partition(" ")
        presented = hashlib.sha256(text.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for hashed, token in self._tokens:  # all of them, also when it was the first
            if hmac.compare_digest(hashed, presented):
                found = token
        return found if scheme.lower() == _SCHEME else None


def make() -> str:
    """A new token, as its holder sends it."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What the settings keep of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def main(argv: Sequence[str]) -> int:
    """Make a token; print it and its line for the settings.

    Args:
        argv: A name for the log, and scopes.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sbusr.tokens", description="Make a bearer token for the HTTP interface."
    )
    parser.add_argument("name", help="whose it is, for the log")
    parser.add_argument("scopes", nargs="+", choices=SCOPES, help="what it is good for")
    args = parser.parse_args(argv)
    token = make()
    entry = {"name": args.name, "sha256": digest(token), "scopes": args.scopes}
    sys.stdout.write(
        f"The token, which is shown this once:\n\n    {token}\n\n"
        f"A member of the list WEB_AUTH in settings.py:\n\n    {json.dumps(entry)},\n\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
