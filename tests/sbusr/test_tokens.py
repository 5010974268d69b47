from __future__ import annotations

import json

import msgspec
import pytest

from sbusr import tokens
from sbusr.tokens import Token, Tokens


def token(name: str, text: str) -> Token:
    return Token(name=name, sha256=tokens.digest(text), scopes=["flow"])


def test_who_presents_what() -> None:
    known = Tokens([token("one", "a"), token("two", "b")])
    for header, name in (("Bearer a", "one"), ("bearer  b ", "two"), ("BEARER b", "two")):
        found = known.find(header)
        assert found is not None
        assert found.name == name
    for header in (
        "",
        "a",
        "Bearer",
        "Bearer ",
        "Bearer c",
        "Basic a",
        "Bearer a b",
        "Bearer \xff",
    ):
        assert known.find(header) is None
    assert Tokens([]).find("Bearer a") is None


def test_tokens_are_long_and_new() -> None:
    made = {tokens.make() for _ in range(100)}
    assert len(made) == 100
    assert {len(text) for text in made} == {43}


def test_making_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert tokens.main(["ops", "flow", "metrics"]) == 0
    text, entry = (line for line in capsys.readouterr().out.splitlines() if line[:4] == " " * 4)
    made = msgspec.convert(json.loads(entry.strip().rstrip(",")), Token)
    assert (made.name, made.scopes) == ("ops", ["flow", "metrics"])
    assert text.strip() not in entry
    assert Tokens([made]).find(f"Bearer {text.strip()}") == made


def test_scope_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tokens.main(["ops", "everything"])
    assert "invalid choice: 'everything'" in capsys.readouterr().err
