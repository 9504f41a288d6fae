"""A shop in SQLite: made up once, the same on every machine, and exported as CSV.

The shop is written beside its place and moved there when it is complete, so nobody ever opens half of one. Functions
that take long are generators of how many rows they have just done.
"""

from __future__ import annotations

import csv
import os
import random
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDERS = 1_000_000
REGIONS = ("Africa", "Americas", "Asia", "Europe", "Oceania")
FIRST_DAY = date(2024, 1, 1)
DAYS = 731

_CUSTOMERS = 20_000
_BATCH = 5_000
_FIRST_NAMES = ("Ada", "Alan", "Barbara", "Dennis", "Edsger", "Frances", "Grace", "Hedy", "Ken", "Margaret", "Niklaus")
_LAST_NAMES = ("Allen", "Dijkstra", "Hamilton", "Hopper", "Lamarr", "Liskov", "Lovelace", "Ritchie", "Turing", "Wirth")
_THINGS = ("Bottle", "Chair", "Clock", "Desk", "Jacket", "Kettle", "Lamp", "Mirror", "Notebook", "Rug", "Shelf", "Vase")
_STUFFS = ("Ash", "Brass", "Cotton", "Glass", "Linen", "Oak", "Steel", "Stone", "Wool")

_SCHEMA = """
create table customers (id integer primary key, name text not null, region text not null);
create table products (id integer primary key, sku text not null, name text not null, cents integer not null);
create table orders (
    id integer primary key, day text not null, customer integer not null, product integer not null,
    quantity integer not null, cents integer not null
);
"""
_FILTER = """
from orders o join customers c on c.id = o.customer join products p on p.id = o.product
where o.day between :first and :last and (:region = '' or c.region = :region)
"""
COLUMNS = ("order", "day", "customer", "region", "sku", "product", "quantity", "amount")


def build(path: Path, orders: int) -> Iterator[int]:
    """Make the shop; yields how many orders were written since the last time."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as shop:
            yield from _fill(shop, orders)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def matching(path: Path, region: str, first: date, last: date) -> int:
    """How many orders an export will have."""
    with _opened(path) as shop:
        count: int = shop.execute(f"select count(*) {_FILTER}", _parameters(region, first, last)).fetchone()[0]
        return count


def export(path: Path, target: Path, region: str, first: date, last: date) -> Iterator[int]:
    """Write the matching orders as CSV; yields how many were written since the last time. An empty region is all."""
    query = (
        f"select o.id, o.day, c.name, c.region, p.sku, p.name, o.quantity, printf('%.2f', o.cents / 100.0) {_FILTER}"
        " order by o.day, o.id"
    )
    with _opened(path) as shop, target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        rows = shop.execute(query, _parameters(region, first, last))
        while batch := rows.fetchmany(1000):
            writer.writerows(batch)
            yield len(batch)


def _opened(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def _parameters(region: str, first: date, last: date) -> dict[str, str]:
    return {"region": region, "first": first.isoformat(), "last": last.isoformat()}


def _fill(shop: sqlite3.Connection, orders: int) -> Iterator[int]:
    chance = random.Random(42)
    shop.executescript(f"pragma journal_mode = off; pragma synchronous = off; {_SCHEMA}")
    products = list(_products(chance))
    shop.execute("begin")
    shop.executemany("insert into customers values (?, ?, ?)", _customers(chance))
    shop.executemany("insert into products values (?, ?, ?, ?)", products)
    rows = _orders(chance, orders, [cents for *_, cents in products])
    while batch := list(islice(rows, _BATCH)):
        shop.executemany("insert into orders values (?, ?, ?, ?, ?, ?)", batch)
        yield len(batch)
    shop.execute("commit")
    shop.execute("create index orders_by_day on orders (day)")


def _customers(chance: random.Random) -> Iterator[tuple[int, str, str]]:
    for number in range(1, _CUSTOMERS + 1):
        name = f"{chance.choice(_FIRST_NAMES)} {chance.choice(_LAST_NAMES)}"
        yield number, name, chance.choices(REGIONS, (1, 4, 5, 6, 1))[0]


def _products(chance: random.Random) -> Iterator[tuple[int, str, str, int]]:
    names = [f"{stuff} {thing}" for stuff in _STUFFS for thing in _THINGS]
    for number, name in enumerate(names, 1):
        yield number, f"{name[:2].upper()}-{number:03}", name, chance.randrange(500, 25_000, 5)


def _orders(chance: random.Random, count: int, prices: list[int]) -> Iterator[tuple[int, str, int, int, int, int]]:
    """In the order of their days, as a shop that grows: later days are busier."""
    days = [(FIRST_DAY + timedelta(days=day)).isoformat() for day in range(DAYS)]
    random_number = chance.random
    for number in range(count):
        day = days[int((number / count) ** 0.8 * DAYS)]
        product = int(random_number() ** 1.5 * len(prices))
        quantity = 1 + int(random_number() ** 4 * 6)
        customer = 1 + int(random_number() * _CUSTOMERS)
        yield number + 1, day, customer, product + 1, quantity, quantity * prices[product]
