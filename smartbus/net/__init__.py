"""NET clients: processes on the bus that connect to its server over TCP.

The whole interface is `Client`.
"""

from .client import Client

__all__ = ["Client"]
