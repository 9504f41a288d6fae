"""The snapshot: its one JSON form, its order, and its fit into web frameworks."""

import asyncio
import json
import subprocess
import sys
from typing import Annotated

import fastapi
import httpx
import msgspec
import pydantic
import pytest

from jobkit.lifecycle import State
from jobkit.snapshot import Failure, ProgressView, QueuePlace, Snapshot, StageView

WIRE = (
    b'{"id":"0-01J","job":"reports.SalesReport","state":"running","version":1794999985201,"start":1,"attempt":1,'
    b'"max_attempts":3,"progress":{"done":1200,"total":5000,"fraction":0.24,"unit":"orders",'
    b'"message":"Reading orders","rate":312.5,"finish_at":1795000000.0,"counts":{"skipped":3},"stages":[]},'
    b'"queue":{"name":"default","position":null,"workers":2,"paused":false},"cancellable":true,"stopping":null,"stalled":false,'
    b'"created_at":1794999980.1,"started_at":1794999981.0,"updated_at":1794999985.2,"finished_at":null,"due_at":null,'
    b'"result":null,"result_inline":true,"result_url":null,"error":null,"retry_of":null}'
)


def running(**changes: object) -> Snapshot:
    return msgspec.structs.replace(Snapshot.from_json(WIRE), **changes)


def test_the_wire_form_of_the_specification_survives_a_round_trip_byte_for_byte() -> None:
    assert Snapshot.from_json(WIRE).to_json() == WIRE


def test_what_is_unknown_is_null_and_never_made_up() -> None:
    fresh = json.loads(Snapshot(id="0-1", job="j", state=State.QUEUED, created_at=1.0, updated_at=1.0).to_json())
    assert fresh["progress"]["total"] is None
    assert fresh["progress"]["fraction"] is None
    assert fresh["progress"]["rate"] is None
    assert fresh["progress"]["finish_at"] is None
    assert fresh["queue"]["position"] is None
    assert fresh["finished_at"] is None


def test_unknown_fields_of_a_newer_writer_are_ignored() -> None:
    newer = WIRE[:-1].replace(b'"done":1200', b'"done":1200,"mood":"good"') + b',"colour":"blue"}'
    assert Snapshot.from_json(newer) == Snapshot.from_json(WIRE)


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b'{"id":"0-1"}', WIRE.replace(b'"running"', b'"sleeping"')])
def test_what_is_no_snapshot_is_refused_as_a_value_error(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="not the JSON of a Snapshot"):
        Snapshot.from_json(garbage)


def test_a_later_start_is_newer_whatever_its_version() -> None:
    assert running(start=2, version=5).order > running(start=1, version=9).order


def test_a_later_version_of_one_start_is_newer() -> None:
    assert running(version=7).order > running(version=6).order


def test_the_progress_can_be_read_from_the_snapshot_itself() -> None:
    snapshot = Snapshot.from_json(WIRE)
    assert (snapshot.done, snapshot.total, snapshot.fraction, snapshot.message) == (1200, 5000, 0.24, "Reading orders")


def test_what_is_counted_is_the_whole_or_the_stage_under_way_that_has_a_total() -> None:
    stages = (
        StageView(name="find", done=12, fraction=1.0),
        StageView(name="read", done=50, total=100, fraction=1.0),
        StageView(name="index", done=6990, total=15190, fraction=0.46),
        StageView(name="write", total=10, fraction=0.0),
    )
    assert ProgressView(done=7002, stages=stages).counted is stages[2]
    whole = ProgressView(done=3, total=9, stages=stages)
    assert whole.counted is whole
    between = ProgressView(done=62, stages=stages[:2])
    assert between.counted is between


def test_whole_numbers_stay_whole_and_fractions_stay_fractions() -> None:
    assert json.loads(ProgressView(done=3, total=4.5).to_json())["done"] == 3
    assert b'"total":4.5' in ProgressView(done=3, total=4.5).to_json()


def test_fragments_are_the_json_that_stands_inside_the_whole() -> None:
    failure = Failure(message="no such month", reference="e-7", public=True)
    stages = (StageView(name="read", weight=3.0, done=1, total=2, fraction=0.5), StageView(name="a", depth=1))
    view = ProgressView(stages=stages)
    whole = running(progress=view, error=failure, state=State.FAILED)
    assert b'"progress":' + view.to_json() in whole.to_json()
    assert b'"error":' + failure.to_json() in whole.to_json()
    assert Snapshot.from_json(whole.to_json()) == whole


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        running().version = 8  # type: ignore[misc]


def test_a_snapshot_is_a_fastapi_response_and_body_with_a_schema() -> None:
    app = fastapi.FastAPI()

    @app.get("/run")
    def read() -> Snapshot:
        return Snapshot.from_json(WIRE)

    @app.post("/run")
    def write(snapshot: Annotated[Snapshot, fastapi.Body()]) -> str:
        return snapshot.id

    async def talk() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            read = await client.get("/run")
            refused = await client.post("/run", json={"id": 1})
            return read, await client.post("/run", json=read.json()), refused

    read_back, written, refused = asyncio.run(talk())
    assert read_back.content == WIRE
    assert written.json() == "0-01J"
    assert refused.status_code == 422
    schema = app.openapi()["paths"]["/run"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["properties"]["progress"]["properties"]["stages"]["items"]["properties"]["name"]["type"] == "string"


def test_a_snapshot_is_a_field_of_a_pydantic_model() -> None:
    class Page(pydantic.BaseModel):
        snapshot: Snapshot
        queue: QueuePlace

    page = Page(snapshot=Snapshot.from_json(WIRE), queue=QueuePlace(name="slow"))
    assert Page.model_validate_json(page.model_dump_json()) == page


def test_importing_the_snapshot_imports_no_pydantic() -> None:
    code = "import sys, jobkit.snapshot; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
