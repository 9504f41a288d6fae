"""The page as HTML: forms to start jobs, and the runs that were started. Pure; every text from outside is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from jobkit import File, Snapshot, State
from jobkit_demo.forms import FORMS, Choice, Day, Form
from jobkit_demo.jobs import Closing, Export, Picture, WordIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit_demo.visits import Started

JOBS_PATH = "/jobs"
"""Where the app of `create_app` is mounted."""

_ADMISSIONS = {
    "new": "New run",
    "joined": "Joined a run that was under way",
    "cached": "Answered from memory",
    "stale": "Answered from memory, and made anew",
    "refused": "Failed a moment ago, and not tried again yet",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A run on the page: how it was started, how it stands, its widget, and what it made."""

    started: Started
    snapshot: Snapshot
    widget: str
    result: object = None


def page(runs: Sequence[Shown], style: str, problem: str = "") -> str:
    """The whole page. `style` is the address of its style sheet."""
    sections = (_runs(runs), _forms()) if runs else (_forms(), _runs(runs))  # where they stand below each other
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>jobkit demo</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{escape(style)}">
</head>
<body>
<header>
<p class="name">jobkit <span>demo</span></p>
<h1>Start something that takes a while</h1>
<p>Watch it here, in a second tab, or after a reload. This page has no JavaScript of its own:
the live parts are <code>widget(run)</code>.</p>
</header>
{_problem(problem)}
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def _problem(text: str) -> str:
    return f'<p class="problem" role="alert">{escape(text)}</p>' if text else ""


def _forms() -> str:
    return f"""<section class="forms" id="forms" aria-labelledby="forms-heading">
<h2 id="forms-heading">Start a job</h2>
{"".join(_form(form) for form in FORMS.values())}
</section>
"""


def _runs(runs: Sequence[Shown]) -> str:
    return f"""<section class="runs" aria-labelledby="runs-heading">
<h2 id="runs-heading">Your runs</h2>
{_TO_THE_FORMS if runs else ""}
{"".join(map(_run, runs)) or _NOTHING_YET}
{_HINTS if runs else ""}
</section>
"""


def _form(form: Form) -> str:
    fields = "".join(_field(form, field) for field in form.fields)
    return f"""<form class="card" method="post" action="/start/{form.key}">
<h3>{escape(form.heading)}</h3>
<p>{escape(form.text)}</p>
<div class="fields">{fields}</div>
<button>{escape(form.button)}</button>
</form>
"""


def _field(form: Form, field: Choice | Day) -> str:
    name = f'id="{form.key}-{field.name}" name="{field.name}"'
    match field:
        case Choice():
            control = f"<select {name}>{_options(field)}</select>"
        case Day():
            limits = f'min="{field.earliest}" max="{field.latest}" required'
            control = f'<input {name} type="date" value="{field.value}" {limits}>'
    return f'<label for="{form.key}-{field.name}"><span>{escape(field.label)}</span>{control}</label>'


def _options(field: Choice) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == field.selected else ""}>{escape(text)}</option>'
        for value, text in field.options
    )


def _run(shown: Shown) -> str:
    started = shown.started
    run_id = escape(started.run_id)
    admission = _ADMISSIONS.get(started.admission, started.admission)
    return f"""<article class="card run" id="run-{run_id}" aria-labelledby="title-{run_id}">
<h3 id="title-{run_id}">{escape(started.title)}</h3>
<p class="admission {escape(started.admission)}">{escape(admission)}</p>
{shown.widget}
{_result(shown)}
</article>
"""


def _result(shown: Shown) -> str:
    if shown.snapshot.state is not State.SUCCEEDED:
        return ""
    url = f"{JOBS_PATH}/runs/{shown.started.run_id}/result?file=0"
    match shown.result:
        case Picture() as picture:
            return _picture(picture, url, shown.started.title)
        case Export(file=file, orders=orders):
            return f'<p class="facts">{orders:,} orders. {_download(file, url)}</p>'
        case WordIndex() as index:
            return _words(index)
        case Closing() as closing:
            return _closing(closing)
        case _:
            return ""


def _picture(picture: Picture, url: str, title: str) -> str:
    image = f'<img src="{url}" width="{picture.width}" height="{picture.height}" alt="{escape(title)}">'
    return f'<p class="picture">{image}</p><p class="facts">{_download(picture.file, url)}</p>'


def _download(file: File, url: str) -> str:
    name = escape(file.filename)
    return f'<a href="{url}" download="{name}">Download {name}</a> ({_size(file.size or 0)})'


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _closing(closing: Closing) -> str:
    processes = "one process" if closing.starts == 1 else f"{closing.starts} processes, each going on from the last"
    return f'<p class="facts">{closing.invoices} invoices, €{closing.cents / 100:,.2f}, by {processes}.</p>'


def _words(index: WordIndex) -> str:
    most = max((count for _, count in index.top), default=1)
    rows = "".join(
        f'<tr><th scope="row">{escape(word)}</th><td>{_stroke(count / most)}</td><td>{count:,}</td></tr>'
        for word, count in index.top
    )
    skipped = f" {index.skipped:,} files were skipped." if index.skipped else ""
    return f"""<table>
<caption>{index.words:,} words in {index.files:,} files, {index.distinct:,} of them different.{skipped}</caption>
<thead><tr><th scope="col">Word</th><td></td><th scope="col">Times</th></tr></thead>
<tbody>{rows}</tbody>
</table>
"""


def _stroke(share: float) -> str:
    """A bar as a picture: a strict Content-Security-Policy allows no `style` attribute."""
    return (
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{share * 100:.1f}" height="6" rx="1"/></svg>'
    )


_HINTS = """<ul class="hints">
<li><b>Start the same again</b> while it runs, from here or another tab: it joins the run.</li>
<li><b>Start it once more</b> when it is done: the answer comes from memory.</li>
<li><b>Cancel</b> one that others wait for (a private window is somebody else): it goes on for them.</li>
</ul>
"""
_TO_THE_FORMS = '<p class="to-forms"><a href="#forms">Start another</a></p>'
_NOTHING_YET = f"""<div class="card empty"><p>Nothing started yet. When something is:</p>{_HINTS}</div>"""
