"""The orders that `reports.py` adds up: a year of a small shop, made up, in `orders.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One order."""

    day: str
    region: str
    sku: str
    amount: float


def orders(month: str) -> list[Order]:
    """The orders of a month, such as "2026-03"."""
    with Path(__file__).with_name("orders.csv").open(newline="", encoding="utf-8") as file:
        return [
            Order(day=row["day"], region=row["region"], sku=row["sku"], amount=float(row["amount"]))
            for row in csv.DictReader(file)
            if row["day"].startswith(month)
        ]
