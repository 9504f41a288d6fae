"""The HTTP face of jobkit: one mountable ASGI app, and the markup that shows a run on any page."""

from jobkit_web.app import create_app
from jobkit_web.guard import allow_all
from jobkit_web.markup import accepted, access_token, widget
from jobkit_web.serving import CannotServe, serve

__all__ = ["CannotServe", "accepted", "access_token", "allow_all", "create_app", "serve", "widget"]
