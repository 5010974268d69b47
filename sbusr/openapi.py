"""``GET /openapi.json``: the HTTP interface described for programs, as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

import smartbus

from .jsonhandler import JsonHandler
from .tokens import Scope

__all__ = ["OpenApiHandler", "document"]

_Json = dict[str, Any]


class OpenApiHandler(JsonHandler):
    """``GET /openapi.json``."""

    def get(self) -> None:
        """Answer 200."""
        self.answer(self.settings["openapi"])


def document(*, tokens: bool, rpc: bool) -> _Json:
    """The description.

    Args:
        tokens: Callers need tokens.
        rpc: There is ``/api/rpc``.
    """

    def operation(
        name: str, summary: str, responses: _Json, scope: Scope | None = None, **more: Any
    ) -> _Json:
        common = {"403": _error(_FORBIDDEN), "413": _error("The body is too large.")}
        if tokens and scope:
            common["401"] = _error("No token, or one that is not known.")
            more["security"] = [{"bearer": [scope]}]
        return {
            "operationId": name,
            "summary": summary,
            **more,
            "responses": {**responses, **common, "default": _error("Anything else.")},
        }

    reset = "Replace the worker processes, so that methods are loaded anew"
    paths: _Json = {
        "/api/flow": {
            "post": operation(
                "startFlow",
                "Start a flow, and wait for its result if asked to",
                _FLOW_RESPONSES,
                "flow",
                requestBody=_body({"$ref": "#/components/schemas/FlowCall"}),
            )
        },
        "/sys/reset": {
            "get": operation("reset", reset, _RESET_RESPONSES, "reset"),
            "post": operation("resetByPost", reset, _RESET_RESPONSES, "reset"),
        },
        "/healthz": {
            "get": operation(
                "health", "Whether the daemon works", {"200": _ok("It does.", _state("ok"))}
            )
        },
        "/readyz": {
            "get": operation(
                "readiness",
                "Whether requests are executed and their replies can be sent",
                {
                    "200": _ok("They are.", _readiness("ready")),
                    "503": _ok("They are not.", _readiness("not ready")),
                },
            )
        },
        "/metrics": {
            "get": operation("metrics", "Numbers for Prometheus", _METRICS_RESPONSES, "metrics")
        },
        "/openapi.json": {
            "get": operation("openapi", "This document", {"200": _ok("It.", {"type": "object"})})
        },
    }
    if rpc:
        paths["/api/rpc"] = {
            "post": operation(
                "call",
                "Execute a JSON-RPC 2.0 request, or a batch of them",
                _RPC_RESPONSES,
                "rpc",
                requestBody={**_body(_RPC_BODY), "required": False},
            )
        }
    components: _Json = {"schemas": _SCHEMAS}
    if tokens:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "sbusr", "version": smartbus.__version__},
        "paths": paths,
        "components": components,
    }


def _ok(description: str, schema: _Json) -> _Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error(description: str) -> _Json:
    return _ok(description, {"$ref": "#/components/schemas/Error"})


def _body(schema: _Json) -> _Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _object(properties: _Json, *optional: str, open_: bool = False) -> _Json:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": open_,
    }


def _state(value: str) -> _Json:
    return _object({"status": {"const": value}})


def _readiness(value: str) -> _Json:
    missing = {"type": "array", "items": {"type": "string"}}
    return _object({"status": {"const": value}, "missing": missing})


def _number(description: str, highest: int) -> _Json:
    return {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": highest,
        "description": description,
    }


_FORBIDDEN = (
    "The token has not the scope; or a browser sent this for a page of another site, or under a "
    "host name that is none of this machine."
)
_TEXT: _Json = {"type": "string"}
_IDENTIFIER: _Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": 31,
    "description": "31 bytes as GBK at most.",
}

_SCHEMAS: _Json = {
    "Error": _object(
        {
            "error": _object(
                {
                    "status": {"type": "integer", "description": "The HTTP status."},
                    "message": _TEXT,
                    "field": {"type": "string", "description": "What in the body is wrong."},
                    "code": {"type": "integer", "description": "IPSC's code."},
                    "msg": {"type": "string", "description": "IPSC's message."},
                    "traceback": {"type": "string", "description": "Why new code fails."},
                },
                *("field", "code", "msg", "traceback"),
                open_=True,
            )
        }
    ),
    "FlowCall": _object(
        {
            "project": _IDENTIFIER,
            "flow": _IDENTIFIER,
            "params": {"type": ["array", "null"]},
            "server": _number("Unit of the IPSC; any if missing.", 15),
            "process": _number("Index of the IPSC process; any if missing.", 255),
            "wait": {
                "type": ["boolean", "null"],
                "description": "Answer when the flow has returned, with its result.",
            },
            "timeout": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "maximum": 3600,
                "description": "Seconds to wait for the result (30); only with wait.",
            },
        },
        *("params", "server", "process", "wait", "timeout"),
    ),
    "Started": _object(
        {
            "server": {"type": "integer"},
            "process": {"type": "integer"},
            "project": _TEXT,
            "flow": _TEXT,
            "invokeid": {"type": "integer"},
            "ack": {"const": 1},
            "msg": _TEXT,
            "result": {"type": "array", "description": "If it was waited for."},
        },
        "result",
    ),
    "RpcReply": {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "number", "null"]},
            "result": True,
            "error": _object({"code": {"type": "integer"}, "message": _TEXT, "data": True}, "data"),
        },
        "required": ["jsonrpc", "id"],
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
        "additionalProperties": False,
    },
}

_FLOW_RESPONSES: _Json = {
    "200": _ok("It has started, or returned.", {"$ref": "#/components/schemas/Started"}),
    "400": _error("The body is wrong."),
    "404": _error("There is no such server or process."),
    "502": _error("IPSC refuses, or the flow's result is no list."),
    "503": _error("No IPSC is on the bus."),
    "504": _error("IPSC does not acknowledge, or the flow not return, in time."),
}

_RESET_RESPONSES: _Json = {
    "200": _ok(
        "All workers are new.",
        _object({"workers": {"type": "array", "items": {"type": "integer"}}}),
    ),
    "409": _error("The new code does not start; the old workers go on."),
}

_METRICS_RESPONSES: _Json = {
    "200": {
        "description": "Text format of Prometheus.",
        "content": {"text/plain": {"schema": _TEXT}},
    }
}

_RPC_BODY: _Json = {
    "description": "Whatever else it is, the reply says what is wrong with it.",
    "examples": [{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": ["Hello"]}],
}

_RPC_RESPONSES: _Json = {
    "200": _ok(
        "The reply, which may be an error; to a batch an array.",
        {
            "oneOf": [
                {"$ref": "#/components/schemas/RpcReply"},
                {"type": "array", "items": {"$ref": "#/components/schemas/RpcReply"}},
            ]
        },
    ),
    "204": {"description": "It was a notification, or there were only such."},
}
