"""Responsible for the estimate: how fast a run goes and when it ends, from observed (moment, done) pairs.

Pure: time comes in as a value, in seconds, and nothing here reads a clock.

The pace is a weighted mean of the observed speeds. At age t the speed that was observed at age s weighs
k * s**(k-1) / t**k: a power law, so that the mean always remembers about the last 1/k of the time, be the job
ten seconds old or ten hours. It is the exponential moving average for irregular time series (G. Zumbach and
U. Müller, "Operators on inhomogeneous time series", 2001; A. Eckner, "Algorithms for unevenly spaced time
series", 2012) with a time constant that grows as age/k, for which the recursion becomes
    mean = mean * w + dn/dt * (1 - w)   with   w = (a / (a + dt))**k
and needs no correction of its start. Bounding the age a turns it into the ordinary one, of constant a/k.
A jump in the first moments (work restored from an earlier start) is forgotten with the k-th power of time.

Silence between two advances is no slowness: a job may advance in bursts or have slow items. Only the part
that exceeds the longest gap so far is charged as time without work. When the silence exceeds that gap several
times, nothing is known any more, and once the job goes on, the pause is cut out as if it had not been.
"""

import math
from typing import Final

_SHARPNESS: Final = 4.0
"""k: a pace that has changed is followed within a quarter of the age."""

_RECENT: Final = 240.0
"""Seconds of age that the displayed rate is bounded to: it then follows within about a minute."""

_TOO_EARLY: Final = 1.0
"""Seconds for which nothing is estimated."""

_TOO_FEW: Final = 2
"""Advances before anything is estimated: a single one cannot be told from a jump."""

_CLOSEST: Final = 0.001
"""Seconds between two samples; closer ones are taken together with the next."""

_PAUSE: Final = 30.0
"""Seconds of silence that are never taken for a pause."""

_PAUSE_GAPS: Final = 4.0
"""A silence this many times the longest gap so far is a pause."""

_TOO_FAR: Final = 366 * 86_400.0
"""Seconds ahead beyond which an end is not an estimate but noise."""


class Pace:
    """The weighted mean of observed speeds; with `memory`, of the last `memory`/4 seconds at most."""

    __slots__ = ("_age", "_mean", "_memory")

    def __init__(self, memory: float = math.inf) -> None:
        self._memory = memory
        self._age = 0.0
        self._mean = 0.0

    def add(self, seconds: float, work: float) -> None:
        """Take in that `work` was done within the next `seconds` (> 0)."""
        kept = self._kept(seconds)
        self._mean = self._mean * kept + work / seconds * (1.0 - kept)
        self._age = min(self._age + seconds, self._memory)

    def after(self, idle: float) -> float:
        """The pace as it would be after `idle` more seconds without work."""
        return self._mean * self._kept(idle)

    def _kept(self, seconds: float) -> float:
        return float((self._age / (self._age + seconds)) ** _SHARPNESS) if seconds > 0 else 1.0


class Estimate:
    """Rate and end of something that counts up to a total.

    Observe often; every answer is None while it is too early or too long silent to say.
    """

    __slots__ = ("_advances", "_began", "_done", "_last", "_longest_gap", "_overall", "_recent", "_total_known")

    _began: float
    _last: float
    _done: float
    _advances: int
    _longest_gap: float
    _recent: Pace
    _overall: Pace

    def __init__(self) -> None:
        self._total_known = False
        self._begin(-math.inf, 0.0)

    def observe(self, now: float, done: float, total: float | None = None) -> None:
        """Take in what is done at `now`; something that falls back, or whose total appears, begins anew."""
        appeared = total is not None and not self._total_known
        self._total_known = total is not None
        if done < self._done or self._began == -math.inf or (appeared and self._advances == 0):
            self._begin(now, done)
        elif now < self._last:
            self._set_back(now)
        elif done > self._done and now - self._last >= _CLOSEST:
            self._advance(now, done)

    def rate(self, now: float) -> float | None:
        """Units per second, over about the last minute."""
        return self._recent.after(self._unusual_silence(now)) if self._is_telling(now) else None

    def finish_at(self, now: float, remaining: float) -> float | None:
        """The moment at which `remaining` more units (above 0) are done, never in the past."""
        if not self._is_telling(now) or not 0 < remaining < math.inf:
            return None
        pace = self._overall.after(self._unusual_silence(now))
        ahead = remaining / pace if pace > 0 else math.inf
        return max(now, self._last + ahead) if ahead < _TOO_FAR else None

    def _begin(self, now: float, done: float) -> None:
        self._began = self._last = now
        self._done = done
        self._advances = 0
        self._longest_gap = 0.0
        self._recent = Pace(_RECENT)
        self._overall = Pace()

    def _set_back(self, now: float) -> None:
        """Follow a clock that was set back, keeping the age."""
        self._began += now - self._last
        self._last = now

    def _advance(self, now: float, done: float) -> None:
        gap = now - self._last
        if self._advances == 1 and self._longest_gap > _PAUSE_GAPS * gap:
            self._begin(self._last, self._done)  # what came before the first advance was preparation
        if self._is_pause(gap):
            seconds = max(self._longest_gap, _TOO_EARLY)
            self._began += gap - seconds
        else:
            seconds = gap
        self._recent.add(seconds, done - self._done)
        self._overall.add(seconds, done - self._done)
        self._longest_gap = max(self._longest_gap, gap)
        self._last, self._done = now, done
        self._advances += 1

    def _is_telling(self, now: float) -> bool:
        early = self._advances < _TOO_FEW or self._last - self._began < _TOO_EARLY
        return not early and not self._is_pause(now - self._last)

    def _is_pause(self, silence: float) -> bool:
        return self._advances >= _TOO_FEW and silence > max(_PAUSE, _PAUSE_GAPS * self._longest_gap)

    def _unusual_silence(self, now: float) -> float:
        return max(0.0, now - self._last - self._longest_gap)
