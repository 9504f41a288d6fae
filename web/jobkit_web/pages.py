"""Pages: a run, or a refusal, for a person. They work without JavaScript, and say more with it.

Without it the page fetches itself anew every few seconds until the run has ended, and a form cancels. With it,
`<job-progress>` takes the place of what stands inside it. Nothing is inline, so the strictest policy holds; every text
of a job is escaped, and what steers a terminal or turns the writing direction is shown as a box.
"""

from __future__ import annotations

import time
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from jobkit.lifecycle import State
from jobkit_web.assets import PAGE_SCRIPT, STYLE, assets
from jobkit_web.markup import scripts

if TYPE_CHECKING:
    from starlette.requests import Request

REFRESH = 2
"""Seconds after which a page without JavaScript is fetched anew."""
SOON = 3600
"""Seconds until a start that are told as such; what is farther off is told by its moment."""
LONGEST_RESULT = 20_000
"""Characters of a value that are shown."""

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Vary": "Accept",
}

_TITLES = {
    "scheduled": "Scheduled",
    "queued": "Waiting",
    "running": "In progress",
    "succeeded": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
_STOPPING = {"cancelling": "It was told to stop.", "killing": "It does not stop, so it is killed."}
_TITLES_JSON = msgspec.json.encode(_TITLES).decode()
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class PageAccess:
    """What the page may use. Both tokens are None for readers with a session."""

    token: str | None
    url_token: str | None
    cancels: bool


def page_wanted(request: Request) -> bool:
    """Whether the answer should be a page rather than JSON."""
    accept = request.headers.get("accept", "").lower()
    page, json = accept.find("text/html"), accept.find("application/json")
    return page >= 0 and (json < 0 or page < json)


def run_page(root: str, snapshot: dict[str, Any], access: PageAccess) -> str:
    """The page of one run, from a snapshot as this reader is shown it."""
    going = not State(snapshot["state"]).terminal
    address = f"{root}/runs/{snapshot['id']}"
    here = f"{address}?token={access.url_token}" if access.url_token else address
    title = _TITLES[snapshot["state"]]
    head = f'<noscript><meta http-equiv="refresh" content="{REFRESH};url={escape(here)}"></noscript>' if going else ""
    body = (
        f'<p class="job">{_text(_name(snapshot["job"]))}</p>'
        f"<h1>{title}</h1>"
        f"{_live(root, snapshot, access) if going else _ending(snapshot)}"
        f"{_cancel_form(address, snapshot, access) if going else ''}"
        f"{_facts(snapshot)}"
    )
    return _page(root, f"{title} · {_name(snapshot['job'])}", body, snapshot["state"], head, script=going)


def problem_page(request: Request, title: str, detail: str) -> str:
    """The page of a refusal."""
    root = request.scope.get("root_path", "").rstrip("/")
    return _page(root, title, f"<h1>{_text(title)}</h1><p>{_text(detail)}</p>", "failed")


def _page(root: str, title: str, body: str, state: str, head: str = "", *, script: bool = False) -> str:
    style = f"{root}{assets().path(STYLE)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        '<link rel="icon" href="data:,">'
        f"<title>{_text(title)}</title>"
        f'<link rel="stylesheet" href="{escape(style)}" integrity="{assets().integrity(STYLE)}">'
        f"{head}{_scripts(root) if script else ''}</head>"
        f'<body><main class="card {state}" data-titles="{escape(_TITLES_JSON)}">{body}</main></body></html>'
    )


def _scripts(root: str) -> str:
    source = escape(root + assets().path(PAGE_SCRIPT))
    own = f'<script type="module" src="{source}" integrity="{assets().integrity(PAGE_SCRIPT)}"></script>'
    return scripts(root) + own


def _live(root: str, snapshot: dict[str, Any], access: PageAccess) -> str:
    attributes = {"run": snapshot["id"], "endpoint": root, "token": access.token}
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items() if value is not None)
    cancellable = " cancellable" if access.cancels else ""
    return f"<job-progress{written}{cancellable}>{_bar(snapshot)}</job-progress>"


def _bar(snapshot: dict[str, Any]) -> str:
    progress = snapshot["progress"]
    fraction = progress["fraction"]
    value = "" if fraction is None else f' value="{float(fraction):.4f}"'
    percent = "" if fraction is None else f'<span class="percent">{int(fraction * 100)} %</span>'
    return (
        f'<progress aria-label="Progress"{value}></progress>'
        f'<p class="message"><span>{_said(snapshot)}</span>{percent}</p>'
        f'<p class="detail">{_detail(snapshot)}</p>'
        f"{_trouble(snapshot)}"
    )


def _trouble(snapshot: dict[str, Any]) -> str:
    """For pages without JavaScript: the element shows it in its own way."""
    said = _STOPPING.get(snapshot["stopping"]) or ("No progress for a while." if snapshot["stalled"] else "")
    return f'<p class="detail">{said}</p>' if said else ""


def _said(snapshot: dict[str, Any]) -> str:
    """What an earlier start last said is old while the next one has its time."""
    if snapshot["state"] == "scheduled":
        return _scheduled(snapshot)
    return _text(snapshot["progress"]["message"]) or _waiting(snapshot)


def _waiting(snapshot: dict[str, Any]) -> str:
    queue = snapshot["queue"]
    if queue["paused"]:
        return "Its queue is paused at the moment."
    if snapshot["state"] != "queued":
        return ""
    if queue["workers"] == 0:
        return "No worker serves this queue at the moment."
    position = queue["position"]
    return {None: "", 1: "Next in line"}.get(position, f"Number {position} in line")


def _scheduled(snapshot: dict[str, Any]) -> str:
    attempt = snapshot["attempt"]
    what = f"Attempt {attempt} of {snapshot['max_attempts']}" if attempt > 1 else "Starts"
    if snapshot["due_at"] is None:
        return f"{what} later"
    left = snapshot["due_at"] - time.time()
    if left < 1:
        return f"{what} at any moment"
    return f"{what} in {_duration(left)}" if left < SOON else f"{what} at {_moment(snapshot['due_at'])}"


def _detail(snapshot: dict[str, Any]) -> str:
    """Of a run between two attempts why the last one failed."""
    error = snapshot["error"]
    return _counted(snapshot["progress"]) if error is None else _text(error["message"])


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{round(whole / 60)} min"


def _counted(progress: dict[str, Any]) -> str:
    """Of a run in stages the one under way, as the element does."""
    under_way = (stage for stage in progress["stages"] if stage["total"] and 0 < (stage["fraction"] or 0) < 1)
    counted = progress if progress["total"] is not None else next(under_way, progress)
    if not counted["done"]:
        return ""
    of = "" if counted["total"] is None else f" of {_number(counted['total'])}"
    return f"{_number(counted['done'])}{of} {_text(counted['unit'] or progress['unit'])}"


def _ending(snapshot: dict[str, Any]) -> str:
    if snapshot["state"] == "succeeded":
        return _result(snapshot)
    if snapshot["state"] == "cancelled":
        return "<p>This was stopped before it was done.</p>"
    error = snapshot["error"] or {"message": "", "reference": ""}
    reference = f'<p class="detail">Reference: <code>{_text(error["reference"])}</code></p>'
    return f'<p class="message">{_text(error["message"])}</p>{reference}'


def _result(snapshot: dict[str, Any]) -> str:
    url = snapshot["result_url"]
    result = snapshot["result"] if snapshot["result_inline"] else None
    if url is None and result is None:
        return "<p>It is done.</p>"
    if result is None and not snapshot["result_inline"]:
        return f'<p><a class="button" href="{escape(url)}">Open the result</a></p>'
    files: list[dict[str, Any]] = []
    value = _without_files(result, f"{url}{'&' if '?' in str(url) else '?'}file=", files)
    links = "".join(map(_file, files))
    if isinstance(result, dict) and result in files:
        return links
    shown = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f'{links}<pre tabindex="0">{_text(shown[:LONGEST_RESULT], keep=chr(10))}</pre>'


def _without_files(value: Any, address: str, files: list[dict[str, Any]]) -> Any:
    """The value with names in the place of its files, which are put into `files`.

    A file is what has the address of the next file of this very result: values that only look so stay what they are.
    """
    match value:
        case {"name": str(name), "media_type": str(), "size": int(), "url": str(url)} if (
            len(value) == 4 and url == f"{address}{len(files)}"
        ):
            files.append(value)
            return name
        case dict():
            return {key: _without_files(each, address, files) for key, each in value.items()}
        case list():
            return [_without_files(each, address, files) for each in value]
        case _:
            return value


def _file(file: dict[str, Any]) -> str:
    address = escape(file["url"])
    name = _text(file["name"])
    picture = f'<p><img src="{address}" alt="{name}"></p>' if file["media_type"] in _PICTURES else ""
    size = f'<span class="detail">{_size(file["size"])}</span>'
    return f'{picture}<p><a class="button" href="{address}" download="{name}">Download {name}</a> {size}</p>'


def _cancel_form(address: str, snapshot: dict[str, Any], access: PageAccess) -> str:
    if not (access.cancels and snapshot["cancellable"]):
        return ""
    token = f'<input type="hidden" name="token" value="{access.url_token}">' if access.url_token else ""
    return (
        f'<noscript><form method="post" action="{escape(quote(address, safe="/:"))}/cancel">{token}'
        '<button type="submit">Cancel</button></form></noscript>'
    )


def _facts(snapshot: dict[str, Any]) -> str:
    rows = [("Run", f"<code>{_text(snapshot['id'])}</code>"), ("Asked for", _moment(snapshot["created_at"]))]
    if snapshot["attempt"] > 1:
        rows.append(("Attempt", f"{snapshot['attempt']} of {snapshot['max_attempts']}"))
    if snapshot["started_at"]:
        rows.append(("Started", _moment(snapshot["started_at"])))
    if snapshot["finished_at"]:
        rows.append(("Ended", _moment(snapshot["finished_at"])))
    return f"<dl>{''.join(f'<div><dt>{name}</dt><dd>{value}</dd></div>' for name, value in rows)}</dl>"


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _size(size: int) -> str:
    number, unit = float(size), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def _name(job: str) -> str:
    return job.rpartition(".")[2]


def _text(text: str, keep: str = "") -> str:
    """Text of somebody else's, harmless: no markup, and nothing invisible that acts."""
    visible = "".join(
        char if char in keep or unicodedata.category(char) not in ("Cc", "Cf", "Cs") else "\ufffd" for char in text
    )
    return escape(visible)
