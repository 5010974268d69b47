"""Who wants to hear of which events."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from smartbus.events import EVENTS, Event

if TYPE_CHECKING:
    from typing_extensions import Self

Handler = Callable[[Any], object]


class Subscription:
    """What ``Client.subscribe`` returns: it lasts until `close`, or the end of a ``with`` block."""

    __slots__ = ("_event_types", "_handler", "_table")

    def __init__(
        self, table: Subscribers, handler: Handler, event_types: tuple[type[Event], ...]
    ) -> None:
        """Stand for `handler`'s place in `table`."""
        self._table: Subscribers | None = table
        self._handler = handler
        self._event_types = event_types

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        """The classes of the events that it is for."""
        return self._event_types

    @property
    def handler(self) -> Handler:
        """What is called with each of them."""
        return self._handler

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._table is None

    def close(self) -> None:
        """End it: no call begins any more, but one may be under way in another thread.

        May be called from anywhere, the handler included, and more than once.
        """
        table, self._table = self._table, None
        if table is not None:
            table.remove(self)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(event_type.__name__ for event_type in self._event_types)
        return f"<Subscription of {self._handler!r} to {names}{' (closed)' if self.closed else ''}>"


def _is_event_type(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, Event)


class Subscribers:
    """The subscriptions of one client. Looking is one dictionary access, without a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Replaced, never changed. A class that nobody subscribed to is not in it.
        self._by_type: dict[type[Event], tuple[Subscription, ...]] = {}

    def add(self, handler: Handler, event_types: tuple[type[Event], ...]) -> Subscription:
        """Have `handler` hear of events of these classes and their subclasses; none means all.

        Raises:
            TypeError: One is no class of events, or `handler` cannot be called, or only awaited.
        """
        if not callable(handler):
            raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
        if inspect.iscoroutinefunction(handler):
            raise TypeError("a handler is called, not awaited: it cannot be a coroutine function")
        for given in event_types:
            if not _is_event_type(given):
                raise TypeError(f"{given!r} is no class of smartbus.events")
        wanted = tuple(each for each in EVENTS if issubclass(each, event_types or (Event,)))
        subscription = Subscription(self, handler, wanted)
        with self._lock:
            table = dict(self._by_type)
            for each in wanted:
                table[each] = (*table.get(each, ()), subscription)
            self._by_type = table
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._lock:
            table = {}
            for each, listening in self._by_type.items():
                rest = tuple(one for one in listening if one is not subscription)
                if rest:
                    table[each] = rest
            self._by_type = table

    def of(self, event_type: type[Event]) -> tuple[Subscription, ...]:
        """Return who wants events of exactly this class, first come first."""
        return self._by_type.get(event_type, ())
