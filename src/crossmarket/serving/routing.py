"""Finding the handler of a path; each part is percent-decoded once, after the path was split."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel

from crossmarket.serving.messages import Request, Response
from crossmarket.serving.problems import Problem

#: Answers a request; what takes microseconds does so without a coroutine.
Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """What answers a method at a path such as `/v1/markets/{market}`.

    Attributes
    ----------
    method, template : str
        Of which requests.
    handler : callable
        Answers them.
    body : type of BaseModel or None
        What they must send.
    is_light : bool
        Whether it also answers when there is too much to do.
    """

    method: str
    template: str
    handler: Handler
    body: type[BaseModel] | None = None
    is_light: bool = False


class Router:
    """Routes by path.

    Paths are compared as they came, so that `%2F` in an id is part of the id.

    Attributes
    ----------
    routes : tuple of Route
        All of them; paths are tried in this order.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        paths: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in self.routes:
            parts = tuple("{" if one[:1] == "{" else one for one in route.template.split("/"))
            paths.setdefault(parts, {})[route.method] = route
        self._templates = [
            ([place for place, part in enumerate(parts) if part != "{"], parts, methods)
            for parts, methods in paths.items()
        ]

    def find(self, method: str, raw_path: bytes) -> tuple[Route, dict[str, str]]:
        """The route of a request and the parts of its path by name.

        Raises
        ------
        Problem
            If no path fits, the path has another method, or a part is no UTF-8.
        """
        try:
            parts = raw_path.decode("ascii").split("/")
        except UnicodeDecodeError as error:
            raise Problem("bad_path", "The path is not percent-encoded.") from error
        fits = (
            (fixed, methods)
            for fixed, template, methods in self._templates
            if len(template) == len(parts) and all(template[at] == parts[at] for at in fixed)
        )
        fixed, methods = next(fits, ((), {}))
        if not methods:
            raise Problem("not_found", "There is nothing at this address.")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = sorted(methods.keys() | ({"HEAD"} if "GET" in methods else set()))
            raise Problem(
                "method_not_allowed",
                "This address does not take this method.",
                headers={"Allow": ", ".join(allowed)},
            )
        names = route.template.split("/")
        return route, {
            names[place][1:-1]: _decoded(part)
            for place, part in enumerate(parts)
            if place not in fixed
        }


def _decoded(part: str) -> str:
    if "%" not in part:
        return part
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("bad_path", "A part of the path is no UTF-8.") from error
