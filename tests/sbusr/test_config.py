from __future__ import annotations

import copy
import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import settings as default_settings
from sbusr import config


def module(**changes: Any) -> ModuleType:
    """The default settings with changes; None removes."""
    made = ModuleType("settings")
    for name in dir(default_settings):
        if name.isupper():
            setattr(made, name, copy.deepcopy(getattr(default_settings, name)))
    for name, value in changes.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def client(**changes: Any) -> ModuleType:
    made = module()
    made.SMARTBUS_CONFIG["clients"][0].update(changes)
    return made


def auth(**changes: Any) -> ModuleType:
    return module(WEB_AUTH=[{"name": "x", "sha256": "0" * 64, "scopes": ["flow"], **changes}])


def test_default_settings_are_sound() -> None:
    settings = config.check(module())
    (first,) = settings.bus.clients
    assert (first.master_host, first.master_port) == ("127.0.0.1", 8089)
    assert settings.bus.initialize.unitid == 19
    assert settings.web_listen == (8080, "127.0.0.1")
    assert settings.notify_ttl == 10_000
    assert settings.flow_ack_timeout == 15
    assert settings.executor.pool_processes == 1
    assert (settings.web_auth, settings.web_tls) == (None, None)


def test_the_documents_own_values_are_accepted() -> None:
    settings = config.check(client(masterHost="10.4.62.45"))
    assert settings.bus.clients[0].master_host == "10.4.62.45"
    config.check(module(EXECUTOR_CONFIG={"queue_maxsize": 0, "pool_processes": None}))
    config.check(module(WEBSERVER_LISTEN=[8080, ""]))
    config.check(client(authorUsr="u", authorPwd=123, slaverHost="127.0.0.2", slaverPort=8089))


def test_settings_that_came_later_may_be_missing() -> None:
    made = module()
    for name in ("WEB_AUTH", "WEB_TLS", "WEB_RPC"):
        delattr(made, name)
    assert config.check(made) == config.check(module())


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (module(EXECUTOR_CONFIG=None), "EXECUTOR_CONFIG is missing"),
        (module(SMARTBUS_CONFIG=None), "SMARTBUS_CONFIG is missing"),
        (module(LOGGING_CONFIG=7), "LOGGING_CONFIG: Expected `object`, got `int`"),
        (module(FLOW_ACK_TIMEOUT="15"), "FLOW_ACK_TIMEOUT: Expected `float`, got `str`"),
        (module(FLOW_ACK_TIMEOUT=0), "FLOW_ACK_TIMEOUT: Expected `float` > 0"),
        (module(WEBSERVER_LISTEN=(8080,)), "WEBSERVER_LISTEN: Expected `array` of length 2"),
        (module(WEBSERVER_LISTEN=("a", "b")), "WEBSERVER_LISTEN[0]: Expected `int`, got `str`"),
        (
            module(EXECUTOR_CONFIG={"pool_size": 1}),
            "EXECUTOR_CONFIG: Object contains unknown field `pool_size`",
        ),
        (
            module(EXECUTOR_CONFIG={"pool_processes": 0}),
            "EXECUTOR_CONFIG.pool_processes: Expected `int` >= 1",
        ),
        (module(SMARTBUS_CONFIG=[]), "SMARTBUS_CONFIG: Expected `object`, got `array`"),
        (module(SMARTBUS_CONFIG={}), "SMARTBUS_CONFIG: Object missing required field `type`"),
        (
            module(SMARTBUS_CONFIG={"type": "udp"}),
            'SMARTBUS_CONFIG.type: \'udp\' is neither "net" nor "ipc"',
        ),
        (client(masterPort=0), "SMARTBUS_CONFIG.clients[0].masterPort: Expected `int` >= 1"),
        (client(masterport=1), "SMARTBUS_CONFIG.clients[0]: Object contains unknown field"),
        (client(localClientType=1), "SMARTBUS_CONFIG.clients[0].localClientType: Expected"),
        (module(WEB_AUTH={}), "WEB_AUTH: Expected `array`, got `object`"),
        (module(WEB_AUTH=[{"name": "x"}]), "WEB_AUTH[0]: Object missing required field `sha256`"),
        (auth(sha256="ab"), "WEB_AUTH[0].sha256: Expected `str` matching regex"),
        (auth(scopes=["all"]), "WEB_AUTH[0].scopes[0]: Invalid enum value 'all'"),
        (auth(scopes=[]), "WEB_AUTH[0].scopes: Expected `array` of length >= 1"),
        (auth(token="t"), "WEB_AUTH[0]: Object contains unknown field `token`"),
        (module(WEB_RPC=1), "WEB_RPC: Expected `bool`, got `int`"),
        (module(WEB_TLS={}), "WEB_TLS: Object missing required field `certfile`"),
        (module(WEB_TLS={"certfile": 1}), "WEB_TLS.certfile: Expected `str`, got `int`"),
        (client(encoding="utf-9"), "SMARTBUS_CONFIG['clients'][0]: unknown encoding: utf-9"),
    ],
)
def test_mistakes_are_named(made: ModuleType, text: str) -> None:
    with pytest.raises(config.SettingsError) as caught:
        config.check(made)
    assert text in str(caught.value)


def ipc(*missing: str, **changes: Any) -> ModuleType:
    """Settings for IPC as in the document; changes of their initialize and instance."""
    initialize: dict[str, Any] = {"clientid": 1, "clienttype": 19}
    instance: dict[str, Any] = {"username": "u", "password": "p", "extInfo": "i"}
    for name, value in changes.items():
        (initialize if name in initialize else instance)[name] = value
    for name in missing:
        initialize.pop(name, None)
    bus = {"type": "ipc", "initialize": initialize, "instance": instance}
    return module(SMARTBUS_CONFIG=bus)


def test_ipc() -> None:
    bus = config.check(ipc(password=5)).bus
    assert isinstance(bus, config.IpcSettings)
    assert (bus.initialize.clientid, bus.initialize.clienttype) == (1, 19)
    found = bus.instance
    assert (found.username, found.password, found.ext_info) == ("u", 5, "i")
    assert found.encoding == "utf-8"
    made = ipc(encoding="gbk")
    del made.SMARTBUS_CONFIG["instance"]
    bus = config.check(made).bus
    assert isinstance(bus, config.IpcSettings)
    assert bus.instance == config.Instance()


def test_what_belongs_to_the_other_type_is_tolerated() -> None:
    made = module()
    net = config.check(made).bus
    made.SMARTBUS_CONFIG["type"] = "ipc"
    ipc = config.check(made).bus
    assert isinstance(net, config.NetSettings)
    assert isinstance(ipc, config.IpcSettings)
    assert ipc.initialize.clientid == 19
    made.SMARTBUS_CONFIG.update(
        type="net", initialize={"unitid": 20}, instance={"whatever": None, "it": "is"}
    )
    config.check(made)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (ipc("clientid"), "SMARTBUS_CONFIG.initialize: Object missing required field `clientid`"),
        (ipc("clienttype"), "SMARTBUS_CONFIG.initialize: Object missing required field"),
        (ipc(clientid=256), "SMARTBUS_CONFIG.initialize.clientid: Expected `int` <= 255"),
        (ipc(clientid="1"), "SMARTBUS_CONFIG.initialize.clientid: Expected `int`, got `str`"),
        (ipc(clienttype=1), "SMARTBUS_CONFIG.initialize.clienttype: Expected `int` >= 2"),
        (ipc(username=1), "SMARTBUS_CONFIG.instance.username: Expected `str | null`, got `int`"),
        (ipc(user="u"), "SMARTBUS_CONFIG.instance: Object contains unknown field `user`"),
        (ipc(encoding="x"), "SMARTBUS_CONFIG['instance']: unknown encoding: x"),
    ],
)
def test_mistakes_for_ipc_are_named(made: ModuleType, text: str) -> None:
    with pytest.raises(config.SettingsError) as caught:
        config.check(made)
    assert text in str(caught.value)


def test_one_client_id_twice() -> None:
    made = module()
    made.SMARTBUS_CONFIG["clients"] *= 2
    with pytest.raises(config.SettingsError, match="localClientId 0 is there twice"):
        config.check(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no sbusr_test_settings.py in the current directory"),
        ("x = (", "sbusr_test_settings.py does not import: SyntaxError"),
        ("import sbusr_test_missing", "does not import: No module named 'sbusr_test_missing'"),
        ("raise SystemError(1)", "does not import: SystemError: 1"),
        ("raise SystemExit(1)", "does not import: SystemExit: 1"),
        ("", "sbusr_test_settings.py: SMARTBUS_CONFIG is missing"),
    ],
)
def test_modules_that_cannot_be_used(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    if text is not None:
        (tmp_path / "sbusr_test_settings.py").write_text(text)
    with pytest.raises(config.SettingsError) as caught:
        config.load("sbusr_test_settings")
    assert message in str(caught.value)


# ---- logging -------------------------------------------------------------------------------------


@pytest.fixture
def clean_logging() -> Iterator[None]:
    """Puts the root logger and those of the settings back."""
    names = [None, *default_settings.LOGGING_CONFIG["loggers"]]  # type: ignore[misc]
    loggers = [logging.getLogger(name) for name in names]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.mark.usefixtures("clean_logging")
def test_log_files_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config.set_up_logging(default_settings.LOGGING_CONFIG)
    logging.getLogger("sbusr.x").error("bad 坏")
    logging.getLogger("smartbus.netclient.client.Client").info("about the bus")
    assert "bad 坏" in (tmp_path / "logs/log").read_text("utf-8")
    assert "bad 坏" in (tmp_path / "logs/err").read_text("utf-8")
    assert "about the bus" in (tmp_path / "logs/smartbus").read_text("utf-8")
    assert "about the bus" not in (tmp_path / "logs/err").read_text("utf-8")
    assert not logging.getLogger("sbusr.executor").disabled
    assert logging.getLogger().level == logging.INFO


@pytest.mark.usefixtures("clean_logging")
def test_verbose_shows_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config.set_up_logging(default_settings.LOGGING_CONFIG, verbose=True)
    logging.getLogger("sbusr.x").debug("little")
    assert "little" in (tmp_path / "logs/log").read_text("utf-8")
    assert default_settings.LOGGING_CONFIG["root"]["level"] == "INFO"  # type: ignore[index]


@pytest.mark.usefixtures("clean_logging")
def test_log_directory_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").write_text("a file is in the way")
    config.set_up_logging(default_settings.LOGGING_CONFIG)
    assert "sbusr: cannot write the log file logs/log: " in capsys.readouterr().err
    root = logging.getLogger()
    assert not any(isinstance(h, logging.handlers.RotatingFileHandler) for h in root.handlers)
    assert any(type(h) is logging.StreamHandler for h in root.handlers)


@pytest.mark.parametrize(
    "bad",
    [
        {"version": 2},
        {"version": 1, "root": {"handlers": ["none"]}},
        {"version": 1, "root": {"level": "LOUD"}},
        {"version": 1, "handlers": {"x": {"class": "no.such.Class"}}},
        {"version": 1, "handlers": []},
    ],
)
@pytest.mark.usefixtures("clean_logging")
def test_bad_logging_config(bad: dict[str, Any]) -> None:
    with pytest.raises(config.SettingsError, match="LOGGING_CONFIG: "):
        config.set_up_logging(bad)
