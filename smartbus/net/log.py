"""Where the records of this package go."""

from __future__ import annotations

import logging
from typing import Final

#: The logger of the library's own records about NET clients. It has the name that the
#: ``LOGGING_CONFIG`` of sbusr's documentation routes to the file ``smartbus``, so that such
#: settings go on working: connects, refusals, exceptions in handlers and the library's trace
#: (see `Client.set_trace`) arrive there. A subclass's ``self.logger`` is its own, named
#: ``ModuleName.ClassName``.
LOGGER: Final = logging.getLogger("smartbus.netclient.client.Client")
