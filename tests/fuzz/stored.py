"""All that a namespace holds at one moment, as the server keeps it, and what it held one event before."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

Pairs = dict[str, str]


class Record(Pairs):
    """The fields of a `run:ID`."""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the model also says of a run, in its terms."""
        facts: dict[str, Any] = {
            "state": self["state"], "queue": self["queue"], "key": self.get("key", ""), "start": self.start,
            "score": round(float(self["score"]) * 1000), "token": self._number("token"),
            "crashes": int(self.get("crashes", "0")), "failures": int(self.get("failures", "0")),
            "incidents": int(self.get("incidents", "0")), "explained": "error" in self,
            "cancelling": self.get("cancelling") == "1",
            "result": self.get("result"), "interests": self.interests, "owners": set(self._named("owner:")),
            "parked": self.get("parked") or None, "labels": self["labels"], "priority": int(self.get("priority", "0")),
            **{name: self._number(name) for name in ("stale_until", "refresh_at", "refuse_until")},
            "done": self._done(), "lost": self.get("lost") == "1", "finished": self._number("finished"),
            "fresh_until": self._number("fresh_until"), "watched": self._number("watched"),
        }  # fmt: skip
        if self["state"] == "running":
            facts |= {"stalled": self._number("stalled"), "killing": self._number("killing")}
            facts |= {"slot": self["slot"], **{name: int(self[name]) for name in ("sequence", "lease", "started")}}
        return facts

    @cached_property
    def interests(self) -> dict[str, bool]:
        return {name: value == "1" for name, value in self._named("interest:").items()}

    @property
    def start(self) -> int:
        return int(self.get("start", "0"))

    @property
    def order(self) -> tuple[int, int]:
        """What tells a watcher the newer of two snapshots."""
        return self.start, int(self["version"])

    def _named(self, kind: str) -> Pairs:
        return {name.removeprefix(kind): value for name, value in self.items() if name.startswith(kind)}

    def _done(self) -> int:
        text = self.get("progress")
        return int(msgspec.json.decode(text).get("done", 0)) if text else 0

    def _number(self, name: str) -> int | None:
        text = self.get(name)
        return int(text) if text else None


HASHES = frozenset({"partition", "run", "key", "slot"})
NUMBERS = frozenset({"bell", "tat"})
COUNTS = frozenset({"parked", "overrides"})
MEMBERS = frozenset({"parking", "holders", "queues"})


class Stored:
    """Content by the key's name without prefix. What did not change since the last read is the same object."""

    def __init__(self) -> None:
        self.ttl: dict[str, int] = {}
        self.runs: dict[str, Record] = {}
        self.hashes: dict[str, Pairs] = {}
        self.sets: dict[str, dict[str, float]] = {}
        self.numbers: dict[str, int] = {}
        self.before: dict[str, Record] = {}
        self.hashes_before: dict[str, Pairs] = {}
        self._raw: dict[bytes, list[Any]] = {}
        self._read: dict[bytes, Any] = {}

    def read(self, reply: list[list[Any]]) -> None:
        """Take in a reply of `read_all.lua`."""
        self.before, self.hashes_before = self.runs, self.hashes
        self.ttl, self.runs, self.hashes, self.sets, self.numbers = {}, {}, {}, {}, {}
        raw, read = {}, {}
        for key, end, content in reply:
            value = self._read[key] if self._raw.get(key) == content else _value(key, content)
            raw[key], read[key] = content, value
            self._file(key.decode(), value)
            self.ttl[key.decode()] = end
        self._raw, self._read = raw, read

    def has_changed(self, name: str) -> bool:
        """Whether the last event wrote this hash: of all that stood there before, or newly, beside others that did."""
        return bool(self.hashes_before) and self.hashes[name] is not self.hashes_before.get(name)

    def _file(self, name: str, value: Any) -> None:
        family, _, rest = name.partition(":")
        if family == "run":
            self.runs[rest] = value
        elif family in HASHES or name in COUNTS:
            self.hashes[name] = value
        elif family in NUMBERS:
            self.numbers[name] = value
        else:
            self.sets[name] = value


def _value(key: bytes, content: list[bytes]) -> Any:
    family = key.partition(b":")[0].decode()
    if family in NUMBERS:
        return int(content[0])
    texts = [text.decode() for text in content]
    if family in MEMBERS:
        return dict.fromkeys(texts, 0.0)
    if family == "run":
        return Record(zip(texts[0::2], texts[1::2], strict=True))
    if family in HASHES or key.decode() in COUNTS:
        return dict(zip(texts[0::2], texts[1::2], strict=True))
    return {member: float(score) for member, score in zip(texts[0::2], texts[1::2], strict=True)}
