"""Markup: what a page needs to show a run, and the answer to a form that started one."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from jobkit.run import Run
from jobkit_web.access import TTL, URL_TTL, USUAL, Action, Signer
from jobkit_web.assets import ENTRY, assets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send


_ENDPOINT = re.compile(r"(https?://[^\s<>\"'\\]+|/(?![/\\])[^\s<>\"'\\]*|)")


def access_token(run: Run[Any], actions: Iterable[str] = USUAL, ttl: timedelta | float = TTL) -> str:
    """What a browser must hold to read or cancel this run; no I/O for a run that was submitted here.

    `actions` are some of `read`, `result`, `cancel` (withdraws this handle's interest) and `cancel-all`; `ttl` is a
    timedelta or seconds.

    Raises:
        ValueError: no such action, or a time that is not above 0.
    """
    _refuse_no_run(run)
    return _sign(run, actions, ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)


def widget(
    run: Run[Any],
    endpoint: str = "/jobs",
    cancellable: bool = True,
    then: str | None = None,
    nonce: str | None = None,
    label: str | None = None,
    download: str | None = None,
) -> str:
    """Markup that shows this run live: put it into a page as it is (a template must not escape it again).

    `endpoint` is where the app of `create_app` is mounted; `then` follows success: `"reload"` or a URL; `nonce` is the
    page's own, where its Content-Security-Policy wants one; `label` says what is being done; `download` is the text of
    a link to the result, which appears when it is there.
    """
    _refuse_no_run(run)
    endpoint = checked_endpoint(endpoint)
    actions = [action for action in USUAL if cancellable or action is not Action.CANCEL]
    attributes = {
        "run": run.id,
        "endpoint": endpoint,
        "token": access_token(run, actions),
        "then": then,
        "label": label,
    }
    link = f"{endpoint}/runs/{run.id}?token={_sign(run, actions, URL_TTL, in_url=True)}"
    return (
        f"{scripts(endpoint, nonce)}"
        f"<job-progress{_attributes(attributes)}{' cancellable' if cancellable else ''}>"
        f'<a href="{escape(link)}">Show the progress</a>{_download(download)}</job-progress>'
    )


def _download(text: str | None) -> str:
    """The element gives it its address; until then, and without JavaScript, it is no link."""
    return "" if text is None else f'<a slot="success" download>{escape(str(text))}</a>'


def accepted(run: Run[Any], endpoint: str = "/jobs") -> Response:
    """The answer to a request that submitted this run.

    A script gets 202 with `Location`, `Job-Access-Token` and a small JSON body; a browser that sent a plain form gets
    303 to the run's own page.
    """
    _refuse_no_run(run)
    return _Accepted(run, checked_endpoint(endpoint))


def scripts(endpoint: str, nonce: str | None = None) -> str:
    """The tags that define `<job-progress>`; a page may hold them more than once."""
    files = assets()
    own = _attributes({"nonce": nonce})
    preloads = "".join(
        f'<link rel="modulepreload" href="{escape(endpoint + files.path(name))}"'
        f' integrity="{files.integrity(name)}"{own}>'
        for name in files.imported()
    )
    source = escape(endpoint + files.path(ENTRY))
    return f'{preloads}<script type="module" src="{source}" integrity="{files.integrity(ENTRY)}"{own}></script>'


def checked_endpoint(endpoint: str) -> str:
    """Where the app is mounted, without a slash at the end.

    Raises:
        ValueError: this is no path or http URL.
    """
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        raise ValueError(f"endpoint={endpoint!r:.80}: give the path the app is mounted at, as '/jobs'.")
    return endpoint.rstrip("/")


def _refuse_no_run(run: object) -> None:
    if not isinstance(run, Run):
        raise TypeError(f"{run!r:.80} is no run: give what kit.submit(job) answers, or kit.run(id).")


class _Accepted(Response):
    """Decides when it is sent, since only then it knows who asked."""

    def __init__(self, run: Run[Any], endpoint: str) -> None:
        super().__init__(status_code=202, headers={"Cache-Control": "no-store"}, media_type="application/json")
        self._run = run
        self._location = f"{endpoint}/runs/{run.id}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._page() if is_navigation(Headers(scope=scope)) else self._answer()
        response.background = self.background
        response.raw_headers += [header for header in self.raw_headers if header[0] == b"set-cookie"]
        await response(scope, receive, send)

    def _page(self) -> Response:
        token = _sign(self._run, USUAL, URL_TTL, in_url=True)
        return Response(status_code=303, headers=self._told(f"{self._location}?token={token}"))

    def _answer(self) -> Response:
        body = msgspec.json.encode(described(self._run, self._location))
        headers = {**self._told(self._location), "Job-Access-Token": access_token(self._run)}
        return Response(body, 202, headers, "application/json")

    def _told(self, location: str) -> dict[str, str]:
        return {"Location": location, "Cache-Control": "no-store"}


def described(run: Run[Any], location: str) -> dict[str, Any]:
    """What a submission is answered with."""
    return {"id": run.id, "admission": run.admission and run.admission.value, "url": location}


def is_navigation(headers: Headers) -> bool:
    """Whether a browser goes there itself, rather than a script on its page."""
    mode = headers.get("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in headers.get("accept", "")


def _sign(run: Run[Any], actions: Iterable[str], ttl: float, *, in_url: bool = False) -> str:
    signer = Signer(run.kit.secret(), run.kit.operations.namespace)
    return signer.sign(run.id, actions, now=time.time(), ttl=ttl, interest=run.interest, in_url=in_url)


def _attributes(values: dict[str, str | None]) -> str:
    return "".join(f' {name}="{escape(str(value))}"' for name, value in values.items() if value is not None)
