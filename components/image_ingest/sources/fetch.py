"""Downloads of many URLs at once: bounded in size, time and number, to allowed hosts at public addresses only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urljoin, urlsplit

import aiohttp

from components.image_ingest.config import UrlSettings
from components.image_ingest.reasons import Reason, Refused
from components.image_ingest.sources.address import AddressRefused, public_socket
from components.image_ingest.sources.cache import Cache

_BLOCK = 2**16
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_FIRST_PAUSE_S = 0.5


def check_url(url: str, settings: UrlSettings) -> Refused | None:
    """Why a URL may not be asked for, None if it may."""
    if not url.isprintable() or " " in url:
        return Refused(Reason.REFUSED_URL, "not a URL: holds spaces or control characters")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        return Refused(Reason.REFUSED_URL, f"not a URL: {error}")
    if parts.scheme not in settings.schemes:
        return Refused(Reason.REFUSED_URL, f"scheme '{parts.scheme}'; allowed: {', '.join(settings.schemes)}")
    if parts.username is not None:
        return Refused(Reason.REFUSED_URL, "carries a user name")
    if not host or not any(fnmatchcase(host, pattern.lower()) for pattern in settings.hosts):
        return Refused(Reason.REFUSED_URL, f"host '{host}' is not among the allowed hosts")
    return None


def fetch_all(urls: Sequence[str], cache: Cache, settings: UrlSettings, max_bytes: int) -> dict[str, Refused]:
    """Fetch URLs into the cache; those already there are not asked for.

    Returns:
        Why, for each URL that could not be had.
    """
    missing = [url for url in dict.fromkeys(urls) if not cache.path(url).exists()]
    return asyncio.run(_fetch_all(missing, cache, settings, max_bytes)) if missing else {}


async def _fetch_all(
    urls: Sequence[str], cache: Cache, settings: UrlSettings, max_bytes: int
) -> dict[str, Refused]:
    connector = aiohttp.TCPConnector(
        limit=settings.connections,
        limit_per_host=settings.connections_per_host,
        socket_factory=None if settings.allow_private_addresses else public_socket,
    )
    # No proxy from the environment: the address check would see the proxy's address, and the proxy connect anywhere.
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=settings.connect_timeout_s),
        headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": settings.user_agent},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        task = _Fetch(session, cache, settings, max_bytes)
        found = await asyncio.gather(*(task.one(url) for url in urls))
    return {url: refusal for url, refusal in zip(urls, found, strict=True) if refusal}


class _Retry(Exception):
    """The server may answer better later."""


class _Fetch:
    def __init__(
        self, session: aiohttp.ClientSession, cache: Cache, settings: UrlSettings, max_bytes: int
    ) -> None:
        self._session, self._cache, self._settings, self._max_bytes = session, cache, settings, max_bytes

    async def one(self, url: str) -> Refused | None:
        """Fetch one URL, with retries."""
        problem = ""
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                return await self._follow(url)
            except AddressRefused as error:
                return Refused(Reason.REFUSED_ADDRESS, str(error))
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, AddressRefused):
                    return Refused(Reason.REFUSED_ADDRESS, str(error.os_error))
                problem = type(error).__name__
            except (aiohttp.InvalidURL, ValueError) as error:
                return Refused(Reason.REFUSED_URL, f"not a URL: {error}"[:300])
            except (_Retry, aiohttp.ClientError, TimeoutError, OSError) as error:
                problem = str(error) if isinstance(error, _Retry) else type(error).__name__
        return Refused(Reason.DOWNLOAD_FAILED, f"{problem} after {self._settings.retries + 1} attempts")

    async def _follow(self, url: str) -> Refused | None:
        """Follow redirects by hand: every hop must pass the same checks as the first."""
        place = url
        for _ in range(self._settings.max_redirects + 1):
            if refused := check_url(place, self._settings):
                return refused
            async with self._session.get(place, allow_redirects=False) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    place = urljoin(place, response.headers["Location"])
                    continue
                if response.status in _RETRIED:
                    raise _Retry(f"HTTP {response.status}")
                if response.status != 200:
                    return Refused(Reason.DOWNLOAD_FAILED, f"HTTP {response.status}")
                return await self._save(url, response)
        return Refused(Reason.DOWNLOAD_FAILED, f"more than {self._settings.max_redirects} redirects")

    async def _save(self, url: str, response: aiohttp.ClientResponse) -> Refused | None:
        announced = response.content_length or 0
        temporary = self._cache.temporary(url)
        received = 0
        try:
            with open(temporary, "wb") as file:
                if announced <= self._max_bytes:
                    async for block in response.content.iter_chunked(_BLOCK):
                        received += len(block)
                        if received > self._max_bytes:
                            break
                        file.write(block)
            if max(received, announced) > self._max_bytes:
                detail = f"{max(received, announced)} bytes or more, limit {self._max_bytes}"
                return Refused(Reason.TOO_LARGE_FILE, detail)
            self._cache.commit(url)
            return None
        finally:
            temporary.unlink(missing_ok=True)
