"""What a flow call can end with."""

from __future__ import annotations

from typing import Any

from smartbus.errors import SmartBusError, SmartBusTimeoutError

__all__ = ["FlowError", "FlowTimeoutError"]


class FlowError(SmartBusError):
    """IPSC refused to start a flow, or what it returned is unreadable.

    Attributes:
        code: The code of IPSC's ack, or -99 for an unreadable return.
        message: IPSC's text, or what was wrong.
        invoke_id: The call's number.
    """

    def __init__(self, code: int, message: str = "", invoke_id: int = 0) -> None:
        """Describe the failure of the call `invoke_id`."""
        super().__init__(code, message)
        self.invoke_id = invoke_id

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.invoke_id), self.__dict__.copy()


class FlowTimeoutError(FlowError, SmartBusTimeoutError):
    """IPSC gave no ack, or the flow no return, within the time allowed; code -25."""
