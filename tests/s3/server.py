"""A real S3 server on loopback for tests: OpenStack Swift with its `s3api` middleware, from Debian's packages.

    apt-get install -y --no-install-recommends swift-proxy swift-account swift-container swift-object

One replica on one device in a temporary directory, four processes, no memcached (Swift does without its cache).
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
from dataclasses import dataclass
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "swift-proxy swift-account swift-container swift-object"
_STORAGE = ("account", "container", "object")
_ACCESS_KEY, _SECRET_KEY, _REGION = "test:tester", "testing", "us-east-1"
_START_S = 30.0

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
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
[filter:dlo]
use = egg:swift#dlo
"""


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What `components.core.storage` reads to reach it."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": _REGION,
        }

    def make_bucket(self, name: str) -> None:
        """Create a bucket."""
        from minio import Minio

        client = Minio(
            endpoint=self.endpoint.removeprefix("http://"),
            access_key=_ACCESS_KEY,
            secret_key=_SECRET_KEY,
            region=_REGION,
            secure=False,
        )
        client.make_bucket(bucket_name=name)


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
    """Run a server with its data below `root` for as long as the block lasts.

    Args:
        root: an empty directory.
        conditional_writes: take `If-None-Match: *` as AWS S3 does; otherwise refuse it, as Swift by itself does.
    """
    ports = dict(zip((*_STORAGE, "proxy"), _free_ports(4), strict=True))
    fields = {"root": root, "user": getpass.getuser(), "region": _REGION}
    (root / "devices" / "d1").mkdir(parents=True)
    (root / "swift.conf").write_text(_SWIFT_CONF, encoding="utf-8")
    for kind in _STORAGE:
        config = _STORAGE_CONF.format(kind=kind, port=ports[kind], **fields)
        (root / f"{kind}.conf").write_text(config, encoding="utf-8")
    (root / "proxy.conf").write_text(_PROXY_CONF.format(port=ports["proxy"], **fields), encoding="utf-8")
    launcher = str(Path(__file__).with_name("launch.py"))
    rings = [SYSTEM_PYTHON, launcher, "rings", str(root), *(str(ports[kind]) for kind in _STORAGE)]
    subprocess.run(rings, check=True, capture_output=True, env=_environment())
    running = []
    with open(root / "log", "wb") as log:
        try:
            for kind in ports:
                how = "conditional-proxy" if kind == "proxy" and conditional_writes else kind
                command = [SYSTEM_PYTHON, launcher, how, f"{root}/{kind}.conf"]
                running.append(subprocess.Popen(command, stdout=log, stderr=log, env=_environment()))
            server = S3Server(f"http://127.0.0.1:{ports['proxy']}")
            _wait(ports, running, root / "log")
            yield server
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.wait()


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


def _wait(ports: dict[str, int], running: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    for port in ports.values():
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError as error:
                dead = any(process.poll() is not None for process in running)
                if dead or time.monotonic() > deadline:
                    raise RuntimeError(f"Swift did not start: {log.read_text()[-2000:]}") from error
                time.sleep(0.05)
