"""The HTTP face of jobkit: one mountable ASGI app."""
