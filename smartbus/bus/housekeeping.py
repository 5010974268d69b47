"""What a bus reports, handled in a thread: registrations to decide, and lines to log."""

from __future__ import annotations

import logging
import threading

from smartbus._c.core_api import (
    EV_BUS_ASK,
    EV_BUS_BAD,
    EV_BUS_JOINED,
    EV_BUS_LEFT,
    EV_BUS_REFUSED,
    EV_TRACE,
    LEFT_CLOSED,
    LEFT_REPLACED,
    LEFT_STOPPED,
)
from smartbus._c.core_bus import CoreBus
from smartbus._c.events import Event, texts
from smartbus._c.flood import FloodGate
from smartbus.encoding import decode_wire_text
from smartbus.errors import error_for

from .gate import Gate, Registration

_log = logging.getLogger("smartbus.bus")


class Housekeeper:
    """Reads a bus's inbox until it is closed, then closes the bus.

    It does not know the `Bus` that it serves, so that one that is dropped goes away.
    """

    def __init__(self, bus: CoreBus, gate: Gate | None) -> None:
        """Serve `bus`; `gate` decides registrations, if they are to be decided."""
        self._bus = bus
        self._gate = gate
        self._lines = FloodGate(_log)
        # Anybody can cause these, in any number; they must not hide who comes and goes.
        self._complaints = FloodGate(_log)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="smartbus-bus", daemon=True)
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End, and wait up to `patience` seconds until the bus is closed and all is logged."""
        self._bus.stop()
        self._bus.inbox.close()  # what it has by now is still read
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            while self._bus.inbox.wait(-1) >= 0:
                for event in self._bus.inbox.drain():
                    if isinstance(event, Event):
                        self._handle_safely(event)
                self._count_lost()
            self._lines.close()
            self._complaints.close()
        finally:
            self._bus.close()

    def _count_lost(self) -> None:
        """Say how many reports there was no room for. Registrations are not among them."""
        lost = self._bus.inbox.lost
        if lost != self._lost:
            self._complaints.log(
                logging.WARNING, "%d reports of the bus were lost", lost - self._lost
            )
            self._lost = lost

    def _handle_safely(self, event: Event) -> None:
        try:
            self._handle(event)
        except Exception:  # noqa: BLE001 - a log handler may raise anything
            _log.exception("handling event %d of the bus failed", event.kind)

    def _handle(self, event: Event) -> None:
        if event.kind == EV_BUS_ASK:
            self._ask(event)
        elif event.kind == EV_TRACE:
            level = logging.WARNING if event.code else logging.DEBUG
            self._complaints.log(level, "%s", decode_wire_text(event.payload))
        elif event.kind in (EV_BUS_JOINED, EV_BUS_LEFT, EV_BUS_REFUSED, EV_BUS_BAD):
            level = _level(event)
            if not _log.isEnabledFor(level):
                return  # there can be thousands in a second
            known = event.kind in (EV_BUS_JOINED, EV_BUS_LEFT)
            (self._lines if known else self._complaints).log(level, "%s", _message(event))

    def _ask(self, event: Event) -> None:
        if self._gate is None:
            return
        user, password, info, version, peer = texts(event.payload, 5)
        unit, client, client_type = _address(event)
        registration = Registration(
            unit,
            client,
            client_type,
            event.id & 0xFFFFFFFF,
            event.code == 1,
            decode_wire_text(user),
            password,
            decode_wire_text(info),
            decode_wire_text(version),
            decode_wire_text(peer),
        )
        if not self._gate.ask(registration):
            self._complaints.log(
                logging.WARNING,
                "too many registrations wait to be decided; %s gets no answer",
                registration.peer,
            )


def _address(event: Event) -> tuple[int, int, int]:
    """Return unit, client, type of an event's header: the source of a packet (NET.md 1.1)."""
    head = event.head or bytes(20)
    return head[5], head[6], head[4]


def _level(event: Event) -> int:
    usual = event.kind == EV_BUS_JOINED or (
        event.kind == EV_BUS_LEFT and event.code in (LEFT_CLOSED, LEFT_REPLACED, LEFT_STOPPED)
    )
    return logging.INFO if usual else logging.WARNING


def _message(event: Event) -> str:
    peer, text, more = (decode_wire_text(raw) for raw in texts(event.payload, 3))
    unit, client, client_type = _address(event)
    who = f"client {client} of unit {unit} (type {client_type}) at {peer}"
    if event.kind == EV_BUS_JOINED:
        slave = " on its slave link" if event.code == 1 else ""
        about = (f", info {text!r}" if text else "") + (f", library {more!r}" if more else "")
        return f"{who} joined{slave}{about}"
    if event.kind == EV_BUS_LEFT:
        return f"{who} left: {text}"
    if event.kind == EV_BUS_REFUSED:
        return f"{who} was refused: {error_for(event.code)}: {text}"
    if (unit, client, client_type) == (0, 0, 0):
        who = f"a connection from {peer}"
    return f"{who} was closed for bad input: {text}"
