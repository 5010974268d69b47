"""Keeps one link to the server up: registers, reconnects, remembers what the server takes."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Literal, Protocol

from smartbus.arguments import seconds_or_none
from smartbus.errors import NotInitializedError, SmartBusError, SmartBusTimeoutError, error_for
from smartbus.refusals import refusal
from smartbus.wire import Frame, Registration
from smartbus.wire.link import VERSION_2018

from .link import Link
from .outbox import Outbox

if TYPE_CHECKING:
    from smartbus.wire import Address
    from smartbus.wire.link import WireForm

    from .settings import Limits, Timing

__all__ = ["Connection", "ConnectionOwner"]

logger = logging.getLogger(__name__)

_USER, _PASSWORD, _ALREADY, _CONNECT = -5, -6, -10, -20


class ConnectionOwner(Protocol):
    """Who uses a connection; called in the event loop."""

    def connection_up(self) -> None:
        """The server let the client in."""

    def connection_down(self) -> None:
        """The link is lost; the next attempt follows."""

    def connection_failed(self, code: int) -> None:
        """The server cannot be reached (-20, told once) or refused."""

    def connection_received(self, link: Link, frames: list[Frame]) -> None:
        """Frames arrived, those of the link among them."""


class Connection:
    """Where to connect and as whom; from `start` to `close` a task that keeps a link up.

    Attributes:
        up: The server has let the client in and the link stands.
        access_point: Unit of the server, of the last one while there is none; -1 at first.
        form: Registration form of the present or last accepted link.
        refusal: Why the server refused for good; None if it did not.
        link: The present link, registered or not.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        host: str,
        port: int,
        address: Address,
        registration: Registration,
        wire: Literal["auto", "2015", "2018"],
        limits: Limits,
        timing: Timing,
    ) -> None:
        """Describe a connection; `registration` says who asks, its form is set here."""
        self._owner = owner
        self._host = host
        self._port = port
        self._address = address
        self._registration = registration
        self._auto = wire == "auto"
        self._limits = limits
        self._timing = timing
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._failure_told = False
        self._changed: list[asyncio.Future[None]] = []
        self._outbox: Outbox | None = None
        self.form: WireForm = "2015" if wire == "2015" else "2018"
        self.up = False
        self.access_point = -1
        self.refusal: SmartBusError | None = None
        self.link: Link | None = None

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent; raises `NotInitializedError` before `start` and after `close`."""
        if self._outbox is None or self._closing:
            raise NotInitializedError(-14, "the client is not running")
        return self._outbox

    def check_open(self) -> None:
        """Raise `NotInitializedError` after `close`."""
        if self._closing:
            raise NotInitializedError(-14, "the client was closed")

    def start(self) -> None:
        """Begin to connect; begin anew after a refusal; otherwise go on."""
        self.check_open()
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            if self._outbox is None:
                limits = self._limits
                self._outbox = Outbox(loop, limits.send_frames, limits.send_bytes)
            self.refusal = None
            self._task = loop.create_task(self._run(), name=f"smartbus {self._host}:{self._port}")

    async def wait_up(self, timeout: float | None) -> None:
        """Wait until `up`; see `SmartBusClient.wait_connected`."""
        timeout = seconds_or_none("timeout", timeout)
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while not self.up:
            self._raise_refusal()
            if self._closing or self._task is None:
                raise NotInitializedError(-14, "the client is not running")
            left = None if until is None else until - loop.time()
            if left is not None and left <= 0:
                where = f"{self._host}:{self._port}"
                raise SmartBusTimeoutError(-25, f"not connected to {where} within {timeout:g} s")
            await self._change(left)

    async def wait_ended(self) -> None:
        """Wait for the end; see `SmartBusClient.wait_ended`."""
        if self._task is None:
            raise NotInitializedError(-14, "the client is not running")
        while not self._closing:
            self._raise_refusal()
            await self._change(None)

    async def close(self) -> None:
        """Let what waits leave, disconnect, end; repeatable."""
        self._closing = True
        self._set_up(up=False)
        task = self._task
        if task is None:
            return
        try:
            if self.link is not None and self.link.registered:
                self.link.close()
                await asyncio.wait({task}, timeout=self._timing.linger)
        finally:
            task.cancel()
            if self.link is not None:
                self.link.abort()
            if self._outbox is not None:
                self._outbox.clear()
        await asyncio.wait({task})

    # --- what the link tells --------------------------------------------------------------

    def link_registered(self, link: Link) -> None:
        """Note that the server let the client in."""
        self.access_point = link.access_point
        logger.info("%s: connected, server unit %d", link, link.access_point)
        self._set_up(up=True)
        self._owner.connection_up()

    def link_received(self, link: Link, frames: list[Frame]) -> None:
        """Pass frames on."""
        self._owner.connection_received(link, frames)

    # --- the task -------------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep a link up until the server refuses for good or the client is closed."""
        refusals: dict[WireForm, int] = {}  # since the last acceptance
        unanswered = brief = 0
        while not self._closing:
            form = _other(self.form) if self._auto and unanswered % 2 else self.form
            link = self._new_link(form)
            if not await self._live(link):
                await asyncio.sleep(self._timing.retry)
                continue
            delay = 0.0
            if link.registered:
                self.form = form
                refusals.clear()
                unanswered = 0
                # The next attempt follows at once (NET.md 9.4), but two short links in a row
                # mean a server that changes its mind, or two clients that fight for an address.
                brief = brief + 1 if link.lasted() < self._timing.unanswered else 0
                delay = self._timing.unanswered if brief > 1 else 0.0
                self._went_down()
            if link.refusal is not None:
                refusals[form] = link.refusal
                # A server that knows only one form finds rubbish in the other's place of the user.
                if self._auto and link.refusal in (_USER, _PASSWORD) and len(refusals) == 1:
                    self.form, unanswered = _other(form), 0
                    continue
                if self._refused(refusals, link.refusal):
                    return
                delay = self._timing.retry
            elif not link.registered:
                unanswered += 1
                delay = self._timing.unanswered
            await asyncio.sleep(delay)

    def _new_link(self, form: WireForm) -> Link:
        registration = self._registration._replace(form=form, version=b"", pid=0)
        if form == "2018":
            registration = registration._replace(version=VERSION_2018, pid=os.getpid())
        return Link(
            self,
            self.outbox,
            self._address,
            registration,
            self.access_point,
            self._timing,
            self._limits.frame_bytes,
        )

    async def _live(self, link: Link) -> bool:
        """Let `link` live until it ends; False if it could not connect."""
        loop = asyncio.get_running_loop()
        self.link = link
        try:
            connecting = loop.create_connection(lambda: link, self._host, self._port)
            await asyncio.wait_for(connecting, self._timing.connect)
            await asyncio.shield(link.lost)
            return True
        except (OSError, asyncio.TimeoutError, UnicodeError) as error:  # the last: no host name
            if not self._failure_told:
                self._failure_told = True
                reason = str(error) or f"no answer within {self._timing.connect:g} s"
                logger.warning("cannot connect to %s:%d: %s", self._host, self._port, reason)
                self._owner.connection_failed(_CONNECT)
            return False
        finally:
            link.abort()
            if link.connected:
                await link.lost
            self.link = None

    def _went_down(self) -> None:
        if not self._closing:
            self._set_up(up=False)
            logger.warning("connection to %s:%d lost", self._host, self._port)
            self._owner.connection_down()

    def _refused(self, refusals: dict[WireForm, int], code: int) -> bool:
        """Note a refusal and tell about it; True if it is for good (NET.md 2.5)."""
        # Only who understood the user name complains about the password.
        code = _PASSWORD if _PASSWORD in refusals.values() else code
        unit, client_id, _ = self._address
        who = f"client {client_id} of unit {unit}"
        error = refusal(code, f"{self._host}:{self._port}", who)
        logger.error("%s", error)
        if code != _ALREADY:
            self.refusal = error
            self._set_up(up=False)
        self._owner.connection_failed(code)
        return self.refusal is not None

    def _raise_refusal(self) -> None:
        if self.refusal is not None:
            raise error_for(self.refusal.code, self.refusal.message)

    async def _change(self, timeout: float | None) -> None:
        """Wait for a change of state."""
        change = asyncio.get_running_loop().create_future()
        self._changed.append(change)
        try:
            await asyncio.wait({change}, timeout=timeout)
        finally:
            if change in self._changed:
                self._changed.remove(change)

    def _set_up(self, *, up: bool) -> None:
        """Set the state and wake who waits for it."""
        self.up = up
        changed, self._changed = self._changed, []
        for change in changed:
            if not change.done():
                change.set_result(None)


def _other(form: WireForm) -> WireForm:
    return "2015" if form == "2018" else "2018"
