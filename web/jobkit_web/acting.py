"""Acting: the endpoints that change something: cancelling a run, submitting a job."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec
from starlette.responses import Response

from jobkit.job import spec_of
from jobkit.store.replies import Admission, Cancelling
from jobkit_web.access import Action
from jobkit_web.markup import access_token, described
from jobkit_web.problems import Problem, not_found
from jobkit_web.requests import media_type, read_body, require_json
from jobkit_web.site import root_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobkit_web.guard import Caller, Grant
    from jobkit_web.site import Site

FORM = "application/x-www-form-urlencoded"
LARGEST_FORM = 16 * 1024
NO_STORE = {"Cache-Control": "no-store"}


class Acting:
    """What may be changed over one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def cancel(self, request: Request) -> Response:
        """Withdraw the caller's interest; `?all=true` stops the run for everybody, where `cancel-all` is granted."""
        fields = await _form(request)
        for_all = request.query_params.get("all") == "true"
        action = Action.CANCEL_ALL if for_all else Action.CANCEL
        caller = self._site.caller(request)
        grant = await caller.admit(request.path_params["id"], action, fields.get("token"))
        stopping = await self._withdraw(caller, grant, force=for_all)
        if fields:
            location = await self._site.shown_url(request, grant)
            return Response(status_code=303, headers={**NO_STORE, "Location": location})
        body = msgspec.json.encode({"stopping": stopping})
        return Response(body, 202 if stopping else 200, NO_STORE, "application/json")

    async def submit(self, request: Request) -> Response:
        """Start a job that its author made `submittable`, with the arguments in the body."""
        owner = await self._site.caller(request).may_submit()
        job = self._site.kit.jobs.get(request.path_params["name"])
        if job is None or not spec_of(job).options.submittable:
            raise not_found()
        require_json(request)
        arguments = await read_body(request)
        run = await self._site.kit.asubmit(spec_of(job).decode_arguments(arguments or b"{}"), owner=owner)
        location = f"{root_of(request)}/runs/{run.id}"
        headers = {**NO_STORE, "Location": location, "Job-Access-Token": access_token(run)}
        status = 201 if run.admission is Admission.NEW else 200
        return Response(msgspec.json.encode(described(run, location)), status, headers, "application/json")

    async def _withdraw(self, caller: Caller, grant: Grant, *, force: bool) -> bool:
        store, operations = self._site.kit.async_store(), self._site.kit.operations
        verdict = await store.execute(operations.cancel(grant.run_id, grant.interest, force=force))
        if verdict is Cancelling.STRANGER:
            if not await caller.may_also(grant, Action.CANCEL_ALL):
                raise Problem(403, "You did not submit this run, so you may not stop it.")
            verdict = await store.execute(operations.cancel(grant.run_id, "", force=True))
        return verdict is Cancelling.STOPPING


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form that pages without JavaScript send; empty for everything else."""
    body = await read_body(request, LARGEST_FORM)
    if media_type(request) != FORM:
        return {}
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()} or {"form": ""}
