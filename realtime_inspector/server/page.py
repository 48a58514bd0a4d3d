"""Serves the inspector page: static files that may load nothing from anywhere else."""

from pathlib import Path
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import realtime_inspector

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
        b"require-trusted-types-for 'script'; trusted-types 'none'",  # nothing may become markup, whoever wrote it
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),  # after an update no old module may meet a new one
)


def find_page() -> Path | None:
    """The folder with the page: inside the package when it was installed, beside it in a checkout."""
    package = Path(realtime_inspector.__file__).parent
    folders = (package / "web", package.parent / "web")
    return next((folder for folder in folders if (folder / "index.html").is_file()), None)


def routes(folder: Path | None) -> list[BaseRoute]:
    """The page under /inspector/, and at / a way to it."""
    if folder is None:
        missing = PlainTextResponse("The page is not part of this installation: install the wheel or run from a checkout.\n", 404)
        return [Mount("/inspector", app=missing)]
    # What is compressed holds no secret beside what a stranger chose, so its length tells nothing (BREACH).
    files = _with_headers(GZipMiddleware(StaticFiles(directory=folder, html=True)))
    return [
        *(Route(path, _to_page) for path in ("/", "/inspector")),
        Mount("/inspector", app=files),
    ]


async def _to_page(_: Request) -> Response:
    return RedirectResponse("/inspector/")


def _with_headers(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    return serve
