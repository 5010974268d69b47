"""A stand-in for an IPSC server: flow scripts on the bus, for development and tests.

It registers as IPSC does (client type 2, in the unit of its server, its process index as
client id), answers flow calls, and runs ``flows/<project>/<flow>.py``, each run in a thread
of its own, with the script functions that flows have on a real IPSC.

- ``host``: `Ipsc`, for asyncio; ``thread``: `IpscThread`, the same in a thread.
- ``scripts``: finds and compiles flow scripts; ``runs``: one running script.
- ``functions``: the script functions, and how to write a flow script.
- ``mailbox``: notifies and who waits for them.
- ``command``: ``python -m smartbus ipsc``.
"""

from __future__ import annotations

from .host import Ipsc
from .thread import IpscThread

__all__ = ["Ipsc", "IpscThread"]
