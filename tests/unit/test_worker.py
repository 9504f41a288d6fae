"""What a worker may be told to be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobkit.worker import Worker


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ({"pool": "fiber"}, "pool must be one of process, thread, asyncio, not 'fiber'."),
        ({"concurrency": 0}, "concurrency must be 1 or more, not 0."),
        ({"max_runs_per_child": 0}, "max_runs_per_child must be 1 or more, not 0."),
        ({"max_memory_per_child": "500"}, 'max_memory_per_child must be a whole number of bytes or a text as "512 MB"'),
        ({"memory_limit": 1000}, 'memory_limit must be a whole number of bytes or a text as "512 MB"'),
        ({"lease": 0.1}, "lease must be 0.2 to 3600 seconds, not 0.1."),
        ({"grace": float("nan")}, "grace must be 0 seconds or more, not nan."),
        ({"log_format": "xml"}, "log_format must be one of text, json, not 'xml'."),
        ({"queues": ()}, "queues must be a tuple of one or more names"),
    ],
)
def test_what_a_worker_cannot_be_is_refused_with_advice(option: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        Worker("reports:kit", **option)


def test_sizes_of_memory_are_bytes_or_texts_and_mean_the_same_everywhere() -> None:
    settings = Worker("reports:kit", max_memory_per_child="500 MB", memory_limit=500 * 1024**2)._settings()
    assert settings.most_memory == settings.memory_limit == 500 * 1024**2
