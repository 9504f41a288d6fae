"""Engines: what brings workers to look, beyond the store's own bell. None knows another."""
