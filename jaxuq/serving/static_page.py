"""The page at `/`: a chat whose tokens are coloured by their probability. Its files are the package's own.

It asks the server that it comes from and no other host: its policy forbids anything else, inline scripts included.
"""

import importlib.resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import Route

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
PAGE_PATHS = tuple(_FILES)
"""Where its files are; whoever may open the page reads them without a key, for they say nothing."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_routes() -> "list[Route]":
    """Routes of the page's files."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    folder = importlib.resources.files("jaxuq.serving") / "page"

    def route(path: str, name: str, kind: str) -> Route:
        content = (folder / name).read_bytes()

        async def answer(request: Request) -> Response:
            return Response(content, headers=_HEADERS, media_type=kind)

        return Route(path, answer)

    return [route(path, *about) for path, about in _FILES.items()]
