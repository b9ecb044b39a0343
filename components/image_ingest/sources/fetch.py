"""Downloads of many URLs at once, bounded in size and time, from allowed hosts at public addresses only.

The address of the connection itself is checked. So no redirect, and no name that resolves to an inner address
or resolves differently the second time, gets past the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from components.core.data.files import atomic_file, path_of_key
from components.image_ingest.config import UrlSettings
from components.image_ingest.entry import Reason, Rejection

_BLOCK = 2**16
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_FIRST_PAUSE_S = 0.5
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """A connection to a private, loopback, link-local or otherwise inner address was refused."""

    def __init__(self) -> None:
        # Without the address: aiohttp joins the errors of a host's addresses into one only if they are alike.
        super().__init__("the host is at an address that is not public")


class _TooLarge(Exception):
    """The answer has more bytes than allowed."""


class _Retry(Exception):
    """The server may answer better later."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet.

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


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address of `getaddrinfo`, if it is public: aiohttp's `socket_factory`."""
    family, kind, protocol, _, place = address
    if not is_public(place[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def check_url(url: str, settings: UrlSettings) -> Rejection | None:
    """Why a URL may not be requested, None if it may."""
    if not url.isprintable() or " " in url:
        return Rejection(Reason.REFUSED_URL, "not a URL: holds spaces or control characters")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        return Rejection(Reason.REFUSED_URL, f"not a URL: {error}")
    if parts.scheme not in settings.schemes:
        allowed = ", ".join(settings.schemes)
        return Rejection(Reason.REFUSED_URL, f"scheme '{parts.scheme}'; allowed: {allowed}")
    if parts.username is not None:
        return Rejection(Reason.REFUSED_URL, "carries a user name")
    if not host or not any(fnmatchcase(host, pattern.lower()) for pattern in settings.hosts):
        return Rejection(Reason.REFUSED_URL, f"host '{host}' is not among the allowed hosts")
    return None


def fetch_all(
    urls: Sequence[str], folder: Path, settings: UrlSettings, max_bytes: int
) -> dict[str, Rejection]:
    """Fetch URLs into a folder, by `path_of_key`; those already there are not requested.

    Returns:
        Why, for each URL that could not be fetched.
    """
    missing = [url for url in dict.fromkeys(urls) if not path_of_key(folder, url).exists()]
    return asyncio.run(_fetch_all(missing, folder, settings, max_bytes)) if missing else {}


async def _fetch_all(
    urls: Sequence[str], folder: Path, settings: UrlSettings, max_bytes: int
) -> dict[str, Rejection]:
    connector = aiohttp.TCPConnector(
        limit=settings.connections,
        limit_per_host=settings.connections_per_host,
        socket_factory=None if settings.allow_private_addresses else _public_socket,
    )
    # No proxy from the environment: the check would see its address alone, and it connects anywhere.
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=settings.connect_timeout_s),
        headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": settings.user_agent},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        found = await asyncio.gather(*(_fetch(session, url, folder, settings, max_bytes) for url in urls))
    return {url: rejection for url, rejection in zip(urls, found, strict=True) if rejection}


async def _fetch(
    session: aiohttp.ClientSession, url: str, folder: Path, settings: UrlSettings, max_bytes: int
) -> Rejection | None:
    problem = ""
    for attempt in range(settings.retries + 1):
        if attempt:
            await asyncio.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
        try:
            return await _follow(session, url, folder, settings, max_bytes)
        except _TooLarge as error:
            return Rejection(Reason.TOO_LARGE_FILE, str(error))
        except (aiohttp.InvalidURL, ValueError) as error:
            return Rejection(Reason.REFUSED_URL, f"not a URL: {error}"[:300])
        except (_Retry, aiohttp.ClientError, OSError) as error:
            cause = getattr(error, "os_error", error)  # the connector wraps the refusal
            if isinstance(cause, AddressRefused):
                return Rejection(Reason.REFUSED_ADDRESS, str(cause))
            problem = str(error) if isinstance(error, _Retry) else type(error).__name__
    return Rejection(Reason.DOWNLOAD_FAILED, f"{problem} after {settings.retries + 1} attempts")


async def _follow(
    session: aiohttp.ClientSession, url: str, folder: Path, settings: UrlSettings, max_bytes: int
) -> Rejection | None:
    """Follow redirects by hand: every hop must pass the same checks as the first."""
    place = url
    for _ in range(settings.max_redirects + 1):
        if refused := check_url(place, settings):
            return refused
        async with session.get(place, allow_redirects=False) as response:
            if response.status in _REDIRECTS and "Location" in response.headers:
                place = urljoin(place, response.headers["Location"])
                continue
            if response.status in _RETRIED:
                raise _Retry(f"HTTP {response.status}")
            if response.status != 200:
                return Rejection(Reason.DOWNLOAD_FAILED, f"HTTP {response.status}")
            await _save(response, path_of_key(folder, url), max_bytes)
            return None
    return Rejection(Reason.DOWNLOAD_FAILED, f"more than {settings.max_redirects} redirects")


async def _save(response: aiohttp.ClientResponse, path: Path, max_bytes: int) -> None:
    size = response.content_length or 0
    if size > max_bytes:
        raise _TooLarge(f"{size} bytes or more, limit {max_bytes}")
    path.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        async for block in response.content.iter_chunked(_BLOCK):
            received += len(block)
            if received > max_bytes:
                raise _TooLarge(f"{max(received, size)} bytes or more, limit {max_bytes}")
            file.write(block)
