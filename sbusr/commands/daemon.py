"""A running daemon, asked by HTTP."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from argparse import ArgumentParser, Namespace
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sbusr import exits
from sbusr.config import SettingsError, load

from .output import complain

__all__ = [
    "TOKEN",
    "UNREACHED",
    "Answer",
    "DaemonError",
    "add_arguments",
    "ask",
    "ask_json",
    "give_up",
]

TOKEN: Final = "SBUSR_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the bearer token, where the daemon wants one."""


class DaemonError(Exception):
    """There is no answer; the text says why."""


UNREACHED: Final = (SettingsError, DaemonError)
"""What asking raises; see `give_up`."""


class Answer(NamedTuple):
    """What the daemon answered."""

    status: int
    """HTTP status."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which is a JSON object.

        Raises:
            DaemonError: It is none, so this was another server.
        """
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DaemonError(f"that is no sbusr daemon: HTTP {self.status}, {self.body[:100]!r}")
        return value

    @property
    def problem(self) -> str:
        """The error that it tells."""
        error = self.json().get("error")
        text = error.get("message") if isinstance(error, dict) else None
        hint = f" (the variable {TOKEN} holds the token)" if self.status in {401, 403} else ""
        return f"HTTP {self.status}: {text or 'no reason given'}{hint}"


def add_arguments(parser: ArgumentParser, timeout: float) -> None:
    """Let a command know how to reach the daemon, and how long to wait."""
    parser.add_argument(
        "--url",
        help="where the daemon is, such as http://127.0.0.1:8080 (default: as settings.py says)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=timeout,
        metavar="SECONDS",
        help="how long to wait for an answer (default: %(default)g)",
    )


def ask(args: Namespace, path: str) -> Answer:
    """Send a GET request; no proxy is used.

    Args:
        args: Those of `add_arguments`.
        path: Path of the URL.

    Raises:
        DaemonError: Nobody answers.
        SettingsError: The settings do not say where the daemon is.
    """
    url = args.url or _url()
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
        raise SettingsError(f"{url!r} is no URL such as http://127.0.0.1:8080")
    connection = (
        http.client.HTTPSConnection(
            parts.hostname, port, timeout=args.timeout, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, port, timeout=args.timeout)
    )
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise DaemonError(f"no answer from {url}: {str(exc) or type(exc).__name__}") from exc
    finally:
        connection.close()


def ask_json(args: Namespace, path: str, no: int) -> tuple[bool, dict[str, Any]]:
    """Send a GET request that is answered yes or no.

    Args:
        args: Those of `add_arguments`.
        path: Path of the URL.
        no: HTTP status that means no; 200 means yes.

    Returns:
        Whether it is yes, and the body.

    Raises:
        DaemonError: Nobody answers, or something else.
        SettingsError: As `ask`.
    """
    answer = ask(args, path)
    value = answer.json()
    if answer.status not in {200, no}:
        raise DaemonError(answer.problem)
    return answer.status == 200, value


def give_up(exc: SettingsError | DaemonError) -> int:
    """Say why there is no answer; returns the exit code."""
    complain(str(exc))
    return exits.SETTINGS if isinstance(exc, SettingsError) else exits.UNAVAILABLE


def _url() -> str:
    settings = load()
    port, address = settings.web_listen
    if not port:
        raise SettingsError("WEBSERVER_LISTEN lets the system choose the port; give --url")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
    scheme = "http" if settings.web_tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
