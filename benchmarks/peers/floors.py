"""Floors: the least that each act could take, by what everybody has: functools, cachetools, json, hashlib, redis-py."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import redis
import redis.asyncio
from cachetools import TTLCache
from cachetools.keys import hashkey

from benchmarks.peers import DPI, HOUR, MONTH, PAGES, REGION, RESULT, Act, Peer, Place, bulks, report, second_of_threads
from benchmarks.rounds import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rounds import Batch

DATABASE = 4
GET = "GET, redis-py"
GET_ASYNC = "GET, redis.asyncio"
_BODY = json.dumps(RESULT).encode()


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    with redis.Redis.from_url(place.url(DATABASE)) as client, asyncio.Runner() as runner:
        looping = redis.asyncio.Redis.from_url(place.url(DATABASE))
        client.set(_digest(MONTH, REGION, DPI, PAGES), _BODY)
        yield Peer(
            name="floors",
            version=f"redis-py {version('redis')}, cachetools {version('cachetools')}",
            acts=[
                Act(kind="hit", name=GET, do=each(lambda: client.get("nothing")), beside=GET),
                Act(kind="hit", name=GET_ASYNC, do=_each_get(runner, looping), beside=GET_ASYNC),
                Act(kind="hit", name="GET + json, key by json + SHA-1", do=each(lambda: _found(client)), beside=GET),
                *_in_memory(),
                Act(kind="bulk", name="a pipeline of SET, redis-py", do=_pipelined(client)),
                *_keys(),
            ],
            seconds={"functools.lru_cache": lambda: second_of_threads(functools.lru_cache)},
        )
        runner.run(looping.aclose())


def _in_memory() -> list[Act]:
    remembered = functools.lru_cache(report)
    bodies: TTLCache[object, bytes] = TTLCache(maxsize=1000, ttl=HOUR)
    bodies[hashkey(MONTH, REGION, DPI, PAGES)] = _BODY
    return [
        Act(kind="hit", name="functools.lru_cache", do=each(lambda: remembered(MONTH, REGION, DPI, PAGES))),
        Act(
            kind="hit",
            name="cachetools.TTLCache + json.loads",
            do=each(lambda: json.loads(bodies[hashkey(MONTH, REGION, DPI, PAGES)])),
        ),
    ]


def _keys() -> list[Act]:
    return [
        Act(kind="key", name="hash of a tuple", do=each(lambda: hash((MONTH, REGION, DPI, PAGES)))),
        Act(kind="key", name="cachetools.keys.hashkey", do=each(lambda: hash(hashkey(MONTH, REGION, DPI, PAGES)))),
        Act(kind="key", name="json.dumps + SHA-1", do=each(lambda: _digest(MONTH, REGION, DPI, PAGES))),
    ]


def _digest(*arguments: object) -> str:
    return hashlib.sha1(json.dumps(arguments).encode(), usedforsecurity=False).hexdigest()


def _found(client: redis.Redis) -> object:
    return json.loads(client.get(_digest(MONTH, REGION, DPI, PAGES)))  # type: ignore[arg-type]


def _each_get(runner: asyncio.Runner, client: redis.asyncio.Redis) -> Batch:
    async def batch(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await client.get("nothing")

    return lambda times: runner.run(batch(times))


def _pipelined(client: redis.Redis) -> Batch:
    numbers = itertools.count()

    def bulk(times: int) -> None:
        for size in bulks(times):
            pipeline = client.pipeline(transaction=False)
            for _ in range(size):
                pipeline.set(f"report:{next(numbers)}", _BODY, ex=HOUR)
            pipeline.execute()

    return bulk
