"""The demo: five jobs on real input, and a page that starts and watches them, without a line of JavaScript of its own.

`jobkit demo` is `jobkit dev jobkit_demo:kit --app jobkit_demo:app`.
"""

from jobkit_demo.site import app, kit

__all__ = ["app", "kit"]
