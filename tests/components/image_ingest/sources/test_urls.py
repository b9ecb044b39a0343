from __future__ import annotations

import pytest

from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.image_ingest.config import UrlSettings
from components.image_ingest.sources import fetch
from components.image_ingest.sources.fetch import check_url, is_public
from components.image_ingest.sources.urls import UrlSource

MAX_BYTES = 200_000


@pytest.fixture
def source(tmp_path):
    """source(list of URLs or text of the list, suffix, **settings) -> UrlSource that may reach loopback."""

    def go(lines, suffix=".txt", **settings) -> UrlSource:
        path = tmp_path / f"list{suffix}"
        path.write_text(lines if isinstance(lines, str) else "".join(f"{line}\n" for line in lines))
        defaults = {
            "hosts": ("*",),
            "schemes": ("http", "https"),
            "allow_private_addresses": True,
            "retries": 0,
        }
        return UrlSource(path, UrlSettings(**{**defaults, **settings}), tmp_path / "cache", MAX_BYTES)

    return go


def page(body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return 200, headers, body


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".txt", "# a list\n{0}\n\n  {1}  \n"),
        (".csv", "id,url\n1,{0}\n2,{1}\n"),
        (".tsv", "url\tcaption\n{0}\ta, b\n{1}\tc\n"),
        (".jsonl", '{{"url": "{0}"}}\n\n{{"url": "{1}", "n": 2}}\n'),
    ],
)
def test_lists_of_every_kind(source, image_server, read_all, suffix, text) -> None:
    image_server.pages = {"/a.jpg": page(b"a"), "/b.jpg": page(b"b" * 100_000)}
    urls = [f"{image_server.url}/a.jpg", f"{image_server.url}/b.jpg"]
    found = read_all(source(text.format(*urls), suffix))
    assert found == dict(zip(urls, (b"a", b"b" * 100_000), strict=True))


def test_rows_without_a_url_are_refused_and_counted(source, read_all) -> None:
    lines = '{"url": 3}\nnot json\n{"link": "http://a.example/x"}\n{"url": "http://a b/"}\n'
    assert list(read_all(source(lines, ".jsonl")).values()) == ["refused_url"] * 4


def test_a_list_without_the_column(source) -> None:
    with pytest.raises(DataError, match=r"no column 'url' among id, link"):
        list(source("id,link\n1,http://a.example/\n", ".csv").entries())


def test_no_host_is_allowed_unless_named(source) -> None:
    with pytest.raises(ConfigError, match=r"image_ingest\.urls\.hosts"):
        source(["https://a.example/x.jpg"], hosts=())


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://images.example.org/a.jpg", True),
        ("https://IMAGES.example.org./a.jpg", True),
        ("https://example.net:8443/a.jpg?size=2", True),
        ("https://example.org/a.jpg", False),  # the pattern asks for a name before the dot
        ("https://images.example.org.evil.net/a.jpg", False),
        ("https://evil.net/images.example.org/a.jpg", False),
        ("https://images.example.org@evil.net/a.jpg", False),
        ("https://user@images.example.org/a.jpg", False),
        ("http://images.example.org/a.jpg", False),
        ("file:///etc/passwd", False),
        ("ftp://images.example.org/a.jpg", False),
        ("https://[::1/a.jpg", False),
        ("https://images.example.org:port/a.jpg", False),
        ("https://images.example.org/a\n.jpg", False),
        ("a.jpg", False),
    ],
)
def test_schemes_and_hosts(url, allowed) -> None:
    settings = UrlSettings(hosts=("*.example.org", "example.net"))
    assert (check_url(url, settings) is None) is allowed


@pytest.mark.parametrize("ip", ["8.8.8.8", "2606:4700::1111"])
def test_public_addresses(ip) -> None:
    assert is_public(ip)


@pytest.mark.parametrize(
    "ip",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("255.255.255.255", "224.0.0.1", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
        ),
    ],
)
def test_inner_addresses(ip) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "refused_address"),
        ("localhost", "refused_address"),
        ("[::1]", "refused_address"),
        ("0x7f.1", "refused_address"),
        ("2130706433", "refused_url"),  # aiohttp takes no such host
    ],
)
def test_inner_addresses_are_not_connected_to(source, image_server, read_all, host, reason) -> None:
    """Written out, as a name that resolves to one, and in the notations that resolvers understand."""
    image_server.pages["/a.jpg"] = page(b"a")
    url = f"http://{host}:{image_server.port}/a.jpg"
    assert read_all(source([url], allow_private_addresses=False)) == {url: reason}
    assert not image_server.asked


def test_a_redirect_to_an_inner_address_is_refused(source, image_server, read_all, monkeypatch) -> None:
    real = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda ip: ip == "127.0.0.1" or real(ip))
    inner = f"http://127.0.0.2:{image_server.port}/secret.jpg"
    image_server.pages["/a.jpg"] = (302, {"Location": inner}, b"")
    image_server.pages["/b.jpg"] = (301, {"Location": "/c.jpg"}, b"")
    image_server.pages["/c.jpg"] = page(b"c")
    urls = [f"{image_server.url}/{name}.jpg" for name in "ab"]
    found = read_all(source(urls, allow_private_addresses=False))
    assert found == {urls[0]: "refused_address", urls[1]: b"c"}
    assert not image_server.asked["/secret.jpg"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://elsewhere.example/x.jpg", "refused_url"),
        ("file:///etc/passwd", "refused_url"),
        ("/a.jpg", "download_failed"),  # in circles
    ],
)
def test_redirects_pass_the_same_checks(source, image_server, read_all, place, reason) -> None:
    image_server.pages["/a.jpg"] = (307, {"Location": place}, b"")
    url = f"{image_server.url}/a.jpg"
    assert read_all(source([url], hosts=("127.0.0.1",))) == {url: reason}


@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}])
def test_downloads_are_bounded_whether_they_say_their_size_or_not(
    source, image_server, read_all, headers, tmp_path
):
    image_server.pages["/a.jpg"] = page(bytes(5 * MAX_BYTES), **headers)
    url = f"{image_server.url}/a.jpg"
    assert read_all(source([url])) == {url: "too_large_file"}
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_compression_of_the_transport_is_not_undone(source, image_server, read_all) -> None:
    import gzip

    image_server.pages["/a.jpg"] = page(gzip.compress(bytes(10**7)), **{"Content-Encoding": "gzip"})
    url = f"{image_server.url}/a.jpg"
    assert len(read_all(source([url]))[url]) < MAX_BYTES


def test_what_is_missing_or_silent(source, image_server, read_all) -> None:
    image_server.pages["/cut.jpg"] = page(b"short", **{"Content-Length": "1000"})
    urls = [f"{image_server.url}/none.jpg", f"{image_server.url}/cut.jpg", "http://127.0.0.1:9/a.jpg"]
    assert read_all(source(urls, timeout_s=0.5)) == dict.fromkeys(urls, "download_failed")


def test_servers_that_are_busy_are_asked_again(source, image_server, read_all, monkeypatch) -> None:
    monkeypatch.setattr("components.image_ingest.sources.fetch._FIRST_PAUSE_S", 0.01)
    image_server.pages["/a.jpg"] = page(b"a")
    image_server.failures["/a.jpg"] = 2
    url = f"{image_server.url}/a.jpg"
    assert read_all(source([url], retries=3)) == {url: b"a"}
    assert image_server.asked["/a.jpg"] == 3


def test_nothing_is_fetched_twice(source, image_server) -> None:
    names = [f"/{number}.jpg" for number in range(20)]
    image_server.pages = {name: page(name.encode()) for name in names}
    lists = [f"{image_server.url}{name}" for name in [*names, *names]]
    for _ in range(2):
        urls = source(lists)
        entries = list(urls.entries())
        assert list(urls.read(entries)) == [name.encode() for name in [*names, *names]]
    assert set(image_server.asked.values()) == {1}


WRITTEN = {
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16, little endian": "utf-16",
    "UTF-32": "utf-32",
    "Windows's Western": "cp1252",
}


@pytest.mark.parametrize("encoding", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".txt", "{0}\n{1}\n"),
        (".csv", "url,Größe\n{0},é à ü ß\n{1},ñ ö\n"),
        (".csv", "Größe;url\r\né à ü ß;{0}\r\nñ ö;{1}\r\n"),
        (".csv", 'sep=;\r\n"url";"Größe"\r\n"{0}";"é à ü"\r\n"{1}";"ñ ö"\r\n'),
        (".csv", "url\tGröße\n{0}\té à ü\n{1}\tñ ö\n"),
        (".csv", "Größe, url\né, {0}\nñ ö, {1}\n"),
        (".tsv", "url\tGröße\n{0}\té à ü\n{1}\tñ ö\n"),
        (".tsv", "Größe,url\né à ü,{0}\nñ ö,{1}\n"),
        (".jsonl", '{{"url": "{0}", "ü": 1}}\n{{"url": "{1}"}}\n'),
    ],
)
def test_lists_as_spreadsheets_and_editors_write_them(source, suffix, text, encoding) -> None:
    urls = ["http://a.example/1.jpg", "http://a.example/2.jpg?x=1,2;3"]
    listed = source("", suffix)
    if suffix == ".csv" and "," in text and ";" not in text:
        urls[1] = "http://a.example/2.jpg"  # a comma in it would have to be quoted
    if (suffix == ".tsv" and "," in text) or ";" in text:
        urls[1] = "http://a.example/2.jpg"
    listed.path.write_bytes(text.format(*urls).encode(encoding))
    assert [entry.at for entry in listed.entries()] == urls


def test_a_list_that_cannot_be_read(source, tmp_path) -> None:
    listed = source("", ".txt")
    listed.path.unlink()
    with pytest.raises(NoInputError, match="cannot be read"):
        list(listed.entries())
