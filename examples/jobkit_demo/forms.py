"""What a visitor may start: the forms of the page, and what each makes of what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit import BadArguments, ProgressJob
from jobkit_demo import shop
from jobkit_demo.jobs import CloseMonth, DrawMandelbrot, ExportOrders, IndexWords, SignInvoices
from jobkit_demo.mandelbrot import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A field with a few values; `options` are value and text."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]
    selected: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A field for a date, in ISO format."""

    name: str
    label: str
    value: str
    earliest: str
    latest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A job that may be started, and how it is offered; `title` says what a started one is."""

    key: str
    job: type[ProgressJob[Any]]
    heading: str
    text: str
    button: str
    fields: tuple[Choice | Day, ...]
    title: Callable[[Any], str]

    def read(self, sent: Mapping[str, str]) -> ProgressJob[Any]:
        """The job that was asked for.

        Raises:
            BadArguments: what was sent does not fit.
        """
        try:
            job: ProgressJob[Any] = msgspec.convert(dict(sent), self.job, strict=False)
        except msgspec.ValidationError as error:
            raise BadArguments(f"{self.heading}: {error}") from error
        return job


_FIRST, _LAST = ExportOrders().first, ExportOrders().last
_PLACES = (("both", "Everything"), ("library", "Standard library"), ("packages", "Packages"))
_SIZES = (("640", "640 by 480"), ("960", "960 by 720"), ("1600", "1600 by 1200"))
_LETTERS = (("1", "any"), *((str(n), f"{n} letters") for n in (3, 5, 8, 12)))
_DEATHS = (("killed", "its process is killed"), ("none", "nothing goes wrong"))
_TROUBLES = (("foreseen", "a missing VAT number"), ("unforeseen", "a bug in the job"))


def _day(name: str, label: str, value: str) -> Day:
    return Day(name=name, label=label, value=value, earliest=f"{_FIRST}", latest=f"{_LAST}")


def _from(letters: int) -> str:
    return "" if letters == 1 else f" from {letters} letters"


FORMS = {
    form.key: form
    for form in (
        Form(
            key="picture",
            job=DrawMandelbrot,
            heading="Draw the Mandelbrot set",
            text="Pixel by pixel in plain Python. The picture appears here when it is done.",
            button="Draw",
            fields=(
                Choice(
                    name="view",
                    label="Part",
                    options=tuple((key, view.title) for key, view in VIEWS.items()),
                    selected="seahorses",
                ),
                Choice(name="width", label="Size", options=_SIZES, selected="960"),
            ),
            title=lambda job: f"{VIEWS[job.view].title}, {job.width} by {job.width * 3 // 4}",
        ),
        Form(
            key="export",
            job=ExportOrders,
            heading="Export orders",
            text="From a shop with a million orders to a CSV file. The first export makes the shop.",
            button="Export",
            fields=(
                Choice(
                    name="region",
                    label="Region",
                    options=(("", "All regions"), *((region, region) for region in shop.REGIONS)),
                    selected="Europe",
                ),
                _day("first", "From", f"{_FIRST}"),
                _day("last", "To", f"{_LAST}"),
            ),
            title=lambda job: f"Orders, {job.region or 'all regions'}, {job.first} to {job.last}",
        ),
        Form(
            key="words",
            job=IndexWords,
            heading="Count Python's words",
            text="Reads every Python file of this machine and ranks its words by frequency.",
            button="Count",
            fields=(
                Choice(name="where", label="Files", options=_PLACES, selected="both"),
                Choice(name="shortest", label="Shortest word", options=_LETTERS, selected="5"),
            ),
            title=lambda job: f"Python's words{_from(job.shortest)}, {dict(_PLACES)[job.where].lower()}",
        ),
        Form(
            key="closing",
            job=CloseMonth,
            heading="Close the month",
            text="Signs 40 invoices and adds them up. Half-way its process is killed, and another goes on from there.",
            button="Close",
            fields=(Choice(name="trouble", label="Half-way", options=_DEATHS, selected="killed"),),
            title=lambda job: f"The month's closing, {dict(_DEATHS)[job.trouble]}",
        ),
        Form(
            key="invoices",
            job=SignInvoices,
            heading="Sign invoices",
            text="Fails at the 27th of 40, to show what people see then: a reason, or a reference.",
            button="Sign",
            fields=(Choice(name="trouble", label="Problem", options=_TROUBLES, selected="foreseen"),),
            title=lambda job: f"Invoices, with {dict(_TROUBLES)[job.trouble]}",
        ),
    )
}
