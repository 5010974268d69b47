from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbusr.calls import NO_REPLY, NOTIFY_LIMIT, Calls, error_reply, request_id
from sbusr.jsonrpc import Error
from sbusr.resolver import Resolver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def calls(packages: Path) -> Calls:
    return Calls(Resolver("rpcmethods"))


def run(calls: Calls, body: Any, encoding: str = "utf-8") -> tuple[bytes, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    title, text = calls.execute(raw, encoding)
    assert text.isascii()
    return title, json.loads(text)


def error(calls: Calls, body: Any) -> tuple[int, str, Any]:
    reply = run(calls, body)[1]
    assert "result" not in reply
    return reply["error"]["code"], reply["error"]["message"], reply["error"].get("data")


def test_result(calls: Calls) -> None:
    body = {"jsonrpc": "2.0", "id": "123456", "method": "echo", "params": ["Hello"]}
    assert run(calls, body) == (b"123456", {"jsonrpc": "2.0", "id": "123456", "result": "Hello"})


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("add", [1, 2], 3),
        ("add", {"a": 1, "b": 2}, 3),
        ("add", {"a": 1}, 1),
        ("keyword", {"name": "x"}, "x"),
        ("anything", [], [[], {}]),
        ("anything", {"self": 1, "中": 2}, [[], {"self": 1, "中": 2}]),
        ("Thing.klass", [None], ["Thing", None]),
        ("deep.deeper.bottom", {"a": 1}, "1"),
    ],
)
def test_params_by_position_and_by_name(
    calls: Calls, method: str, params: Any, result: Any
) -> None:
    reply = run(calls, {"id": 1, "method": method, "params": params})[1]
    assert reply["result"] == result


def test_params_may_be_missing(calls: Calls) -> None:
    assert run(calls, {"id": 1, "method": "Thing.static"})[1]["result"] is None


@pytest.mark.parametrize(
    ("id_", "title"),
    [
        ("a", b"a"),
        (7, b"7"),
        (-1.5, b"-1.5"),
        (10**30, str(10**30).encode()),
        (None, b"null"),
        ("中文", "中文".encode("gbk")),
        ("😀", "😀".encode("gb18030")),
        ("\ud800", b"?"),
        ("a\0b", b"a"),
        ("\0", b"null"),
        ("x" * 500, b"x" * 101),
        (" ", b" "),
    ],
)
def test_title_is_the_id(calls: Calls, id_: Any, title: bytes) -> None:
    assert run(calls, {"id": id_, "method": "echo", "params": [0]}) == (
        title,
        {"jsonrpc": "2.0", "id": id_, "result": 0},
    )


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode("gbk"), "utf-8"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode("gbk"), "gbk"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode("gb18030"), "gb18030"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode(), "utf-8"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode(), "ascii"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode("utf-8-sig"), "utf-8"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode() + b"\0\0", "utf-8"),
        (b'{"id": 1, "method": "echo", "params": ["\\u4e2d"]}', "utf-8"),
        ('{"id": 1, "method": "echo", "params": ["中"]}'.encode("big5"), "big5"),
    ],
)
def test_encodings(calls: Calls, body: bytes, encoding: str) -> None:
    assert run(calls, body, encoding)[1]["result"] == "中"


def test_characters_beyond_gbk(calls: Calls) -> None:
    body = '{"id": 1, "method": "echo", "params": ["😀é"]}'
    assert run(calls, body.encode("gb18030"))[1]["result"] == "😀é"
    assert run(calls, body.encode())[1]["result"] == "😀é"


def test_liberal_in_what_it_reads(calls: Calls) -> None:
    assert run(calls, b'{"id": 1, "method": "echo", "params": [NaN]}')[1]["result"] is None
    reply = run(calls, b'{"id": 1, "method": "echo", "params": ["\\ud800"]}')[1]
    assert reply["result"] == "\ud800"


@pytest.mark.parametrize(
    ("body", "code", "id_"),
    [
        (b"", -32700, None),
        (b"{", -32700, None),
        (b'{"id": 5, "method": ', -32700, 5),
        (b'{"id" : "a b" "method": ', -32700, "a b"),
        (b'{"id": 12', -32700, None),
        (b'{"id": 1.5, oops}', -32700, None),
        (b"\xff\xff\xff", -32700, None),
        (b"[]", -32600, None),
        (b"{}", -32600, None),
        (b'{"id": 3}', -32600, 3),
        (b'{"id": 3, "result": 1}', -32600, 3),
        (b'{"id": 3, "method": null}', -32600, 3),
        (b'{"id": true, "method": "add"}', -32600, None),
        (b'{"id": "", "method": "add"}', -32600, None),
        (b'{"method": 1}', -32600, None),
        (b'{"id": 3, "method": "add", "params": 1}', -32600, 3),
        (b'{"id": 3, "method": "add", "params": null}', -32600, 3),
        (b'{"id": 3, "method": "add", "jsonrpc": "1.0"}', -32600, 3),
        (b"[" * 100_000, -32700, None),
        (b'{"id": 3, "method": "add", "params": ' + b"[" * 100_000, -32700, 3),
    ],
)
def test_bad_requests(calls: Calls, body: bytes, code: int, id_: Any) -> None:
    title, reply = run(calls, body)
    assert reply["error"]["code"] == code
    assert reply["id"] == id_
    assert title == (b"null" if id_ is None else str(id_).encode())
    assert reply["error"]["data"], "it says what was wrong"


def test_unknown_method(calls: Calls) -> None:
    assert error(calls, {"id": 1, "method": "os.system", "params": ["x"]}) == (
        -32601,
        "The method does not exist / is not available.",
        "os.system",
    )


@pytest.mark.parametrize(
    ("method", "params", "hint"),
    [
        ("add", [], "argument 'a' is missing"),
        ("add", [1, 2, 3], "3 arguments are given, at most 2 are taken"),
        ("add", {"c": 1, "a": 1}, "there is no argument 'c'"),
        ("keyword", ["x"], "1 arguments are given, at most 0 are taken"),
        ("keyword", [], "argument 'name' is missing"),
        ("positional", {"a": 1, "b": 2}, "there is no argument 'a'"),
        ("Thing.klass", [], "argument 'a' is missing"),
    ],
)
def test_wrong_arguments(calls: Calls, method: str, params: Any, hint: str) -> None:
    code, _, data = error(calls, {"id": 1, "method": method, "params": params})
    assert code == -32602
    assert hint in data


def test_type_error_inside_the_method_is_the_methods(calls: Calls) -> None:
    code, message, data = error(calls, {"id": 1, "method": "wrong_inside", "params": [1]})
    assert code == -32500
    assert message.startswith("TypeError: add() missing")
    assert data == {"type": "TypeError"}


@pytest.mark.parametrize("kind", ["ValueError", "TypeError", "SystemExit"])
def test_exceptions(calls: Calls, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    body = {"id": 1, "method": "fail", "params": [kind, "说"]}
    assert error(calls, body) == (-32500, f"{kind}: 说", {"type": kind})
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "in fail\n" in caplog.text
    assert ", in _call\n" not in caplog.text, "our own frames are of no interest"


def test_exceptions_of_notifications_are_logged(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    assert calls.execute(b'{"method": "fail", "params": ["ValueError"]}') == NO_REPLY
    assert "ValueError" in caplog.text


def test_verbose_gives_tracebacks(packages: Path) -> None:
    calls = Calls(Resolver("rpcmethods"), verbose=True)
    data = error(calls, {"id": 1, "method": "fail", "params": ["ValueError"]})[2]
    assert data["type"] == "ValueError"
    assert "in fail" in data["traceback"]


def test_a_method_may_choose_its_error(calls: Calls) -> None:
    assert error(calls, {"id": 1, "method": "own_error"}) == (4711, "my own", {"why": "because"})


def test_exception_without_text(calls: Calls) -> None:
    assert error(calls, {"id": 1, "method": "bad_text"})[1] == "Bad: (its text cannot be had)"
    assert error(calls, {"id": 1, "method": "fail", "params": ["ValueError"]})[1] == "ValueError"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("message", "(its text cannot be had)"), ("deep", "told"), ("mute", "told")],
)
def test_errors_that_can_hardly_be_told(
    calls: Calls, kind: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"id": 1, "method": "bad_error", "params": [kind]}
    assert error(calls, body) == (4712, message, None)
    assert "'bad_error': [4712]" in caplog.text


def test_result_that_raises_system_exit(calls: Calls) -> None:
    assert error(calls, {"id": 1, "method": "leave_result"})[0] == -32603


def test_requests_cannot_forge_log_lines(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    error(calls, {"id": 1, "method": "x\nERROR forged"})
    error(calls, {"id": 1, "method": "add", "params": {"x\nERROR forged": 1}})
    assert [line for line in caplog.text.splitlines() if line.startswith("ERROR forged")] == []


def test_unserialisable_result(calls: Calls) -> None:
    code, message, _ = error(calls, {"id": 1, "method": "unserialisable"})
    assert code == -32603
    assert message == "The result is not JSON serialisable: object is not JSON serialisable"


def test_result_limit(calls: Calls) -> None:
    overhead = len('{"jsonrpc":"2.0","id":1,"result":""}')
    fits = NOTIFY_LIMIT - overhead
    _, text = calls.execute(b'{"id":1,"method":"big","params":[%d]}' % fits)
    assert len(text) == NOTIFY_LIMIT
    code, message, _ = error(calls, {"id": 1, "method": "big", "params": [fits + 1]})
    assert code == -32603
    assert message == "The result is too large: 16000 bytes, 15999 can be sent."


def test_no_limit(packages: Path) -> None:
    calls = Calls(Resolver("rpcmethods"), limit=None)
    assert len(run(calls, {"id": 1, "method": "big", "params": [100_000]})[1]["result"]) == 100_000


@pytest.mark.parametrize(
    "body",
    [
        {"id": "中" * 20_000, "method": "echo", "params": [1]},
        {"id": 1, "method": "fail", "params": ["ValueError", "中" * 20_000]},
        {"id": "x" * 20_000, "method": "fail", "params": ["ValueError", "中" * 20_000]},
        {"id": 1, "method": "x" * 20_000},
        {"id": 1, "method": "echo", "params": {"x" * 20_000: 1}},
    ],
)
def test_errors_fit_too(calls: Calls, body: Any) -> None:
    title, text = calls.execute(json.dumps(body).encode())
    assert 0 < len(title) <= 101
    assert len(text) <= NOTIFY_LIMIT
    assert json.loads(text)["error"]["code"] < 0


def test_notifications_get_no_reply(calls: Calls) -> None:
    assert calls.execute(b'{"method": "echo", "params": [1]}') == NO_REPLY
    assert calls.execute(b'{"method": "nothing", "params": [1]}') == NO_REPLY
    assert calls.execute(b'{"method": "unserialisable"}') == NO_REPLY


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        (b'{"id": 5, "method": "m"}', 5),
        (b'{"id": "x"}', "x"),
        (b'{"id": null, "method": "m"}', None),
        (b'{"method": "m"}', msgspec.UNSET),
        (b"{}", None),
        (b"[]", None),
        (b"[1]", None),
        (b'[{"method": "m"}, {"id": 7, "method": "m"}, {"id": 8, "method": "m"}]', 7),
        (b'[{"method": "m"}, {"method": "m"}]', msgspec.UNSET),
        (b'{"id": 5, "x": NaN}', 5),
        ('{"id": "中"}'.encode("gbk"), "中"),
    ],
)
def test_request_id(body: bytes, id_: Any) -> None:
    assert request_id(body) == id_


def test_error_reply_with_data_that_has_no_json_form() -> None:
    title, text = error_reply(1, Error(code=1, message="m", data=object()))
    assert title == b"1"
    assert json.loads(text) == {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}}


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "method", "params", "jsonrpc"]) | st.text(), inner)
    ),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
@given(st.binary() | json_like, st.sampled_from(["utf-8", "gbk", "gb18030", "latin-1"]))
def test_anything_gets_at_most_one_sound_reply(calls: Calls, body: bytes, encoding: str) -> None:
    reply = calls.execute(body, encoding)
    if reply != NO_REPLY:
        title, text = reply
        assert 0 < len(title) <= 101
        assert b"\0" not in title
        assert text.isascii()
        message = json.loads(text)
        for each in message if isinstance(message, list) else [message]:
            assert ("result" in each) != ("error" in each)
