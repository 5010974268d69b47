"""The bus: a SmartBus server inside this process."""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import logging
import os
import socket
import warnings
import weakref
from errno import EEXIST
from typing import TYPE_CHECKING, Final

from smartbus._c import lookup
from smartbus._c.abi import MAX_SERVER_UNIT
from smartbus._c.core_bus import ClientInfo, CoreBus, Stats
from smartbus.arguments import integers, seconds, text, whole
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientNotFoundError,
    NotInitializedError,
    UnitIdError,
)

from .gate import Decision, Gate
from .housekeeping import Housekeeper
from .passwords import PasswordFile

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Bus"]

_log = logging.getLogger("smartbus.bus")

#: Bytes of the largest packet that is accepted, header and padding included, unless somebody
#: says otherwise; and what they must say at least, so that a registration fits.
MAX_FRAME: Final = 64 << 20
LEAST_MAX_FRAME: Final = 8192

#: How long closing waits for the housekeeping thread (seconds).
CLOSE_PATIENCE: Final = 5.0


class Bus:
    """A bus server: routes packets between the clients that connect to it.

    The routing is C and runs in a thread of its own; Python decides who may register and
    logs, to ``smartbus.bus``, who comes, goes, is refused or sends nonsense::

        with Bus() as bus:
            client = Client.create(0, 19, bus.host, bus.port)

    Delivery is at most once and in order between any two clients; nothing is stored. A
    receiver that does not read makes those who send to it wait, nobody else, and is cut off
    after at most `slow_timeout`.

    Args:
        host: Where to listen: dotted IPv4 or a name; ``"0.0.0.0"`` is everywhere.
        port: 0 picks a free one, see `port`.
        unit_id: Unit of this server, 0 to 15.
        users: Who may register: a `PasswordFile` or its path, a function that gets a
            `Registration` and returns a code (in a thread; 0 accepts), or None for everybody.
        idle_timeout: A connection that is silent for so long (seconds) is closed.
        slow_timeout: A client that is behind for so long (seconds) is cut off.
        max_frame: Bytes of the largest packet accepted, with its header and padding. Who sends a
            larger one is disconnected, with a line in the log that says how large it was.
        max_links: So many connections at most. When there are as many, the oldest that have not
            registered make way for others; clients never do, further connections wait.
        max_memory: So many bytes all queues and unfinished packets may take together. When they
            take more, each client gets less, and those who are behind are cut off sooner; about
            twice as much is never passed.
        ipc_path: A local socket to listen on as well, for IPC clients (IPC.md 1); they become
            clients of this server's unit and may be silent for ever. A stale file is replaced,
            and the file goes when the bus closes. Clients look for ``/tmp/smartbus_ipc``.
        ipc_mode: Who may connect there: the file's mode.

    Raises:
        UnitIdError: `unit_id` is out of range.
        ArgumentError: Another argument is.
        OSError, PasswordFileError: The file of users is unreadable or bad.
        TypeError: An argument is of a wrong type.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        unit_id: int = 0,
        users: PasswordFile | str | os.PathLike[str] | Decision | None = None,
        *,
        idle_timeout: float = 15.0,
        slow_timeout: float = 5.0,
        max_frame: int = MAX_FRAME,
        max_links: int = 1024,
        max_memory: int = 256 << 20,
        ipc_path: str | os.PathLike[str] | None = None,
        ipc_mode: int = 0o660,
    ) -> None:
        text("host", host)
        integers(port=port, unit_id=unit_id, ipc_mode=ipc_mode)
        integers(max_frame=max_frame, max_links=max_links)
        if not 0 <= unit_id <= MAX_SERVER_UNIT:
            raise UnitIdError(-12, f"unit_id is {unit_id}; servers have 0 to {MAX_SERVER_UNIT}")
        if not 0 <= port <= 0xFFFF:
            raise ArgumentError(-1, f"port {port} is not in 0..65535")
        seconds("idle_timeout", idle_timeout, 0.001, 1_000_000)
        seconds("slow_timeout", slow_timeout, 0.001, 1_000_000)
        if not 1 <= max_links <= 1 << 20 or not LEAST_MAX_FRAME <= max_frame <= 0x7FFFFFFF:
            raise ArgumentError(-1, "max_links must be in 1..1048576, max_frame 8192..2147483647")
        whole("max_memory", max_memory, 1 << 20, (1 << 63) - 1)
        if not 0 <= ipc_mode <= 0o777:
            raise ArgumentError(-1, f"ipc_mode is {ipc_mode:#o}; it must be in 0..0o777")
        if isinstance(users, (str, os.PathLike)):
            users = PasswordFile(users)
        _check_users(users)
        self._host = host
        self._port = port
        self._unit_id = unit_id
        self._users = users
        self._ipc_path = _local_path(ipc_path)
        self._ipc_mode = ipc_mode
        self._options = {
            "unit": unit_id,
            "ask_host": int(users is not None),
            "idle_ms": round(idle_timeout * 1000),
            "slow_ms": round(slow_timeout * 1000),
            "max_frame": max_frame,
            "max_links": max_links,
            "max_memory": max_memory,
        }
        self._bus: CoreBus | None = None
        self._gate: Gate | None = None
        self._housekeeper: Housekeeper | None = None
        self._pid = os.getpid()

    # ---- life ----------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen and serve until `close`; returns this bus.

        Raises:
            AlreadyConnectedError: It runs.
            OSError: The address or `ipc_path` cannot be listened on.
            LibraryNotFoundError: The core is not there: it was not built.
        """
        if self._bus is not None:
            raise AlreadyConnectedError(-10, "this bus runs already")
        ip = _resolve(self._host)
        bus = CoreBus(lookup.require_core(), self._options)
        where = self.address
        try:
            port = bus.listen(ip, self._port)
            if self._ipc_path is not None:
                where = self._ipc_path
                bus.listen_local(os.fsencode(self._ipc_path), self._ipc_mode)
            bus.run()
        except BaseException as error:
            bus.close()
            if isinstance(error, OSError) and error.errno is not None:
                why = "it exists and is no socket" if error.errno == EEXIST else error.strerror
                raise type(error)(error.errno, f"cannot listen on {where}: {why}") from None
            raise
        self._pid = os.getpid()
        self._bus, self._port = bus, port
        if self._users is not None:
            self._gate = Gate(self._users, bus.decide)
        self._housekeeper = Housekeeper(bus, self._gate)
        _running.add(self)
        also = f" and {self._ipc_path}" if self._ipc_path is not None else ""
        _log.info("bus of unit %d listens on %s%s", self._unit_id, self.address, also)
        return self

    def close(self) -> None:
        """Close every connection and stop. May be called again."""
        bus, self._bus = self._bus, None
        if bus is None or os.getpid() != self._pid:  # a forked child leaves it alone
            return
        _running.discard(self)
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
        housekeeper, self._housekeeper = self._housekeeper, None
        if housekeeper is not None:
            housekeeper.stop(CLOSE_PATIENCE)
        _log.info("bus of unit %d on %s stopped", self._unit_id, self.address)

    def __enter__(self) -> Self:
        """Start, if not done yet."""
        return self if self._bus is not None else self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_bus", None) is not None and os.getpid() == self._pid:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self.close()

    # ---- facts ---------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """Where it listens, as it was given."""
        return self._host

    @property
    def port(self) -> int:
        """The port; the one that was picked, once it is started."""
        return self._port

    @property
    def address(self) -> str:
        """Host and port, as in ``127.0.0.1:8089``."""
        return f"{self._host}:{self._port}"

    @property
    def ipc_path(self) -> str | None:
        """The local socket that it listens on as well, if there is one."""
        return self._ipc_path

    @property
    def unit_id(self) -> int:
        """Unit of this server."""
        return self._unit_id

    @property
    def running(self) -> bool:
        """Whether it is started and not closed."""
        return self._bus is not None

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<Bus unit {self._unit_id} on {self.address}: {state}>"

    def stats(self) -> Stats:
        """Return the counters.

        Raises:
            NotInitializedError: The bus does not run.
        """
        return self._running_bus().stats()

    def clients(self) -> list[ClientInfo]:
        """Return the clients that are registered.

        Raises:
            NotInitializedError: The bus does not run.
        """
        return self._running_bus().clients()

    def kick(self, unit_id: int, client_id: int) -> None:
        """Close the connections of a client. It is free to come back, and most do at once.

        Raises:
            ClientNotFoundError: There is no such client.
            NotInitializedError: The bus does not run.
        """
        bus = self._running_bus()
        since = None
        while True:  # once for each of its links
            mine = [c for c in bus.clients() if (c.unit_id, c.client_id) == (unit_id, client_id)]
            if since is None and not mine:
                raise ClientNotFoundError(-9, f"client {client_id} of unit {unit_id} is not here")
            if not mine or since not in (None, mine[0].since):
                return  # gone, or here again already
            since = mine[0].since
            with contextlib.suppress(ClientNotFoundError):  # it just left by itself
                bus.kick(mine[0].link)

    def _running_bus(self) -> CoreBus:
        if self._bus is None:
            raise NotInitializedError(-14, "the bus does not run")
        return self._bus


def _check_users(users: object) -> None:
    if users is not None and not isinstance(users, PasswordFile) and not callable(users):
        kind = type(users).__name__
        raise TypeError(f"users must be a file, its name, or a function, not {kind}")


def _resolve(host: str) -> str:
    """Return `host` as dotted IPv4."""
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        apart = " (host and port are two arguments)" if ":" in host else ""
        message = f"cannot listen on {host!r}{apart}: {error.strerror}"
        raise type(error)(error.errno, message) from None


def _local_path(path: str | os.PathLike[str] | None) -> str | None:
    """Return `path` as the name of a socket; how long it may be is the system's to say."""
    if path is None:
        return None
    name = os.fspath(path)
    if not name or "\0" in name:
        raise ArgumentError(-1, f"ipc_path {name!r} cannot be the name of a file")
    return name


_running: weakref.WeakSet[Bus] = weakref.WeakSet()


def _at_exit() -> None:
    for bus in tuple(_running):
        warnings.warn(f"{bus!r} was not closed", ResourceWarning, source=bus, stacklevel=2)
        bus.close()


atexit.register(_at_exit)
