"""Which network addresses may be connected to: none that is private, unless the settings say so.

The check is made on the address of the connection itself, so neither a redirect nor a name that resolves to an inner
address, nor one that resolves differently the second time, gets past it.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """A connection to a private, loopback, link-local or otherwise inner address was refused."""

    def __init__(self) -> None:
        # Without the address: aiohttp joins errors of several addresses of a host into one only if they are alike.
        super().__init__("the host is at an address that is not public")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) is judged by both.
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        carried.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return all(is_public(str(inner)) for inner in carried if inner is not None)


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for a connection to a resolved address, as aiohttp's `socket_factory` makes them.

    Args:
        address: family, type, protocol, canonical name and socket address, as `getaddrinfo` gives them.

    Raises:
        AddressRefused: the address is not public.
    """
    family, kind, protocol, _, place = address
    if not is_public(place[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)
