"""IPC clients: processes on the machine of a bus server that connect over its local socket.

The whole interface is `Client`, of which a process has one at a time.
"""

from .client import Client

__all__ = ["Client"]
