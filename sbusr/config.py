"""Reading the settings: a Python module with the names of the sbusr document.

Everything is checked here, once, so that a mistake is reported when the daemon starts, with the
place where it is.
"""

from __future__ import annotations

import codecs
import copy
import importlib
import logging
import logging.config
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from . import mistakes
from .tokens import Token

__all__ = [
    "ClientSettings",
    "IpcSettings",
    "NetSettings",
    "Settings",
    "SettingsError",
    "TlsSettings",
    "load",
    "set_up_logging",
    "stray_names",
]

NAME = "settings"
"""The module that is read."""

Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
ClientId = Annotated[int, Meta(ge=0, le=255)]
ClientType = Annotated[int, Meta(ge=2, le=255)]


_NAMES = {
    "executor": "EXECUTOR_CONFIG",
    "bus": "SMARTBUS_CONFIG",
    "notify_ttl": "SMARTBUS_NOTIFY_TTL",
    "web_listen": "WEBSERVER_LISTEN",
    "logging": "LOGGING_CONFIG",
}
"""Names in the settings module that are not just the field's."""


class SettingsError(Exception):
    """The settings cannot be used; the text says which one, and why."""


class ClientSettings(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """One member of ``SMARTBUS_CONFIG["clients"]``."""

    local_client_id: ClientId
    local_client_type: ClientType
    master_host: Annotated[str, Meta(min_length=1)]
    master_port: Port
    slaver_host: str | None = None
    slaver_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    author_usr: str | None = None
    author_pwd: str | int | None = None
    ext_info: str | None = None
    encoding: str = "utf-8"


# Settings may have what only the other type uses, so that changing the type is all that it takes
# to change the transport.


class NetInitialize(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``SMARTBUS_CONFIG["initialize"]`` for NET."""

    unitid: Annotated[int, Meta(ge=16, le=47)]
    clientid: Any = None
    clienttype: Any = None


class NetSettings(
    msgspec.Struct, tag_field="type", tag="net", forbid_unknown_fields=True, kw_only=True
):
    """``SMARTBUS_CONFIG`` for NET: clients that connect over TCP."""

    initialize: NetInitialize
    clients: Annotated[list[ClientSettings], Meta(min_length=1)]
    instance: Any = None


class IpcInitialize(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``SMARTBUS_CONFIG["initialize"]`` for IPC."""

    clientid: ClientId
    clienttype: ClientType
    unitid: Any = None


class Instance(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``SMARTBUS_CONFIG["instance"]``."""

    username: str | None = None
    password: str | int | None = None
    ext_info: str | None = msgspec.field(default=None, name="extInfo")
    encoding: str = "utf-8"


class IpcSettings(
    msgspec.Struct, tag_field="type", tag="ipc", forbid_unknown_fields=True, kw_only=True
):
    """``SMARTBUS_CONFIG`` for IPC: one client, over the local socket."""

    initialize: IpcInitialize
    instance: Instance = msgspec.field(default_factory=Instance)
    clients: Any = None


class ExecutorSettings(msgspec.Struct, forbid_unknown_fields=True):
    """``EXECUTOR_CONFIG``."""

    queue_maxsize: Annotated[int, Meta(ge=0)] = 0
    pool_processes: Positive | None = None
    pool_maxtasksperchild: Positive | None = None
    task_timeout: Annotated[float, Meta(gt=0)] | None = None
    """Seconds."""
    max_rss_mb: Positive | None = None


class TlsSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``WEB_TLS``: files in PEM format."""

    certfile: Annotated[str, Meta(min_length=1)]
    """The certificate, and those between it and its root."""
    keyfile: Annotated[str, Meta(min_length=1)] | None = None
    """Its key; None: it is in ``certfile``."""


class Settings(msgspec.Struct, rename=lambda field: _NAMES.get(field, field.upper())):
    """All settings; as JSON they have the names of the settings module."""

    executor: ExecutorSettings
    bus: NetSettings | IpcSettings
    notify_ttl: float
    """Milliseconds."""
    flow_ack_timeout: float
    """Seconds."""
    web_listen: tuple[int, str]
    """Port and address."""
    web_auth: list[Token] | None
    """Who may use HTTP for what; None: everybody for everything."""
    web_tls: TlsSettings | None
    web_rpc: bool
    """Whether methods may be called by HTTP."""
    logging: dict[str, Any]


def load(name: str = NAME) -> Settings:
    """Import and check the settings module.

    Raises:
        SettingsError: It is missing, does not import, or something in it is wrong.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise SettingsError(f"{name}.py does not import: {exc}") from exc
        raise SettingsError(
            f"there is no {name}.py in the current directory, nor beside sbusr_run.py"
        ) from exc
    except (Exception, SystemExit) as exc:
        raise SettingsError(f"{name}.py does not import: {type(exc).__name__}: {exc}") from exc
    return check(module)


def check(module: ModuleType) -> Settings:
    """Check a settings module.

    Raises:
        SettingsError: Something in it is wrong.
    """
    bus = _value(module, "SMARTBUS_CONFIG")
    if isinstance(bus, dict) and "type" in bus and bus["type"] not in ("net", "ipc"):
        where = mistakes.place(module, "SMARTBUS_CONFIG", ("type",))
        text = f'SMARTBUS_CONFIG.type: {bus["type"]!r} is neither "net" nor "ipc"'
        raise SettingsError(f"{where}: {text}")
    settings = Settings(
        executor=_convert(module, "EXECUTOR_CONFIG", ExecutorSettings),
        bus=_convert(module, "SMARTBUS_CONFIG", NetSettings | IpcSettings),
        notify_ttl=_convert(module, "SMARTBUS_NOTIFY_TTL", Annotated[float, Meta(gt=0)]),
        flow_ack_timeout=_convert(module, "FLOW_ACK_TIMEOUT", Annotated[float, Meta(gt=0)]),
        web_listen=_convert(
            module, "WEBSERVER_LISTEN", tuple[Annotated[int, Meta(ge=0, le=65535)], str]
        ),
        web_auth=_optional(module, "WEB_AUTH", list[Token]),
        web_tls=_optional(module, "WEB_TLS", TlsSettings),
        web_rpc=bool(_optional(module, "WEB_RPC", bool)),
        logging=_convert(module, "LOGGING_CONFIG", dict[str, Any]),
    )
    place = f"{mistakes.place(module, 'SMARTBUS_CONFIG')}: SMARTBUS_CONFIG"
    if isinstance(settings.bus, IpcSettings):
        _check_encoding(settings.bus.instance.encoding, f"{place}['instance']")
    else:
        _check_clients(settings.bus.clients, place)
    return settings


def _check_clients(clients: list[ClientSettings], where: str) -> None:
    ids = set()
    for number, client in enumerate(clients):
        place = f"{where}['clients'][{number}]"
        if client.local_client_id in ids:
            raise SettingsError(f"{place}: localClientId {client.local_client_id} is there twice")
        ids.add(client.local_client_id)
        _check_encoding(client.encoding, place)


def _check_encoding(name: str, place: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError as exc:
        raise SettingsError(f"{place}: {exc}") from exc


def stray_names() -> Iterator[tuple[int, str]]:
    """What in the settings module looks like a setting and is none; after `load`.

    Yields:
        Level for the log, and what is to say. It is a warning where a setting may have been meant;
        other names may be for the methods.
    """
    known = [field.encode_name for field in msgspec.structs.fields(Settings)]
    for text, meant in mistakes.strays(sys.modules[NAME], known):
        yield logging.WARNING if meant else logging.DEBUG, text


def _value(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        meant = mistakes.near(name, filter(str.isupper, vars(module)))
        hint = meant.replace("did you mean", "is it")
        raise SettingsError(f"{mistakes.place(module)}: {name} is missing{hint}") from None


def _convert(module: ModuleType, name: str, kind: Any) -> Any:
    try:
        return msgspec.convert(_value(module, name), kind)
    except msgspec.ValidationError as exc:
        raise SettingsError(mistakes.describe(module, name, kind, str(exc))) from None


def _optional(module: ModuleType, name: str, kind: Any) -> Any:
    """A setting that came later than the document: it may be missing, which is the same as None."""
    return _convert(module, name, kind) if getattr(module, name, None) is not None else None


def set_up_logging(config: dict[str, Any], *, verbose: bool = False) -> None:
    """Configure logging as ``LOGGING_CONFIG`` says.

    Directories of log files are made where they are missing. A file that cannot be written is
    reported on the terminal and left out.

    Args:
        config: The settings' dictionary; it is not changed.
        verbose: Show everything, whatever level the settings have.

    Raises:
        SettingsError: The dictionary is no valid configuration.
    """
    config = copy.deepcopy(config)
    config.setdefault("disable_existing_loggers", False)
    try:
        handlers = config.get("handlers", {})
        unusable = {name for name, handler in handlers.items() if not _is_writable(handler)}
        for name in unusable:
            del handlers[name]
        for user in (config.get("root", {}), *config.get("loggers", {}).values()):
            user["handlers"] = [name for name in user.get("handlers", ()) if name not in unusable]
            if verbose:
                user["level"] = "DEBUG"
        logging.config.dictConfig(config)
    except (ValueError, TypeError, AttributeError, ImportError) as exc:
        reason = f"{exc}: {exc.__cause__}" if exc.__cause__ else str(exc)
        raise SettingsError(f"LOGGING_CONFIG: {reason}") from exc


def _is_writable(handler: dict[str, Any]) -> bool:
    """Whether a handler can write its file, if it has one."""
    filename = handler.get("filename")
    if filename is None:
        return True
    path = Path(filename)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            return True
    except OSError as exc:
        sys.stderr.write(f"sbusr: cannot write the log file {path}: {exc.strerror}\n")
        return False
