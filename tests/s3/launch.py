"""Runs Swift's servers, by the system's Python, which has Swift's packages; not imported by the tests.

    python3 launch.py rings DIRECTORY ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT
    python3 launch.py serve DIRECTORY proxy|conditional-proxy

`serve` loads Swift once and takes commands, one a line: `start` forks the four servers, `kill` kills them. It
answers each with a line. At the end of its input it kills them, so nothing outlives the tests.

Swift's `s3api` answers conditional writes with 501. The `conditional-proxy` takes them as S3 defines them: it
hands `If-None-Match: *` on to Swift itself, which knows it. It lets one such request through at a time,
because Swift looks and writes in two steps.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import traceback
from typing import Any

from swift.common.utils import set_swift_dir
from swift.common.wsgi import run_wsgi

_CONDITION = "If-None-Match"
_LOADED = (
    "paste.deploy.loadwsgi", "pkg_resources",
    "swift.proxy.server", "swift.account.server", "swift.container.server", "swift.obj.server",
    "swift.common.middleware.s3api.s3api", "swift.common.middleware.tempauth", "swift.common.middleware.slo",
    "swift.common.middleware.dlo", "swift.common.middleware.copy", "swift.common.middleware.listing_formats",
)  # fmt: skip


def take_conditional_writes() -> None:
    """Let `s3api` pass `If-None-Match` on PUT, one request at a time."""
    from eventlet.semaphore import Semaphore
    from swift.common.middleware.s3api import s3api, s3request

    refuse, one_at_a_time = s3request.S3Request._validate_headers, Semaphore(1)
    handle = s3api.S3ApiMiddleware.handle_request

    def validate(self: Any) -> None:
        condition = self.headers.pop(_CONDITION, None) if self.method == "PUT" else None
        refuse(self)
        if condition is not None:
            self.headers[_CONDITION] = condition

    def serialised(self: Any, request: Any) -> Any:
        if request.method == "PUT" and _CONDITION in request.headers:
            with one_at_a_time:
                return handle(self, request)
        return handle(self, request)

    s3request.S3Request._validate_headers = validate
    s3api.S3ApiMiddleware.handle_request = serialised


def write_rings(directory: str, *ports: str) -> None:
    """Rings of one partition and one replica, on the one device of each storage server."""
    from swift.common.ring.builder import RingBuilder

    for kind, port in zip(("account", "container", "object"), ports, strict=True):
        builder = RingBuilder(part_power=1, replicas=1, min_part_hours=0)
        address = {
            "ip": "127.0.0.1",
            "port": int(port),
            "replication_ip": "127.0.0.1",
            "replication_port": int(port),
        }
        builder.add_dev({"region": 1, "zone": 1, "weight": 1.0, "device": "d1", **address})
        builder.rebalance()
        builder.get_ring().save(f"{directory}/{kind}.ring.gz")


def serve(directory: str, proxy: str) -> None:
    """Take commands until there are no more."""
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()  # eventlet would look through everything for locks, in each server anew
    # swift.conf would otherwise be read from /etc, which belongs to the host.
    set_swift_dir(directory)
    if proxy == "conditional-proxy":
        take_conditional_writes()
    running: list[int] = []
    for command in sys.stdin:
        if command.strip() == "start":
            running += [_forked(directory, kind) for kind in ("account", "container", "object", "proxy")]
        else:
            _kill(running)
        print("done", flush=True)
    _kill(running)


def _forked(directory: str, kind: str) -> int:
    """Start one server; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.dup2(2, 1)
    options = {}
    if kind == "object":
        options["global_conf_callback"] = importlib.import_module("swift.obj.server").global_conf_callback
    try:
        os._exit(run_wsgi(f"{directory}/{kind}.conf", f"{kind}-server", **options))
    except BaseException:  # noqa: BLE001 - the process boundary
        traceback.print_exc()
        os._exit(1)


def _kill(running: list[int]) -> None:
    for process in running:
        os.kill(process, signal.SIGKILL)
    for process in running:
        os.waitpid(process, 0)
    running.clear()


if __name__ == "__main__":
    if sys.argv[1] == "rings":
        set_swift_dir(sys.argv[2])
        write_rings(*sys.argv[2:])
    else:
        serve(*sys.argv[2:])
