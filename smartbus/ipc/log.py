"""Where the records of this package go."""

from __future__ import annotations

import logging
from typing import Final

#: The logger of the library's own records about the IPC client, under the name that the
#: ``LOGGING_CONFIG`` of sbusr's documentation routes to the file ``smartbus``; see
#: `smartbus.net.log`.
LOGGER: Final = logging.getLogger("smartbus.ipcclient.client.Client")
