"""A real S3 server on loopback for tests: OpenStack Swift with its `s3api`, from Debian's packages.

    apt-get install -y --no-install-recommends swift-proxy swift-account swift-container swift-object

One replica on one device in a temporary directory, four processes, no memcached.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "swift-proxy swift-account swift-container swift-object"
_LAUNCHER = str(Path(__file__).with_name("launch.py"))
_STORAGE = ("account", "container", "object")
_REGION = "us-east-1"
_START_S = 30.0
PAGE_KEYS = 100
"""Keys of one page of a listing: fewer than AWS's 1000, so that tests meet several pages."""

_SWIFT_CONF = """\
[swift-hash]
swift_hash_path_suffix = suffix
swift_hash_path_prefix = prefix
[storage-policy:0]
name = one
default = yes
"""
_STORAGE_CONF = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
workers = 0
swift_dir = {root}
devices = {root}/devices
mount_check = false
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_PROXY_CONF = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
workers = 0
swift_dir = {root}
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = {region}
min_segment_size = 1
max_bucket_listing = {page}
[filter:tempauth]
use = egg:swift#tempauth
user_{user_name} = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
# Otherwise it sends one small part a second from the eleventh on.
rate_limit_under_size = 0
[filter:dlo]
use = egg:swift#dlo
"""


class S3Server:
    """A server on ports of its own, its data below an empty directory.

    Args:
        root: the directory.
        conditional_writes: take `If-None-Match: *` as AWS S3 does; otherwise refuse it, as Swift by itself
            does.
    """

    def __init__(self, root: Path, conditional_writes: bool = True) -> None:
        self._root = root
        self._ports = dict(zip((*_STORAGE, "proxy"), _free_ports(4), strict=True))
        self.access_key, self.secret_key = "test:tester", "testing"
        self.endpoint = f"http://127.0.0.1:{self._ports['proxy']}"
        self._configure()
        how = "conditional-proxy" if conditional_writes else "proxy"
        with open(root / "log", "ab") as log:
            self._launcher = subprocess.Popen(
                [SYSTEM_PYTHON, _LAUNCHER, "serve", str(root), how],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
            )

    @property
    def environment(self) -> dict[str, str]:
        """What `components.core.objects.store` reads to reach it."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": _REGION,
        }

    def start(self) -> None:
        """Start its processes and wait until they answer."""
        self._tell("start")
        _wait(self._ports, self._root / "log")

    def kill(self) -> None:
        """SIGKILL to all of its processes; `start` begins again with what they had written."""
        self._tell("kill")

    def end(self) -> None:
        """Kill them for good."""
        self._launcher.communicate()

    def _tell(self, command: str) -> None:
        assert self._launcher.stdin and self._launcher.stdout
        self._launcher.stdin.write(command + "\n")
        self._launcher.stdin.flush()
        if not self._launcher.stdout.readline():
            raise RuntimeError(f"Swift's launcher ended: {(self._root / 'log').read_text()[-2000:]}")

    def replace_keys(self, access_key: str, secret_key: str) -> None:
        """From the next start on accept these keys, for the same data, and no longer the ones before."""
        self.access_key, self.secret_key = access_key, secret_key
        self._write_proxy()

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        from minio import Minio

        client = Minio(
            endpoint=self.endpoint.removeprefix("http://"),
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=_REGION,
            secure=False,
        )
        client.make_bucket(bucket_name=name)

    def _configure(self) -> None:
        (self._root / "devices" / "d1").mkdir(parents=True)
        (self._root / "swift.conf").write_text(_SWIFT_CONF, encoding="utf-8")
        for kind in _STORAGE:
            config = _STORAGE_CONF.format(
                kind=kind, port=self._ports[kind], root=self._root, user=getpass.getuser()
            )
            (self._root / f"{kind}.conf").write_text(config, encoding="utf-8")
        self._write_proxy()
        storage_ports = [str(self._ports[kind]) for kind in _STORAGE]
        rings = [SYSTEM_PYTHON, _LAUNCHER, "rings", str(self._root), *storage_ports]
        subprocess.run(rings, check=True, capture_output=True, env=_environment())

    def _write_proxy(self) -> None:
        config = _PROXY_CONF.format(
            root=self._root,
            port=self._ports["proxy"],
            user=getpass.getuser(),
            region=_REGION,
            page=PAGE_KEYS,
            user_name=self.access_key.replace(":", "_"),
            secret=self.secret_key,
        )
        (self._root / "proxy.conf").write_text(config, encoding="utf-8")


def missing() -> str:
    """Why Swift cannot run here; empty if it can."""
    code = "import swift.proxy.server, swift.account.server, swift.container.server, swift.obj.server"
    done = (
        subprocess.run(
            [SYSTEM_PYTHON, "-c", code], check=False, capture_output=True, env=_environment()
        ).returncode
        if os.access(SYSTEM_PYTHON, os.X_OK)
        else 1
    )
    return f"needs Swift as an S3 server: apt-get install {PACKAGES}" if done else ""


@contextmanager
def swift(root: Path, conditional_writes: bool = True) -> Iterator[S3Server]:
    """A server that runs for as long as the block lasts; the arguments are `S3Server`'s."""
    server = S3Server(root, conditional_writes)
    try:
        server.start()
        yield server
    finally:
        server.end()


def _environment() -> dict[str, str]:
    """The system's Python without what points it at the tests' own packages."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait(ports: dict[str, int], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    for port in ports.values():
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"Swift did not start: {log.read_text()[-2000:]}") from error
                time.sleep(0.05)
