"""`jobkit web`: serves the runs of a kit to browsers."""

from __future__ import annotations

import os

import click
from jobkit_web import allow_all, create_app, serve

from jobkit.cli.kits import app_at, kit_at
from jobkit.cli.lifeline import ends_with_its_starter

READINESS = "--readiness"


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 is all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@click.option("--public", is_flag=True, help="Let everybody who can reach it read, start and cancel.")
@click.option("--app", metavar="MODULE:APP", hidden=True)
@click.option(READINESS, metavar="DESCRIPTOR", type=int, hidden=True, help="A pipe that is told when it listens.")
@ends_with_its_starter
def web(target: str, *, host: str, port: int, public: bool, app: str | None, readiness: int | None) -> None:
    """Serve the runs of a kit to browsers.

    Everything is refused without an access token, which `widget()` and `access_token()` make; --public opens it to all.
    """
    kit = kit_at(target)
    served = app_at(app) if app else create_app(kit, authorize=allow_all if public else None)
    if public:
        click.echo("Warning: --public lets everybody who can reach this read, start and cancel jobs.", err=True)

    def greet(url: str) -> None:
        click.echo(f"Serving on {url}/ (store {kit.location}). Ctrl-C ends it.", err=True)
        if readiness is not None:
            os.write(readiness, b"\n")
            os.close(readiness)

    serve(served, host, port, log_level="warning", access_log=False, ready=greet)
