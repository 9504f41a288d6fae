"""Somebody with a browser: opens pages, sees what is shown there, and writes down what goes wrong."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page

RIGHT_AGAIN_MS = 15_000
"""Within this time after an outage, a page shows how things are, also on a machine that does other things."""

_NETWORK = re.compile(r"Failed to load resource|net::ERR_")

_WITNESS = """
window.seen = [];
for (const name of ["job-progress", "job-success", "job-failure", "job-cancelled", "job-connection"])
  document.addEventListener(name, ({ target, detail }) => {
    const bar = target.shadowRoot.querySelector("progress");
    const { id, state, start, version } = detail.snapshot ?? {};
    seen.push({ name, id, state, start, version, bar: bar.hasAttribute("value") ? bar.value : null });
  });
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error(`violates ${violatedDirective}: ${blockedURI}`));
"""

_ASK = """
async (element, path) => {
  const headers = { authorization: `Bearer ${element.getAttribute("token")}` };
  const url = `${element.getAttribute("endpoint")}/runs/${element.getAttribute("run")}${path}`;
  const response = await fetch(url, { headers });
  return `${response.status} ${await response.text()}`;
}
"""


class Visitor:
    """A browser of one's own: its cookies, its pages, its troubles."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.requests: list[str] = []
        self._troubles: list[str] = []
        context.add_init_script(_WITNESS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._troubles.append(f"{error.error}"))
        context.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> Widget:
        """A new page with one run on it."""
        page = self.context.new_page()
        page.goto(address)
        return Widget(page)

    def troubles(self, *, network: bool) -> list[str]:
        """Errors and warnings of all pages; with `network`, those that an outage brings are expected."""
        return [trouble for trouble in self._troubles if not (network and _NETWORK.search(trouble))]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._troubles.append(f"{message.text} ({message.location.get('url', '')})")


class Widget:
    """A run as a page shows it; the only one, or the one at `position`."""

    def __init__(self, page: Page, position: int = 0) -> None:
        self.page = page
        self.element = page.locator("job-progress").nth(position)
        self.bar = self.element.get_by_role("progressbar")
        self.cancel = self.element.get_by_role("button", name="Cancel", exact=True)
        self.download = self.element.get_by_role("link", name="Download")

    def part(self, name: str) -> Locator:
        return self.element.locator(f"[part={name}]")

    def is_in_state(self, state: str, within_ms: float = 10_000) -> None:
        expect(self.element).to_have_attribute("state", state, timeout=within_ms)

    def is_at(self, percent: int, within_ms: float = 10_000) -> None:
        expect(self.part("percent")).to_have_text(f"{percent}%", timeout=within_ms)
        expect(self.bar).to_have_js_property("value", percent / 100)

    def says(self, text: str, within_ms: float = 10_000) -> None:
        expect(self.part("message")).to_contain_text(text, timeout=within_ms)

    def is_done(self, within_ms: float = 10_000) -> None:
        """Shown as succeeded, with the bar full and the result at hand."""
        self.is_in_state("succeeded", within_ms)
        self.is_at(100)
        expect(self.download).to_be_visible()
        expect(self.cancel).to_be_hidden()

    def result(self) -> Any:
        """What the link to the result leads to."""
        url = self.download.evaluate("(link) => link.href")
        return self.page.evaluate("async (url) => (await fetch(url)).json()", url)

    def ask(self, path: str) -> str:
        """The answer to the page's own script for something of the run, as it came."""
        text: str = self.element.evaluate(_ASK, path)
        return text

    def seen(self) -> list[dict[str, Any]]:
        """What the page has been told since it was loaded, and how far the bar was each time."""
        seen: list[dict[str, Any]] = self.page.evaluate("seen")
        return seen

    def starts(self) -> list[int]:
        return sorted({event["start"] for event in self.seen() if event["start"]})

    def never_ran_backwards(self) -> None:
        for one, next_one in pairwise(event for event in self.seen() if event["state"]):
            assert next_one["start"] >= one["start"]
            if next_one["start"] == one["start"]:
                assert next_one["version"] >= one["version"]
                assert (next_one["bar"] or 0) >= (one["bar"] or 0)


_SPOKEN = ("group", "progressbar", "button", "link", "status", "alert")


def accessible(page: Page) -> dict[str, str]:
    """What the browser itself tells assistive technology: of each role the name, and the value or text there is."""
    session = page.context.new_cdp_session(page)
    nodes = {node["nodeId"]: node for node in session.send("Accessibility.getFullAXTree")["nodes"]}
    session.detach()
    spoken = [node for node in nodes.values() if not node["ignored"] and node["role"]["value"] in _SPOKEN]
    said = {node["role"]["value"]: ", ".join(filter(None, _said(node, nodes))) for node in spoken}
    assert len(said) == len(spoken), "no role is there twice"
    return said


def _said(node: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    text = "".join(nodes[child]["name"]["value"] for child in node["childIds"] if "name" in nodes[child])
    value = f"{node['value']['value']:g}" if "value" in node else ""
    return node["name"]["value"], text if node["role"]["value"] == "status" else value
