"""Two processes with clients, an IPSC and the bus between them."""

from __future__ import annotations

import itertools
from types import TracebackType
from typing import TYPE_CHECKING

from smartbus.bus import Bus
from tests.behaviour.ipsc import Ipsc
from tests.net.peer import Peer

if TYPE_CHECKING:
    from typing_extensions import Self

# Addresses: (unit, client id, client type). Ids above 127 have rules of their own (NET.md 5.2).
LEFT = (20, 0, 18)
LEFT_HIGH = (20, 200, 19)
RIGHT = (21, 1, 18)
RIGHT_HIGH = (21, 130, 25)

_numbers = itertools.count(1)


def token() -> bytes:
    """Data that no other test sends."""
    return b"token %d" % next(_numbers)


class Couple:
    """Both ends; `left` has the clients `LEFT` and `LEFT_HIGH`, `right` the other two."""

    def __init__(self, peers: list[Peer]) -> None:
        self.left, self.right = peers
        self.bus = Bus()
        self.ipsc: Ipsc
        #: How the processes ended: library, exit code, what they printed.
        self.ends: list[tuple[str, int, str]] = []

    def __enter__(self) -> Self:
        self.bus.start()
        try:
            self.ipsc = Ipsc(self.bus)
            for peer, addresses in (
                (self.left, (LEFT, LEFT_HIGH)),
                (self.right, (RIGHT, RIGHT_HIGH)),
            ):
                for _, client_id, client_type in addresses:
                    peer.join(client_id, client_type, self.bus.host, self.bus.port)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for peer in (self.left, self.right):
            self.ends.append((peer.kind, peer.close(), peer.output()))
        if hasattr(self, "ipsc"):
            self.ipsc.__exit__(None, None, None)
        self.bus.close()

    def restart_bus(self) -> None:
        """End the bus and start it again on the same port."""
        self.ipsc.__exit__(None, None, None)
        self.bus.close()
        for peer, client_ids in (
            (self.left, (LEFT[1], LEFT_HIGH[1])),
            (self.right, (RIGHT[1], RIGHT_HIGH[1])),
        ):
            for client_id in client_ids:
                peer.expect("disconnect", client_id)
        self.bus.start()
        self.ipsc = Ipsc(self.bus)

    def sides(self) -> list[tuple[Peer, tuple[int, int, int], Peer, tuple[int, int, int]]]:
        """Return sender, its address, receiver, its address, for both directions."""
        return [
            (self.left, LEFT, self.right, RIGHT),
            (self.right, RIGHT, self.left, LEFT),
        ]
