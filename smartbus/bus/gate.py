"""Who may register: decisions, off the bus's thread and fair to every host."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from .passwords import PasswordFile

_log = logging.getLogger("smartbus.bus")

#: So many registrations wait at most. The bus closes those that wait for 15 s anyway.
MAX_WAITING: Final = 1024
#: A registration that waited so long (seconds) is not decided any more.
PATIENCE: Final = 15.0
#: How long closing waits for a decision that is being made (seconds).
CLOSE_PATIENCE: Final = 5.0

_REFUSED: Final = -99
_INT32: Final = 0x7FFFFFFF


class Registration(NamedTuple):
    """A client that wants to register."""

    unit_id: int
    client_id: int
    client_type: int
    link: int  #: number of its connection
    slave: bool  #: its slave connection
    user: str
    password: bytes  #: as it came; clients send GBK
    info: str
    version: str  #: of its library, empty if it does not say
    peer: str  #: address of the other end


#: Returns 0 to accept, or the negative code to refuse with: -5 user, -6 password, -4 neither.
#: Any other refusal stops the client for good as well, except -10, after which it tries again.
Decision = Callable[[Registration], int]
#: Passes an answer on: link, code.
Answer = Callable[[int, int], object]


class Gate:
    """Decides registrations one after the other in a thread of its own.

    Checking a password takes 50 ms on purpose. So that a flood of bad logins keeps nobody
    out: outcomes are remembered, hosts take turns, and the queue is bounded.
    """

    def __init__(self, users: PasswordFile | Decision, answer: Answer) -> None:
        """Decide by `users` and pass the outcome to `answer`."""
        self._users = users
        self._answer = answer
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[tuple[float, Registration]]] = OrderedDict()
        self._count = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="smartbus-bus-gate", daemon=True)
        self._thread.start()

    def ask(self, registration: Registration) -> bool:
        """Decide `registration`, now or soon; False: too many wait, it gets no answer."""
        if isinstance(self._users, PasswordFile):
            known = self._users.recall(registration.user, registration.password)
            if known is not None:
                self._answer(registration.link, known)
                return True
        host = registration.peer.rpartition(":")[0]
        with self._changed:
            if self._count >= MAX_WAITING:
                return False
            self._waiting.setdefault(host, deque()).append((time.monotonic(), registration))
            self._count += 1
            self._changed.notify()
        return True

    def close(self) -> None:
        """Decide no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_PATIENCE)

    def _run(self) -> None:
        while (registration := self._next()) is not None:
            self._answer(registration.link, self._decide(registration))

    def _next(self) -> Registration | None:
        """Wait for the next one in turn; None at the end."""
        with self._changed:
            while not self._closed:
                if not self._count:
                    self._changed.wait()
                    continue
                host, line = self._waiting.popitem(last=False)
                since, registration = line.popleft()
                self._count -= 1
                if line:
                    self._waiting[host] = line  # behind the other hosts
                if time.monotonic() - since < PATIENCE:
                    return registration
            return None

    def _decide(self, registration: Registration) -> int:
        if isinstance(self._users, PasswordFile):
            return self._users.check(registration.user, registration.password)
        try:
            code = int(self._users(registration))
        except Exception:  # noqa: BLE001 - foreign code must not stop the bus
            _log.exception("the decision about a registration raised; refused")
            return _REFUSED
        return code if -_INT32 <= code <= _INT32 else _REFUSED
