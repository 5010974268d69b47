"""NET clients: processes on the bus that connect to its server over TCP.

The whole interface is `Client`; `FlowFuture` is what its ``call_flow`` returns,
`Subscription` what its ``subscribe`` does. ``docs/library.md`` is the guide.

Rooms: ``client`` on ``base`` (a client's state), ``handlers`` (its ``on_*`` methods),
``sending``, ``batches`` and ``flowcalls`` (what it can say); ``runtime`` on ``engine`` (the
library of the process) with ``pumps`` (how events come), ``reading`` (what they mean),
``lane`` (to an executor) and ``trace``.
"""

from smartbus.subscriptions import Subscription

from .client import Client
from .flowcalls import FlowFuture

__all__ = ["Client", "FlowFuture", "Subscription"]
