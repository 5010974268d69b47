"""sbusr: the daemon that executes JSON-RPC requests arriving over SmartBus.

Requests come in as bus packets (``cmd_type`` 211), are executed in worker processes by the
callables of the ``methods`` package, and are answered with *notify* messages whose title is the
request's id.

Nothing heavy is imported here: a worker process starts faster the less its package pulls in.
"""

from smartbus import __version__ as __version__

from .rpc import rpc as rpc
