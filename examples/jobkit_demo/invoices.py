"""Signs invoices, one of which is not fit to be signed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

ROUNDS = 300_000
"""Of key stretching: what makes a signature take a while."""

_VAT_NUMBER = "DE 811 907 980"


class NoVatNumber(Exception):
    """The invoice cannot be signed before somebody completes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Invoice:
    """An invoice; `vat_number` is empty where the customer gave none."""

    number: str
    cents: int
    items: int
    vat_number: str


def invoices(broken: int | None = None, empty: int | None = None, count: int = 40) -> list[Invoice]:
    """A month's invoices; the one at `broken` has no VAT number, the one at `empty` no items."""
    return [
        Invoice(
            number=f"2026-{position:03}",
            cents=1990 * position,
            items=0 if position == empty else 1 + position % 5,
            vat_number="" if position == broken else _VAT_NUMBER,
        )
        for position in range(1, count + 1)
    ]


def sign(invoice: Invoice, rounds: int) -> str:
    """The signature, in hex.

    Raises:
        NoVatNumber: the invoice is not complete.
        ZeroDivisionError: nobody thought of invoices without items.
    """
    if not invoice.vat_number:
        raise NoVatNumber(invoice.number)
    content = f"{invoice.number} {invoice.cents // invoice.items}"
    return hashlib.pbkdf2_hmac("sha256", content.encode(), b"demo", rounds).hex()
