"""Who may use HTTP for what, and over what."""

from __future__ import annotations

import json
import logging
import shutil
import ssl
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
from tornado.httpclient import HTTPError, HTTPRequest

from sbusr import config, tokens
from sbusr.server import Server, StartError
from sbusr.tokens import Scope, Token
from tests.sbusr.daemon import Start

pytestmark = pytest.mark.parametrize("kind", ["net"], indirect=True)

SCOPED: dict[Scope, tuple[str, str]] = {
    "flow": ("POST", "/api/flow"),
    "reset": ("GET", "/sys/reset"),
    "metrics": ("GET", "/metrics"),
    "rpc": ("POST", "/api/rpc"),
}


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def guarded(settings: config.Settings) -> config.Settings:
    """Settings with a token for each scope, whose text is the scope."""
    settings.web_auth = [
        Token(name=f"for {scope}", sha256=tokens.digest(scope), scopes=[scope]) for scope in SCOPED
    ]
    settings.web_rpc = True
    return settings


@pytest.mark.parametrize("scope", SCOPED)
async def test_scopes(start: Start, guarded: config.Settings, scope: Scope) -> None:
    daemon = await start()
    method, path = SCOPED[scope]
    for headers, details in (({}, ""), (bearer("x"), ', error="invalid_token"')):
        response = await daemon.raw(path, None, method, headers)
        assert response.code == 401
        assert response.headers["WWW-Authenticate"] == f'Bearer realm="sbusr"{details}'
        assert json.loads(response.body)["error"]["status"] == 401
    for other in SCOPED:
        response = await daemon.raw(path, None, method, bearer(other))
        assert (response.code == 403) is (other != scope)
        if other != scope:
            assert json.loads(response.body)["error"]["scope"] == scope
        else:  # 400: there is no body
            assert response.code == (400 if scope == "flow" else 200)


async def test_health_needs_no_token(start: Start, guarded: config.Settings) -> None:
    daemon = await start()
    assert (await daemon.fetch("/healthz"))[0] == 200
    assert (await daemon.fetch("/readyz"))[0] in (200, 503)


async def test_a_stranger_is_refused_before_the_body_is_read(
    start: Start, guarded: config.Settings
) -> None:
    daemon = await start()
    assert (await daemon.fetch("/api/flow", b"{" * 5_000_000, "POST"))[0] == 401


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://x"}])
@pytest.mark.parametrize("target", [SCOPED["flow"], SCOPED["reset"], SCOPED["rpc"]])
async def test_pages_of_others_may_do_nothing(
    start: Start, guarded: config.Settings, headers: dict[str, str], target: tuple[str, str]
) -> None:
    guarded.web_auth = None
    daemon = await start()
    method, path = target
    response = await daemon.raw(path, None, method, headers)
    assert response.code == 403
    assert "another site" in json.loads(response.body)["error"]["message"]


async def test_names_that_a_page_has_rebound(start: Start, settings: config.Settings) -> None:
    daemon = await start()
    for path in ("/healthz", "/metrics"):
        response = await daemon.raw(path, headers={"Host": "evil.example"})
        assert response.code == 403
        assert json.loads(response.body)["error"]["host"] == "evil.example"
    assert (await daemon.raw("/healthz", headers={"Host": "localhost:1"})).code == 200


async def test_with_tokens_any_name_will_do(start: Start, guarded: config.Settings) -> None:
    daemon = await start()
    headers = {"Host": "daemon.example", **bearer("metrics")}
    assert (await daemon.raw("/metrics", headers=headers)).code == 200


@pytest.mark.parametrize(
    ("address", "auth", "warned"),
    [("", False, True), ("0.0.0.0", False, True), ("", True, False), ("127.0.0.1", False, False)],
)
async def test_open_doors_are_warned_of(
    start: Start, settings: config.Settings, caplog: pytest.LogCaptureFixture,
    address: str, auth: bool, warned: bool,
) -> None:  # fmt: skip
    settings.web_listen = (0, address)
    settings.web_auth = [] if auth else None
    await start()
    found = [each.levelno for each in caplog.records if "WEB_AUTH" in each.getMessage()]
    assert found == ([logging.WARNING] if warned else [])


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Files with a certificate for localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_https(
    start: Start, settings: config.Settings, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    settings.web_tls = config.TlsSettings(certfile=str(cert), keyfile=str(key))
    daemon = await start()
    response = await daemon.http.fetch(
        HTTPRequest(
            f"https://127.0.0.1:{daemon.server.http_port}/healthz",
            ssl_options=ssl.create_default_context(cafile=cert),
        )
    )
    assert json.loads(response.body) == {"status": "ok"}
    with pytest.raises((OSError, HTTPError)):  # plain HTTP is not answered
        await daemon.raw("/healthz")


async def test_certificates_that_cannot_be_used(
    settings: config.Settings, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = map(str, certificate)
    missing = str(tmp_path / "nowhere.pem")
    for files, text in (
        ((missing, key), "WEB_TLS: .*nowhere.pem: No such file"),
        ((cert, missing), "WEB_TLS: .*nowhere.pem: No such file"),
        ((key, cert), "WEB_TLS: .* are no certificate with its key"),
        ((cert, None), "WEB_TLS: .*cert.pem and the key in it are no certificate"),
    ):
        settings.web_tls = config.TlsSettings(certfile=files[0], keyfile=files[1])
        daemon = Server(
            settings, Namespace(verbose=False, no_web_server=False, embedded=False, reload=False)
        )
        with pytest.raises(StartError, match=text):
            await daemon.serve()
