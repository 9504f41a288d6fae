"""Views: what a reader is shown of the store's snapshots.

The store's bytes hold all there is. Before they leave the process, a failure's text is replaced unless the job raised
it as public, and a succeeded run gets the URL of its result, if this reader may fetch it. Nothing else is changed, so
the bytes of a run that goes on are the same for everybody and are passed on as they are.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jobkit.files import MARK, with_files_replaced
from jobkit.snapshot import LARGEST_INLINE_RESULT

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED = "Something went wrong while this was made."

_UNTOUCHED = b'"result":null,"result_inline":true,"result_url":null,"error":null,"retry_of":'


class View(NamedTuple):
    """How one reader sees a run; readers with equal views share their bytes.

    `root` is where the app is mounted; `result` tells whether they may fetch the result; `signed` whether its URL must
    carry an access token, since they hold no session.
    """

    root: str
    result: bool
    signed: bool


def shown(body: bytes, view: View, sign: Callable[[str], str], result: bytes | None = None) -> bytes:
    """The JSON of a snapshot for one view. `sign` makes a token for a run's result; a small `result` is put in."""
    if _UNTOUCHED in body and b'"state":"succeeded"' not in body:
        return body
    snapshot: dict[str, Any] = msgspec.json.decode(body)
    _redact(snapshot["error"])
    if snapshot["state"] == "succeeded":
        _show_result(snapshot, view, sign, result)
    return msgspec.json.encode(snapshot)


def with_file_urls(value: Any, url: str) -> Any:
    """A result whose kept files are links, not descriptions: where a file lies is nobody's business."""
    numbers = count()
    mark = "&" if "?" in url else "?"

    def linked(description: dict[str, Any]) -> object:
        file = description[MARK]
        shown = {"name": file["name"], "media_type": file["media_type"], "size": file["size"]}
        return {**shown, "url": f"{url}{mark}file={next(numbers)}"}

    return with_files_replaced(value, linked)


def files_in(value: Any) -> list[dict[str, Any]]:
    """The descriptions of a result's files, in the order that `with_file_urls` numbers them."""
    found: list[dict[str, Any]] = []
    with_files_replaced(value, found.append)
    return found


def has_files(result: bytes) -> bool:
    return f'"{MARK}":'.encode() in result


def _redact(error: dict[str, Any] | None) -> None:
    if error is not None and not error["public"]:
        error["message"] = REDACTED


def _show_result(snapshot: dict[str, Any], view: View, sign: Callable[[str], str], result: bytes | None) -> None:
    if view.result:
        url = f"{view.root}/runs/{snapshot['id']}/result"
        snapshot["result_url"] = f"{url}?token={sign(snapshot['id'])}" if view.signed else url
    if view.result and result is not None and len(result) <= LARGEST_INLINE_RESULT:
        snapshot["result"], snapshot["result_inline"] = msgspec.json.decode(result), True
    if not snapshot["result_inline"]:
        return
    if view.result:
        snapshot["result"] = with_file_urls(snapshot["result"], snapshot["result_url"])
    elif files_in(snapshot["result"]):  # public as a value, but this reader may fetch no file
        snapshot["result"], snapshot["result_inline"] = None, False
