"""SmartBus for Python: the message bus of the Hesong IPSC telephony flow server.

Importing this package loads nothing else: the C library is looked up when a
client or a bus is first used, never at import.

- ``smartbus.net``: clients over TCP (``Client``), the API most programs want.
- ``smartbus.ipc``: the client over the local socket of a server on this machine.
- ``smartbus.events``: what happens to a client, as objects.
- ``smartbus.errors``: the error of each code, all of them ``SmartBusError``.
- ``smartbus.bus``: a bus server for where no IPSC runs.
- ``smartbus.aio``: an asyncio client in pure Python.
- ``smartbus.ipsc``: a stand-in for an IPSC server, which runs flow scripts.
- ``smartbus.dip``: messages from many processes of a machine to one, as deepfos-ipc has them.
- ``smartbus.testing``: a pytest plugin: real buses, flow hosts and clients for tests.

``docs/library.md`` is the guide, ``docs/dip.md`` that to ``smartbus.dip``.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "1.0.0"
