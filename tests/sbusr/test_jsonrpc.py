from __future__ import annotations

import pickle
from typing import Any

import pytest

from sbusr import jsonrpc

CLASSES: dict[type[jsonrpc.Error], tuple[int, str]] = {
    jsonrpc.FormatError: (
        -32700,
        (
            "Invalid JSON was received by the server. "
            "An error occurred on the server while parsing the JSON text."
        ),
    ),
    jsonrpc.InvalidErrorError: (-32600, "The JSON sent is not a valid Error object."),
    jsonrpc.InvalidParamsError: (-32602, "Invalid method parameter(s)."),
    jsonrpc.InvalidRequestError: (-32600, "The JSON sent is not a valid Request object."),
    jsonrpc.InvalidResponseError: (-32600, "The JSON sent is not a valid Response object."),
    jsonrpc.MethodNotFoundError: (-32601, "The method does not exist / is not available."),
}


@pytest.mark.parametrize("cls", CLASSES)
def test_default_code_and_message(cls: type[jsonrpc.Error]) -> None:
    error = cls("7")
    assert (error.code, error.message) == CLASSES[cls]
    assert error.to_dict() == {
        "jsonrpc": "2.0",
        "id": "7",
        "error": {"code": error.code, "message": error.message},
    }


@pytest.mark.parametrize("cls", [jsonrpc.Error, *CLASSES])
def test_errors_take_all_arguments_and_pickle(cls: type[jsonrpc.Error]) -> None:
    error = cls(id_=1, code=2, message="三", data=[4])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is cls
    assert copy.to_dict() == error.to_dict()
    assert copy.to_json() == (
        '{"jsonrpc":"2.0","id":1,"error":{"code":2,"message":"\\u4e09","data":[4]}}'
    )
    assert str(error) == "[2] 三"


def test_timeout_error_is_a_plain_exception() -> None:
    assert jsonrpc.RpcTimeoutError.__bases__ == (Exception,)


def test_parse_request() -> None:
    request = {"id": "1", "method": "m", "params": ["x"]}
    assert jsonrpc.parse('{"id": "1", "method": "m", "params": ["x"]}') == (request, None, None)
    assert jsonrpc.parse('{"method": "m"}') == ({"method": "m"}, None, None)
    assert jsonrpc.parse('{"method": "中"}'.encode("gbk")) == ({"method": "中"}, None, None)


def test_parse_result_and_error() -> None:
    assert jsonrpc.parse('{"id": 1, "result": null}') == (None, {"id": 1, "result": None}, None)
    error = {"id": None, "error": {"code": 1, "message": "m"}}
    assert jsonrpc.parse('{"id": null, "error": {"code": 1, "message": "m"}}') == (
        None,
        None,
        error,
    )


@pytest.mark.parametrize(
    ("text", "cls", "id_", "hint"),
    [
        ("", jsonrpc.FormatError, None, "Expecting value"),
        ("{", jsonrpc.FormatError, None, "Expecting property name"),
        ("[" * 100_000, jsonrpc.FormatError, None, "nested too deeply"),
        ("[]", jsonrpc.InvalidRequestError, None, "got an array"),
        ("1", jsonrpc.InvalidRequestError, None, "got a number"),
        ("null", jsonrpc.InvalidRequestError, None, "got null"),
        ("{}", jsonrpc.InvalidRequestError, None, "method, result, error"),
        ('{"id": 5}', jsonrpc.InvalidRequestError, 5, "method, result, error"),
        ('{"id": 5, "method": 1}', jsonrpc.InvalidRequestError, 5, "method"),
        ('{"id": 5, "method": ""}', jsonrpc.InvalidRequestError, 5, "method"),
        ('{"id": 5, "method": "m", "params": "x"}', jsonrpc.InvalidRequestError, 5, "a string"),
        ('{"id": true, "method": "m"}', jsonrpc.InvalidRequestError, None, "id must"),
        ('{"id": "", "method": "m"}', jsonrpc.InvalidRequestError, None, "id must"),
        ('{"id": [], "method": "m"}', jsonrpc.InvalidRequestError, None, "id must"),
        ('{"id": 5, "method": "m", "jsonrpc": 2}', jsonrpc.InvalidRequestError, 5, "jsonrpc"),
        ('{"result": 1}', jsonrpc.InvalidResponseError, None, "id is missing"),
        ('{"id": {}, "result": 1}', jsonrpc.InvalidResponseError, None, "id must"),
        ('{"id": 1, "result": 1, "jsonrpc": ""}', jsonrpc.InvalidResponseError, 1, "jsonrpc"),
        ('{"id": 1, "error": 1}', jsonrpc.InvalidErrorError, 1, "an object"),
        ('{"id": 1, "error": {}}', jsonrpc.InvalidErrorError, 1, "code"),
        ('{"id": 1, "error": {"code": true}}', jsonrpc.InvalidErrorError, 1, "code"),
        ('{"id": 1, "error": {"code": 1}}', jsonrpc.InvalidErrorError, 1, "message"),
        ('{"id": 1, "error": {}, "result": 1}', jsonrpc.InvalidErrorError, 1, "exclude"),
    ],
)
def test_parse_refuses(text: str, cls: type[jsonrpc.Error], id_: Any, hint: str) -> None:
    with pytest.raises(cls) as caught:
        jsonrpc.parse(text)
    assert caught.value.id == id_
    assert hint in caught.value.data


def test_conversions() -> None:
    assert jsonrpc.to_bytes("中", "gbk") == b"\xd6\xd0"
    assert jsonrpc.to_str(b"\xd6\xd0", "gbk") == "中"
    assert jsonrpc.to_unicode("中") == "中"
