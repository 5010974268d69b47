"""What web pages of others may not make a browser do to the daemon.

A page that somebody on the daemon's machine, or in its network, looks at can send requests to it:
straight (cross-site request forgery), or after making its own host name point to the daemon's
address (DNS rebinding), which makes both one site to the browser.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["host_of", "is_cross_site", "is_loopback", "names_this_machine"]

_OWN = ("same-origin", "none")
"""Values of ``Sec-Fetch-Site`` for a page of the daemon's own, and for an address typed in."""


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this request for a page that is not the daemon's own.

    Programs that are no browsers send neither of the two headers that tell.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site.lower() not in _OWN:
        return True
    origin = headers.get("Origin")
    if origin is None:
        return False
    try:
        # Not the scheme: a proxy may have ended TLS. An opaque origin is "null": it has no place.
        return urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()
    except ValueError:
        return True


def host_of(headers: Mapping[str, str]) -> str:
    """The name or address in the header ``Host``, without the port; empty if it is neither."""
    try:
        return urlsplit(f"//{headers.get('Host', '')}").hostname or ""
    except ValueError:  # half a bracket
        return ""


def names_this_machine(host: str) -> bool:
    """Whether a browser can have reached a loopback listener by ``host`` without rebinding.

    An address cannot be rebound, and ``localhost`` is not asked of a name server.
    """
    return host == "localhost" or _address(host) is not None


def is_loopback(address: str) -> bool:
    """Whether a listener at ``address`` is for this machine alone."""
    found = _address(address)
    return address == "localhost" if found is None else found.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
