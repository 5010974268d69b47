"""Who wants to hear of which events."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .events import EVENTS, Event

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Subscribable", "Subscribers", "Subscription"]

Handler = Callable[[Any], object]

_E1 = TypeVar("_E1", bound=Event)
_E2 = TypeVar("_E2", bound=Event)
_E3 = TypeVar("_E3", bound=Event)


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


class Subscribable:
    """What a client has for those who want to hear of its events."""

    _subscribers: Subscribers

    def _check_alive(self) -> None:
        """Raise `SmartBusError` if the client has ended."""
        raise NotImplementedError

    @overload
    def subscribe(self, handler: Callable[[Event], object], /) -> Subscription: ...
    @overload
    def subscribe(
        self, handler: Callable[[_E1], object], event_type: type[_E1], /
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, handler: Callable[[_E1 | _E2], object], first: type[_E1], second: type[_E2], /
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        handler: Callable[[_E1 | _E2 | _E3], object],
        first: type[_E1],
        second: type[_E2],
        third: type[_E3],
        /,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        handler: Callable[[Any], object],
        first: type[Event],
        second: type[Event],
        third: type[Event],
        fourth: type[Event],
        /,
        *more: type[Event],
    ) -> Subscription: ...
    def subscribe(
        self, handler: Callable[[Any], object], /, *event_types: type[Event]
    ) -> Subscription:
        """Have `handler` called with the events of some classes, beside the ``on_*`` methods.

        It runs where those run, after them; several handlers in the order of their coming. An
        exception in one is logged and stops nothing. A packet costs a little more with a
        subscriber, nothing without one.

        Args:
            handler: Called with each event.
            event_types: Classes of `smartbus.events`; a base class stands for all that derive
                from it. None at all: every event.

        Returns:
            The subscription, which ends with its `Subscription.close` or with the client.

        Raises:
            TypeError: `handler` cannot be called, or is a coroutine function, or one is no class
                of events.
            SmartBusError: The client was released, or closed: no events come any more.
        """
        self._check_alive()
        return self._subscribers.add(handler, event_types)
