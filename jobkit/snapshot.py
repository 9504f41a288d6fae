"""Responsible for the snapshot: the immutable readable state of a run, and its one JSON form.

The same JSON travels over SSE, polling, the command line and Python, so the order and the names of the
fields below are the wire format. Moments are epoch seconds (UTC). What is not known is None: a total, a
fraction or an estimate is never made up as 0 or 100 %. Unknown fields are ignored when decoding, so an older
reader understands a newer writer. A snapshot never holds the arguments, the owners or the tags of a run.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from jobkit.lifecycle import State
from jobkit.schema import core_schema, json_schema

Number = int | float

LARGEST_INLINE_RESULT: Final = 16 * 1024
"""Bytes of a result that travel inside the snapshot; a larger one is fetched by itself."""

T = TypeVar("T")


class _Readable(msgspec.Struct, frozen=True, kw_only=True):
    """A value that also fits pydantic models and FastAPI signatures."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> dict[str, Any]:
        return core_schema(cls._validated, msgspec.to_builtins)

    @classmethod
    def __get_pydantic_json_schema__(cls, _core_schema: object, _handler: object) -> dict[str, Any]:
        return json_schema(cls)

    @classmethod
    def _validated(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        return _decoded(lambda: msgspec.convert(value, cls), cls.__name__)


class StageView(_Readable, frozen=True, kw_only=True):
    """A stage as a reader sees it; stages are listed in tree order, `depth` tells the nesting."""

    name: str
    depth: int = 0
    done: Number = 0
    total: Number | None = None
    fraction: float | None = None
    weight: float | None = None
    """The declared weight among its siblings; None for a stage that was not declared."""
    unit: str = ""
    message: str = ""


class ProgressView(_Readable, frozen=True, kw_only=True):
    """How far a run is: the part of a snapshot that the performing side reports."""

    done: Number = 0
    total: Number | None = None
    fraction: float | None = None
    unit: str = ""
    message: str = ""
    rate: float | None = None
    """Units of `done` per second."""
    finish_at: float | None = None
    """The estimated moment of the end, in epoch seconds: absolute, so that readers tick by themselves."""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    stages: tuple[StageView, ...] = ()

    @property
    def counted(self) -> "ProgressView | StageView":
        """What has `done` of `total`: the whole, or where that has no total, the stage under way that has one."""
        if self.total is not None:
            return self
        under_way = (stage for stage in self.stages if stage.total and 0 < (stage.fraction or 0) < 1)
        return next(under_way, self)

    def to_json(self) -> bytes:
        return _ENCODER.encode(self)


class QueuePlace(_Readable, frozen=True, kw_only=True):
    """Where a run waits: `position` and `workers` are known only while it is queued.

    `paused`: it waits, and nothing is taken from its queue until somebody resumes that.
    """

    name: str = "default"
    position: int | None = None
    workers: int | None = None
    paused: bool = False


class Failure(_Readable, frozen=True, kw_only=True):
    """Why a run failed, as far as the reader may know: `public` says that the job itself chose the text."""

    message: str
    reference: str = ""
    public: bool = False

    def to_json(self) -> bytes:
        return _ENCODER.encode(self)


class Snapshot(_Readable, frozen=True, kw_only=True):
    """The state of a run at one version; the higher `order` is the newer of two snapshots of a run."""

    id: str
    job: str
    state: State
    version: int = 0
    start: int = 0
    attempt: int = 1
    max_attempts: int = 1
    progress: ProgressView = ProgressView()
    queue: QueuePlace = QueuePlace()
    cancellable: bool = False
    stopping: Literal["cancelling", "killing"] | None = None
    """How far it has come with ending a run that still goes on: it was told, or its process is being killed."""
    stalled: bool = False
    """Whether it has made no progress for its `stall_limit`."""
    created_at: float
    started_at: float | None = None
    updated_at: float
    finished_at: float | None = None
    due_at: float | None = None
    """When it may start, while it is scheduled: for its time, or for its next attempt."""
    result: Any = None
    result_inline: bool = True
    result_url: str | None = None
    error: Failure | None = None
    """Why it failed, or, while it waits for its next attempt, why the last one did."""
    retry_of: str | None = None
    """The run that this one is made after (`kit.retry`)."""

    @classmethod
    def from_json(cls, data: bytes | str) -> "Snapshot":
        """Read the wire form, ignoring fields this version does not know.

        Raises:
            ValueError: if `data` is not the JSON of a snapshot.
        """
        return _decoded(lambda: _DECODER.decode(data), "Snapshot")

    def to_json(self) -> bytes:
        return _ENCODER.encode(self)

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two snapshots of the same run is newer: (start, version)."""
        return (self.start, self.version)

    @property
    def done(self) -> Number:
        return self.progress.done

    @property
    def total(self) -> Number | None:
        return self.progress.total

    @property
    def fraction(self) -> float | None:
        return self.progress.fraction

    @property
    def message(self) -> str:
        return self.progress.message


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Snapshot)


def _decoded(decode: Callable[[], T], name: str) -> T:
    try:
        return decode()
    except msgspec.MsgspecError as error:
        raise ValueError(f"This is not the JSON of a {name}: {error}.") from error
