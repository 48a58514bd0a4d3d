"""The handshake and its refusals, health, metrics, the page's headers, and whom the service lets in by name and origin."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime_inspector.app import run
from realtime_inspector.errors import InvalidInput, SetupError
from realtime_inspector.identity.tokens import sign
from realtime_inspector.server import serving as listening
from realtime_inspector.server.page import find_page
from realtime_inspector.settings import Settings
from tests.wire.service import PATIENCE, SECRET, Service, client, figure, serving, token


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(allowed_origins=("https://app.example",)) as running:
        yield running


async def refusal(address: str, **headers: str) -> tuple[int, str]:
    """Status and error of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address, additional_headers=headers, proxy=None):
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    return response.status_code, json.loads(response.body)["error"]


@pytest.mark.parametrize("path", ["/socket/websocket", "/realtime/v1/websocket"])
@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_both_paths_lead_to_the_same_service(service: Service, path: str, vsn: str) -> None:
    async with client(service, vsn, path=path) as member:
        await member.join()


async def test_without_a_version_it_is_the_first(service: Service) -> None:
    address = service.address().replace("vsn=2.0.0&", "log_level=info&unknown=1&")
    async with connect(address, proxy=None) as connection:
        await connection.send('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}')
        assert json.loads(await connection.recv())["ref"] is None


async def test_the_header_wins_over_the_query(service: Service) -> None:
    assert await refusal(service.address(), **{"x-api-key": "nonsense"}) == (401, "The token provided is not a valid JWT")
    async with connect(service.address(key="nonsense"), additional_headers={"x-api-key": token()}, proxy=None):
        pass


DAY = 86_400  # parameters are made when tests are collected, long before some of them run


@pytest.mark.parametrize(
    ("key", "status", "error"),
    [
        ("", 401, "API key is missing"),
        ("nonsense", 401, "The token provided is not a valid JWT"),
        (token(seconds=-60), 401, "Token has expired"),
        (
            sign({"role": "anon", "exp": time.time() + DAY}, "another secret of 32 bytes, yes!"),
            401,
            "Failed to validate JWT signature",
        ),
        (sign({"role": "anon"}, SECRET), 401, "Fields `role` and `exp` are required in JWT"),
        (sign({"role": "postgres", "exp": time.time() + DAY}, SECRET), 403, "The role of this token may not be used here"),
        (sign({"role": "inspector_admin", "exp": time.time() + DAY}, SECRET), 403, "An admin token opens no channel"),
    ],
    ids=["none", "nonsense", "expired", "signature", "no exp", "role", "admin"],
)
async def test_a_refused_handshake_says_why(service: Service, key: str, status: int, error: str) -> None:
    address = service.address().partition("apikey=")[0] + f"apikey={quote(key)}"
    refused = await refusal(address)
    assert (refused[0], refused[1][: len(error)]) == (status, error)
    assert await figure(service, "sockets") == 0


@pytest.mark.parametrize("vsn", ["", "1", "3.0.0", "2.1.0", "x"])
async def test_an_unknown_version_is_refused(service: Service, vsn: str) -> None:
    assert await refusal(service.address(vsn)) == (403, "The protocol version is not supported")


async def test_a_page_of_any_origin_may_connect_with_its_token(service: Service) -> None:
    async with connect(service.address(), origin="https://elsewhere.example", proxy=None):
        pass


def asking(service: Service, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=service.url, headers=headers, trust_env=False)


async def test_health_readiness_and_metrics(service: Service) -> None:
    async with asking(service) as http, client(service) as member:
        await member.join()
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": [], "notes": []})
        metrics = await http.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        lines = metrics.text.splitlines()
        for line in ("sockets 1.0", "channels 1.0", "messages_received_total 1.0", "slow_consumers_total 0.0"):
            assert f"realtime_inspector_{line}" in lines
        assert any(line.startswith("process_cpu_seconds_total ") for line in lines)


async def test_a_service_that_is_not_ready_says_what_is_missing() -> None:
    """Its database cannot be reached: HTTP is up, the replication stream is not."""
    nowhere, port = f"postgresql://nobody@127.0.0.1:{_free_port()}/none", _free_port()
    told: list[str] = []
    stop = asyncio.Event()
    settings = Settings(port=port, jwt_secret=SECRET, reader_url=nowhere, evaluator_url=nowhere, log_level="error")
    service = asyncio.create_task(run(settings, on_ready=lambda url, _port: told.append(url), stop=stop))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        async with asyncio.timeout(PATIENCE):
            while (answer := await _asked(http, "/readyz")) is None:  # noqa: ASYNC110 - it tells nobody but who asks
                await asyncio.sleep(0.05)
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert answer.json()["reasons"][0].startswith("The stream of changes is not attached: ")
        assert (await http.get("/healthz")).status_code == 200
        assert "realtime_inspector_attached 0.0" in (await http.get("/metrics")).text
    assert told == []
    stop.set()
    async with asyncio.timeout(5):  # the promise of the command line
        await service


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def _asked(http: httpx.AsyncClient, path: str) -> httpx.Response | None:
    try:
        return await http.get(path)
    except httpx.ConnectError:
        return None


async def test_the_page_may_load_nothing_from_elsewhere(service: Service) -> None:
    async with asking(service) as http:
        for path in ("/", "/inspector"):
            answer = await http.get(path)
            assert (answer.status_code, answer.headers["location"]) == (307, "/inspector/")
        page = await http.get("/inspector/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert "unsafe" not in page.headers["content-security-policy"]
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        script = await http.get("/inspector/app.js")
        assert "javascript" in script.headers["content-type"]
        assert script.headers["content-security-policy"] == page.headers["content-security-policy"]
        folder = find_page()
        assert folder is not None
        assert page.content == (folder / "index.html").read_bytes()
        assert script.headers["content-encoding"] == "gzip"
        plain = await http.get("/inspector/app.js", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == script.content == (folder / "app.js").read_bytes()


@pytest.mark.parametrize(
    "path", ["/inspector/../pyproject.toml", "/inspector/%2e%2e/pyproject.toml", "/inspector/..%2fpyproject.toml"]
)
async def test_the_page_is_all_that_is_served(service: Service, path: str) -> None:
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 404")
    writer.close()


@pytest.mark.parametrize("path", ["/inspector/", "/api/v1/admin/me"])
@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:4000", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("[::1]:4000", True),
        ("192.168.1.20:4000", True),
        ("app.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:4000", False),
        ("[::1", False),
        ("", False),
    ],
)
async def test_a_host_name_that_is_not_ours_finds_neither_page_nor_api(
    service: Service, path: str, host: str, known: bool
) -> None:
    async with asking(service, host=host) as http:
        answer = await http.get(path)
        assert (answer.status_code != 403) is known
        if not known:
            assert answer.json()["error"] == "This host name is not known to the service"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example", True),
        ("http://localhost:4000", True),
        ("https://localhost:4000", True),
        ("http://localhost:5173", False),
        ("https://evil.example", False),
        ("null", False),
    ],
)
async def test_pages_of_other_origins_may_not_use_the_api(service: Service, origin: str, allowed: bool) -> None:
    async with asking(service, host="localhost:4000", origin=origin) as http:
        answer = await http.post("/api/v1/auth/impersonate")
        assert (answer.status_code != 403) is allowed


async def test_no_log_line_has_a_token(capfd: pytest.CaptureFixture[str]) -> None:
    genuine, bad = token(), token()[:-3]
    async with serving(log_level="debug") as service, client(service, key=genuine) as member, asking(service) as http:
        await member.join(access_token=genuine)
        await refusal(service.address(key=bad))
        await http.get(f"/healthz?apikey={genuine}")
        await http.get("/api/v1/admin/me", params={"token": genuine}, headers={"authorization": f"Bearer {genuine}"})
    lines = capfd.readouterr().err.splitlines()
    events = [json.loads(line) for line in lines]
    assert {"request", "socket_refused"} <= {event["event"] for event in events}
    assert any(event.get("path") == "/healthz" and event["status"] == 200 for event in events)
    for secret in (genuine, bad, SECRET):
        assert not any(secret in line for line in lines)
        assert not any(secret.split(".")[-1] in line for line in lines)


@pytest.mark.parametrize(
    "part", ["GET /healthz HTTP/1.1\r\nHost: loc", "POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhell"]
)
async def test_half_a_request_is_not_waited_for(service: Service, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "REQUEST_SECONDS", 0.5)
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for whole in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b'{"status":"ok"}')).startswith(b"HTTP/1.1 200"), whole
    writer.write(part.encode())
    async with asyncio.timeout(PATIENCE):
        assert b" 200 " not in await reader.read()
    writer.close()


async def test_what_is_no_http_is_answered_and_forgotten(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    parts = urlsplit(service.url)
    for _ in range(50):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
    assert len(capfd.readouterr().err.splitlines()) <= 12


async def test_a_taken_port_is_an_error_with_a_remedy(service: Service) -> None:
    with pytest.raises(SetupError, match=r"^Cannot listen on 127\.0\.0\.1 port \d+: ") as caught:
        async with serving(port=int(service.url.rpartition(":")[2])):
            pass
    assert "RTI_PORT" in caught.value.remedy


@pytest.mark.parametrize("settings", [{"jwt_secret": ""}, {"jwt_secret": "short"}, {"jwt_secret": "", "host": "0.0.0.0"}])
async def test_without_a_strong_key_nothing_starts(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        async with serving(**settings):
            pass
