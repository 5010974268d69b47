"""A bus server for where no IPSC runs: in tests, on a laptop, in a small installation.

`Bus` embeds one in this process; ``python -m smartbus bus`` runs one as a command.
"""

from smartbus._c.core_bus import ClientInfo, Stats

from .gate import Registration
from .host import Bus
from .passwords import PasswordFile, PasswordFileError

__all__ = ["Bus", "ClientInfo", "PasswordFile", "PasswordFileError", "Registration", "Stats"]
