"""The README's first screen. In this folder: jobkit dev reports:kit --app reports:app, then open /sales/2026-03."""

from datetime import timedelta

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jobkit_web import create_app, widget
from orders import orders

from jobkit import JobKit, Progress, ProgressJob


class SalesReport(ProgressJob[dict[str, float]]):
    month: str  # arguments are annotated fields: typed, validated, serialized
    region: str = "EU"
    cache_key = ("month", "region")  # which arguments make two jobs identical; ALL = every field
    cache_ttl = timedelta(hours=1)  # options are un-annotated class attributes

    def perform(self, progress: Progress) -> dict[str, float]:
        totals: dict[str, float] = {}
        for order in progress.track(orders(self.month), message="Reading orders"):
            if order.region == self.region:
                totals[order.sku] = totals.get(order.sku, 0.0) + order.amount
        return totals


kit = JobKit(jobs=[SalesReport])  # JOBKIT_URL, else an embedded Valkey under .jobkit/
app = FastAPI()
app.mount("/jobs", create_app(kit))

PAGE = """<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Sales report</title>
{}"""


@app.get("/sales/{month}", response_class=HTMLResponse)
async def sales(month: str) -> str:
    run = await kit.asubmit(SalesReport(month=month))
    return PAGE.format(widget(run, endpoint="/jobs"))
