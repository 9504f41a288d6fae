"""How a soak judges, and that it runs; whether anything grows takes an hour: `make soak`."""

from __future__ import annotations

import asyncio

import pytest

from tests.soak.__main__ import soaked, told
from tests.soak.gauges import COUNT, MEMORY, Gauge


def test_what_wobbles_is_flat() -> None:
    assert Gauge("memory", MEMORY, [40.0, 60.0, 59.5, 60.2] * 10).is_flat


def test_what_grows_at_first_only_is_flat() -> None:
    assert Gauge("memory", MEMORY, [float(min(20 + n, 50)) for n in range(90)]).is_flat


def test_a_slow_leak_is_not_flat() -> None:
    assert not Gauge("memory", MEMORY, [50 + n * 0.1 for n in range(90)]).is_flat


def test_what_falls_is_flat() -> None:
    assert Gauge("keys", COUNT, [100.0 - n for n in range(90)]).is_flat


def test_one_descriptor_a_minute_is_not_flat() -> None:
    assert not Gauge("descriptors", COUNT, [float(20 + n // 3) for n in range(60)]).is_flat


def test_a_gauge_that_was_hardly_read_cannot_be_judged() -> None:
    with pytest.raises(AssertionError, match="read 2 times only"):
        assert Gauge("keys", COUNT, [1.0, 1.0]).is_flat


def test_a_soak_of_seconds_answers_everybody_rightly() -> None:
    report = asyncio.run(soaked(seed=1, seconds=2, pools=["thread"]))
    assert report["orders"] > 5
    assert not report["wrong"], report["wrong"][0]
    assert "thread, child 1: descriptors" in told(report)
