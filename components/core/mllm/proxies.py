"""The proxy between here and an endpoint, from the environment."""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit

from components.core.stage.errors import ConfigError
from components.core.stage.secrets import hide


def proxy_for(url: str) -> str | None:
    """The proxy of `HTTP_PROXY` or `HTTPS_PROXY` (also in small letters) for a URL.

    None without one, for the hosts in `NO_PROXY` and for this machine's own addresses.

    Raises:
        ConfigError: the proxy is of another kind than HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigError(f"the proxy {hide(proxy)} for {parts.scheme} is no HTTP proxy, which is what works")
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
