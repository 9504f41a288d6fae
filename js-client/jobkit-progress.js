/*! jobkit-progress 0.1.0 | MIT */
const follows = (next, last) =>
!last || next.start > last.start || (next.start === last.start && next.version >= last.version);
const isTerminal = (snapshot) => /^(succeeded|failed|cancelled)$/.test(snapshot?.state ?? "");
function eventParser(onEvent, onRetry) {
let rest = "";
let afterReturn = false;
let name = "";
let data = [];
const dispatch = () => {
if (data.length) onEvent(name || "message", data.join("\n"));
name = "";
data = [];
};
const read = (line) => {
if (!line) return dispatch();
const [, field, value] = (/^([^:]*)(?:: ?)?(.*)$/s.exec(line));
if (field === "event") name = value;
else if (field === "data") data.push(value);
else if (field === "retry" && /^\d+$/.test(value)) onRetry(+value);
};
return (text) => {
if (!text) return;
if (afterReturn && text[0] === "\n") text = text.slice(1);
afterReturn = text ? text.endsWith("\r") : false;
const lines = (rest + text).split(/\r\n|\r|\n/);
rest = (lines.pop());
lines.forEach(read);
};
}
const PATIENCE = {
firstFrame: 6,
stall: 40,
probe: 60,
poll: 2,
answer: 10,
backoff: 0.5,
hidden: 15,
};
const STEPS = ["sse", "long-poll", "poll"];
const FINAL = [403, 404, 410];
const LONG_POLL = 25;
const LONGEST_BACKOFF = 30;
const LONGEST_PAUSE = 3600; // a timer set for more than 24 days fires at once
const connections = new Map();
function connectionTo(endpoint, transport, patience) {
const key = transport + endpoint;
let connection = connections.get(key);
if (!connection) {
connection = new Connection(endpoint, transport, patience, () => connections.delete(key));
connections.set(key, connection);
}
return connection;
}
const bearer = ({ token }) => (token ? { authorization: `Bearer ${token}` } : {});
const pauseFor = (seconds, signal) =>
new Promise((resolve) => {
const timer = setTimeout(resolve, Math.min(seconds, LONGEST_PAUSE) * 1000);
signal.onabort = () => {
clearTimeout(timer);
resolve(0);
};
});
class Connection {
#watches = new Set();
#served;
#turn = new AbortController();
#working = false;
#paused = false;
#first;
#step;
#probeAt = 0;
#failures = 0;
#stalls = 0;
#heard = false;
#retry;
#skew = -Infinity;
#looking;
#endpoint;
#patience;
#idle;
constructor(endpoint, transport, patience, idle) {
this.#endpoint = endpoint;
this.#first = this.#step = Math.max(0, STEPS.indexOf(transport));
this.#patience = { ...PATIENCE, ...patience };
this.#idle = idle;
}
add(watch) {
this.#watches.add(watch);
this.#look();
}
remove(watch) {
this.#watches.delete(watch);
this.#look();
}
now() {
return Date.now() / 1000 + (this.#skew > -Infinity ? this.#skew : 0);
}
cancel(watch) {
return fetch(`${this.#url(watch.id)}/cancel`, { method: "POST", headers: bearer(watch) });
}
#look() {
clearTimeout(this.#looking);
this.#looking = setTimeout(() => {
if (!this.#working) this.#work();
else if (!this.#watches.size || (this.#served && [...this.#watches].some((one) => !this.#served?.has(one)))) {
this.#turn.abort();
}
});
}
async #work() {
this.#working = true;
const unlisten = this.#listen();
while (this.#watches.size) {
const pause = this.#paused ? LONGEST_PAUSE : await this.#takeTurn();
if (pause && this.#watches.size) {
this.#turn = new AbortController();
await pauseFor(pause, this.#turn.signal);
}
}
this.#working = false;
unlisten();
this.#idle();
}
async #takeTurn() {
const turn = (this.#turn = new AbortController());
let late = false;
let timer;
const allow = (seconds) => {
clearTimeout(timer);
timer = setTimeout(() => {
late = true;
turn.abort();
}, seconds * 1000);
};
if (this.#step > this.#first && Date.now() >= this.#probeAt) this.#step = this.#first;
this.#served = new Set(this.#watches);
const ids = [...new Set([...this.#watches].map(({ id }) => id))];
try {
return await (this.#step ? this.#poll(ids, turn.signal, allow) : this.#stream(ids, turn.signal, allow));
} catch (error) {
return turn.signal.aborted && !late ? 0 : this.#recover(error, late);
} finally {
clearTimeout(timer);
turn.abort(); // lets go of a body that was not read to its end
this.#served = undefined;
}
}
async #stream(ids, signal, allow) {
const { firstFrame, stall } = this.#patience;
const began = Date.now();
let leave = false;
this.#heard = false;
this.#retry = undefined;
const parse = eventParser(
(name, data) => {
this.#heard = true;
this.#report(true);
if (name === "bye") leave = true;
else if (name === "gone") this.#lose(JSON.parse(data));
else if (name === "snapshot" || name === "end") this.#deliver(JSON.parse(data));
},
(milliseconds) => (this.#retry = milliseconds / 1000),
);
allow(firstFrame);
const response = await this.#open(ids, signal);
if (ids.length > 1 && FINAL.includes(response.status)) return this.#stepDown();
if (!(await this.#admits(response, [...this.#watches]))) return 0;
if (!/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) return this.#stepDown();
const reader = (response.body).getReader();
const decoder = new TextDecoder();
while (!leave) {
const { done, value } = await reader.read();
if (done) break;
parse(decoder.decode(value, { stream: true }));
if (this.#heard) allow(stall);
}
if (!this.#heard) throw new Error("empty stream");
this.#failures = leave || Date.now() - began > firstFrame * 1000 ? 0 : this.#failures + 1;
return this.#retry ?? this.#backoff();
}
#open(ids, signal) {
const runs = ids.map((id) => ({ id, token: this.#of(id)[0].token ?? undefined }));
const [run] = runs;
if (!runs[1]) return fetch(`${this.#url(run.id)}/events`, { headers: bearer(run), signal });
const headers = { "content-type": "application/json" };
return fetch(`${this.#endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
}
async #poll(ids, signal, allow) {
const { answer, backoff, poll } = this.#patience;
const waits = this.#step === 1 && !ids[1];
let pause = waits ? backoff : poll;
for (const id of ids) {
const watches = this.#of(id);
const [watch] = watches;
if (!watch) continue;
const known = watches.every(({ snapshot }) => snapshot) ? watch.snapshot : undefined;
const query = waits && known ? `?wait=${LONG_POLL}&version=${known.version}` : "";
const began = Date.now();
allow(query ? LONG_POLL + answer : answer);
const headers = bearer(watch);
if (!query && known && watch.etag) headers["if-none-match"] = watch.etag;
const response = await fetch(this.#url(id) + query, { headers, signal, cache: "no-store" });
if (!(await this.#admits(response, watches))) continue;
if (response.status !== 304) {
watch.etag = response.headers.get("etag");
this.#deliver(await response.json());
}
if (query && watch.snapshot?.version === known?.version && Date.now() - began < poll * 1000) pause = poll;
pause = Math.max(pause, this.#retryAfter(response));
}
this.#failures = 0;
this.#report(true);
return pause;
}
async #admits(response, watches) {
const { ok, status } = response;
const date = Date.parse(response.headers.get("date") ?? "");
if (date) this.#skew = (date + 500 - Date.now()) / 1000; // the header is cut to whole seconds
if (ok || status === 304) return true;
if (status === 401) await Promise.all(watches.map((watch) => watch.renew()));
else if (FINAL.includes(status)) for (const watch of watches) watch.fail(status);
else throw new Error(`${status}`, { cause: this.#retryAfter(response) });
return false;
}
#retryAfter(response) {
const value = response.headers.get("retry-after") ?? "";
return Math.max(0, +value || Date.parse(value) / 1000 - this.now() || 0);
}
#deliver(snapshot) {
if (snapshot.state === "running") this.#skew = Math.max(this.#skew, snapshot.updated_at - Date.now() / 1000);
for (const watch of this.#of(snapshot.id)) watch.accept(snapshot);
}
async #lose({ id, status = 404 }) {
const watches = this.#of(id);
if (status !== 401) return watches.forEach((watch) => watch.fail(status));
await Promise.all(watches.map((watch) => watch.renew()));
this.#turn.abort();
}
#of(id) {
return [...this.#watches].filter((watch) => watch.id === id);
}
#recover(error, late) {
if (late && this.#step < 2) {
return this.#step || !this.#heard || ++this.#stalls > 1 ? this.#stepDown() : 0;
}
this.#failures++;
if (this.#step === 1 && this.#failures > 1) this.#stepDown();
this.#report(false);
const { cause } = (error);
return (typeof cause === "number" ? cause : (this.#retry ?? 0)) + this.#backoff();
}
#stepDown() {
this.#step++;
this.#stalls = 0;
this.#probeAt = Date.now() + this.#patience.probe * 1000;
return 0;
}
#backoff() {
return Math.random() * Math.min(LONGEST_BACKOFF, this.#patience.backoff * 2 ** this.#failures);
}
#report(connected) {
for (const watch of this.#watches) watch.report(connected, STEPS[this.#step]);
}
#listen() {
if (typeof document === "undefined") return () => {};
const listening = new AbortController();
const { signal } = listening;
let timer;
const pause = (paused) => {
clearTimeout(timer);
if (this.#paused !== paused) this.#turn.abort();
this.#paused = paused;
};
const see = () => {
if (!document.hidden) return pause(false);
clearTimeout(timer);
timer = setTimeout(pause, this.#patience.hidden * 1000, true);
};
const restore = () => {
this.#step = this.#first;
this.#turn.abort();
};
document.addEventListener("visibilitychange", see, { signal });
addEventListener("online", restore, { signal });
addEventListener("pagehide", () => pause(true), { signal });
addEventListener("pageshow", ({ persisted }) => persisted && pause(false), { signal });
see();
return () => {
clearTimeout(timer);
listening.abort();
};
}
#url(id) {
return `${this.#endpoint}/runs/${encodeURIComponent(id)}`;
}
}
class WatchError extends Error {
constructor(run, status) {
super(`run ${run}: the server answered ${status}`);
this.name = "WatchError";
this.status = status;
}
}
class Watch extends EventTarget {
snapshot;
error;
connected;
transport;
done;
token;
etag;
#getToken;
#renewed = false;
#closed = false;
#waiting = [];
#connection;
#resolve = () => {};
#reject = () => {};
constructor(run, { endpoint = "/jobs", token, getToken, signal, transport = "sse", patience } = {}) {
super();
this.id = run;
this.token = token;
this.#getToken = getToken;
this.done = new Promise((resolve, reject) => {
this.#resolve = resolve;
this.#reject = reject;
});
this.done.catch(() => {}); // whoever does not ask for it need not handle it
this.#connection = connectionTo(endpoint.replace(/\/+$/, ""), transport, patience);
this.#connection.add(this);
if (signal?.aborted) this.close();
else signal?.addEventListener("abort", () => this.close(), { once: true });
}
now() {
return this.#connection.now();
}
async cancel() {
let response = await this.#connection.cancel(this);
if (response.status === 401 && (await this.#refresh())) response = await this.#connection.cancel(this);
if (!response.ok) throw new WatchError(this.id, response.status);
return response.json();
}
close() {
if (this.#closed) return;
this.#end();
this.#reject(new DOMException("closed", "AbortError"));
this.#emit("close");
}
async *[Symbol.asyncIterator]() {
let seen;
while (!this.#closed || this.snapshot !== seen) {
if (this.snapshot && this.snapshot !== seen) yield (seen = this.snapshot);
else await new Promise((resolve) => this.#waiting.push(resolve));
}
await this.done;
}
accept(snapshot) {
this.#renewed = false;
if (this.#closed || !follows(snapshot, this.snapshot)) return;
this.snapshot = snapshot;
const ended = isTerminal(snapshot);
if (ended) this.#end();
this.#emit("snapshot");
if (!ended) return;
this.#resolve(snapshot);
this.#emit("end");
}
fail(status) {
if (this.#closed) return;
this.#end();
this.#reject((this.error = new WatchError(this.id, status)));
this.#emit("gone");
}
async renew() {
if (this.#renewed || !(await this.#refresh())) this.fail(401);
this.#renewed = true;
}
report(connected, transport) {
if (this.connected === connected && this.transport === transport) return;
this.connected = connected;
this.transport = transport;
this.#emit("connection");
}
async #refresh() {
const token = await this.#getToken?.();
if (token) this.token = token;
return !!token;
}
#emit(name) {
this.dispatchEvent(new Event(name));
for (const wake of this.#waiting.splice(0)) wake(0);
}
#end() {
this.#closed = true;
this.#connection.remove(this);
}
}
const watch = (run, options) => new Watch(run, options);
const WORDS = {
label: "Progress",
connecting: "Connecting…",
scheduled: "Scheduled",
queued: "Waiting",
next: "Next in line",
position: "Number {n} in line",
unserved: "No worker serves this queue",
running: "Running",
succeeded: "Done",
failed: "Failed",
cancelled: "Cancelled",
left: "You left; it goes on for others",
gone: "This job is no longer available",
stalled: "No progress for a while",
retrying: "Connection lost. Trying again…",
of: "{done} of {total}",
attempt: "Attempt {n} of {max}",
remaining: "{time} left",
soon: "A few seconds left",
reference: "Reference: {reference}",
cancel: "Cancel",
cancelling: "Cancelling…",
cancelFailed: "Could not cancel. Try again.",
};
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => `${values[name]}`);
function locale(lang) {
try {
return Intl.getCanonicalLocales(lang)[0];
} catch {
return undefined;
}
}
const number = (lang, value, options) =>
new Intl.NumberFormat(lang, { maximumFractionDigits: 1, ...options }).format(value);
const percent = (lang, fraction) =>
number(lang, Math.floor(fraction * 100 + 1e-9) / 100, { style: "percent" });
function duration(lang, seconds) {
const minutes = Math.round(seconds / 60);
const parts = Object.entries(
seconds < 59.5 ? { second: Math.round(seconds) } : { hour: Math.floor(minutes / 60), minute: minutes % 60 },
).filter(([, value]) => value);
const { DurationFormat } = (Intl);
return DurationFormat
? new DurationFormat(lang, { style: "short" }).format(Object.fromEntries(parts.map(([unit, value]) => [`${unit}s`, value])))
: parts.map(([unit, value]) => number(lang, value, { style: "unit", unit, unitDisplay: "short" })).join(" ");
}
const CSS = `
:host {
--accent: var(--job-accent, light-dark(#2f5fe0, #7aa5ff));
--good: var(--job-good, light-dark(#167a3e, #5ad08a));
--bad: var(--job-bad, light-dark(#c22f36, #ff8f8f));
--muted: var(--job-muted, color-mix(in srgb, currentColor 70%, transparent));
--track: var(--job-track, color-mix(in srgb, currentColor 12%, transparent));
--fill: var(--accent);
--mark: "";
display: block;
line-height: 1.5;
overflow-wrap: anywhere;
text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
:host([state=succeeded]) { --fill: var(--good); --mark: "✓" / ""; }
:host([state=failed]), :host([state=gone]) { --fill: var(--bad); --mark: "!" / ""; }
:host([state=cancelled]), :host([state=left]) { --fill: var(--muted); --mark: "–" / ""; }
.row { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .75em; }
.grow { flex: 1 1 0; min-inline-size: min(12em, 60%); }
.label { font-weight: 600; }
.percent, .time, .detail { font-variant-numeric: tabular-nums; }
.foot { font-size: .875em; min-block-size: 2em; align-items: center; color: var(--muted); }
.message { color: currentColor; }
.text:not(:empty) + .detail:not(:empty)::before { content: " · "; }
.message::before {
content: var(--mark);
display: inline-grid;
place-content: center;
inline-size: 1.35em;
block-size: 1.35em;
margin-inline-end: .5em;
border-radius: 50%;
background: var(--fill);
color: Canvas;
font-size: .8em;
font-weight: 700;
line-height: 1;
}
:host(:not([state])) .message::before, :host([state=scheduled]) .message::before,
:host([state=queued]) .message::before, :host([state=running]) .message::before { content: none; }
:host([state=failed]) .text, :host([state=gone]) .text { color: var(--bad); }
.late { animation: appear .3s 1.5s both; }
progress {
appearance: none;
display: block;
inline-size: 100%;
block-size: var(--job-bar-size, .5em);
margin-block: .4em .35em;
border: 0;
border-radius: var(--job-radius, 1em);
background: var(--track);
overflow: hidden;
}
progress::-webkit-progress-bar { background: none; }
progress::-webkit-progress-value { background: var(--fill); border-radius: inherit; transition: inline-size .25s, background .25s; }
progress::-moz-progress-bar { background: var(--fill); border-radius: inherit; }
progress:indeterminate::-moz-progress-bar { background: none; }
:host([state=running]) progress:indeterminate {
background: linear-gradient(90deg, transparent, var(--fill), transparent) 0 / 40% 100% no-repeat, var(--track);
animation: slide 1.6s ease-in-out infinite;
}
button {
font: inherit;
color: inherit;
min-block-size: max(24px, 1.9em);
padding: 0 .9em;
border: 1px solid color-mix(in srgb, currentColor 35%, transparent);
border-radius: 1em;
background: none;
cursor: pointer;
}
button:hover { background: var(--track); }
button:disabled { opacity: .6; cursor: default; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.live { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@keyframes slide { from { background-position: -70% 0, 0 0; } to { background-position: 170% 0, 0 0; } }
@keyframes appear { from { opacity: 0; } }
@media (prefers-reduced-motion: reduce) {
:host progress:indeterminate { animation: none !important; background-position: 50% 0, 0 0; }
progress::-webkit-progress-value { transition: none; }
}
@media (forced-colors: active) {
progress { forced-color-adjust: none; background: Canvas; border: 1px solid CanvasText; }
:host { --fill: Highlight !important; }
}
`;
let sheet;
function appearance() {
if (!sheet) {
sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
}
return sheet;
}
const WATCHED = ["src", "run", "endpoint", "token", "token-url", "transport"];
const SHOWN = ["label", "lang", "cancellable", "result-link"];
const ENDINGS = { succeeded: "job-success", failed: "job-failure", cancelled: "job-cancelled" };
function make(tag, name, ...children) {
const element = document.createElement(tag);
if (name) element.setAttribute("part", (element.className = name).split(" ")[0]);
element.append(...children);
return element;
}
function slot(name, ...fallback) {
const element = make("slot", "", ...fallback);
const put = (element, text) => {
if (element.textContent !== text) element.textContent = text;
};
function safe(url, base) {
try {
const { href, protocol } = new URL(url, new URL(base ?? "", document.baseURI));
return protocol === "https:" || protocol === location.protocol ? href : undefined;
} catch {
return undefined;
}
}
function firstTime(run) {
try {
const key = `jobkit:then:${run}`;
if (sessionStorage.getItem(key)) return false;
sessionStorage.setItem(key, "1");
return true;
} catch {
return false;
}
}
class JobProgress extends HTMLElement {
static observedAttributes = [...WATCHED, ...SHOWN];
static words = { ...WORDS };
#watch;
#internals = this.attachInternals();
#restarting = false;
#cancelling = false;
#left = false;
#note = "";
#peak = 0;
#start = NaN;
#quarter = 0;
#finishAt = NaN;
#state = "";
#tick;
#name = make("span", "");
#percent = make("span", "percent");
#bar = (make("progress", "bar"));
#text = make("span", "text");
#detail = make("span", "detail");
#link = (make("a", "link"));
#time = make("span", "time");
#button = (make("button", "button"));
#cancelSlot = slot("cancel", this.#button);
#success = slot("success");
#failure = slot("failure");
#message = slot("message");
#live = make("span", "live");
constructor() {
super();
const label = make("span", "label grow", slot("label", this.#name));
label.id = "label";
this.#internals.role = "group";
this.#percent.ariaHidden = "true"; // the bar says it
this.#bar.setAttribute("aria-labelledby", "label");
this.#live.role = "status";
this.#button.type = "button";
this.#cancelSlot.addEventListener("click", () => this.#cancel());
this.#message.append(this.#text, this.#detail, " ", this.#link);
const root = this.attachShadow({ mode: "open" });
root.adoptedStyleSheets = [appearance()];
root.append(
make("div", "row", label, this.#percent),
this.#bar,
make(
"div",
"row foot",
make("span", "message grow", this.#message, this.#success, this.#failure),
make("span", "time", slot("time-left", this.#time)),
this.#cancelSlot,
),
this.#live,
);
}
get snapshot() {
return this.#watch?.snapshot;
}
get state() {
return this.#state;
}
connectedCallback() {
this.#restart();
}
disconnectedCallback() {
clearTimeout(this.#tick);
this.#watch?.close();
this.#watch = undefined;
}
attributeChangedCallback(name, old, value) {
if (!this.isConnected || old === value) return;
if (WATCHED.includes(name)) this.#restart();
else this.#render();
}
#restart() {
if (this.#restarting) return;
this.#restarting = true;
queueMicrotask(() => {
this.#restarting = false;
if (this.isConnected) this.#begin();
});
}
#begin() {
this.#watch?.close();
this.#watch = undefined;
this.#cancelling = this.#left = false;
this.#start = NaN;
const [, base, id] = /^(.*)\/runs\/([^/?#]+)/.exec(this.getAttribute("src") ?? "") ?? [];
const run = id ? decodeURIComponent(id) : this.getAttribute("run");
if (run) {
const tokenUrl = this.getAttribute("token-url");
const watching = (this.#watch = watch(run, {
endpoint: base ?? this.getAttribute("endpoint") ?? undefined,
token: this.getAttribute("token"),
getToken: tokenUrl ? () => freshToken(tokenUrl) : undefined,
transport: (this.getAttribute("transport") ?? "sse"),
}));
watching.addEventListener("snapshot", () => this.#advance( (watching.snapshot)));
watching.addEventListener("end", () => this.#finish( (watching.snapshot)));
watching.addEventListener("gone", () => {
this.#render();
this.#emit("job-failure", { status: watching.error?.status });
});
watching.addEventListener("connection", () => {
this.#render();
this.#emit("job-connection", { connected: watching.connected, transport: watching.transport });
});
}
this.#render();
}
#advance(snapshot) {
const { start, progress } = snapshot;
if (start !== this.#start) {
this.#start = start;
this.#peak = this.#quarter = 0;
this.#finishAt = NaN;
}
this.#peak = Math.max(this.#peak, progress.fraction ?? 0);
this.#note = "";
const at = progress.finish_at ?? NaN;
const tolerance = Math.max(1.5, (at - (this.#watch?.now() ?? 0)) / 10);
if (!(Math.abs(at - this.#finishAt) < tolerance)) this.#finishAt = at;
this.#render();
this.#emit("job-progress", { snapshot });
}
#finish(snapshot) {
const name = ENDINGS[ (snapshot.state)];
if (!this.#emit(name, { snapshot }) || snapshot.state !== "succeeded") return;
const then = this.getAttribute("then");
if (then === "reload") {
if (firstTime(snapshot.id)) location.reload();
} else if (then) {
const url = safe(then);
if (url) location.replace(url); // Back leads to the page before this one, not into a trap
}
}
async #cancel() {
const watching = this.#watch;
if (!watching || this.#cancelling) return;
this.#cancelling = true;
this.#note = "";
this.#render();
try {
const { stopping } = await watching.cancel();
if (stopping || watching !== this.#watch || isTerminal(watching.snapshot)) return;
this.#left = true;
watching.close();
this.#emit("job-cancelled", { snapshot: watching.snapshot, left: true });
} catch {
this.#cancelling = false;
this.#note = JobProgress.words.cancelFailed;
}
this.#render();
}
#emit(name, detail) {
return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
}
#render() {
const { words } = JobProgress;
const { snapshot, error } = this.#watch ?? {};
const lang = locale( (this.closest("[lang]"))?.lang);
const label = this.getAttribute("label") ?? words.label;
const state = error ? "gone" : this.#left ? "left" : (snapshot?.state ?? "");
const going = state === "running" || state === "queued";
const fraction = state === "succeeded" ? 1 : going && snapshot?.progress.fraction == null ? null : this.#peak;
const share = fraction === null || !state ? "" : percent(lang, fraction);
const [text, detail] = describe(state, snapshot, lang);
put(this.#name, label);
this.#internals.ariaLabel = this.querySelector(":scope > [slot=label]")?.textContent?.trim() || label;
if (fraction === null || !state) this.#bar.removeAttribute("value");
else this.#bar.value = fraction;
put(this.#percent, state === "running" || state === "succeeded" ? share : "");
put(this.#text, text);
put(this.#detail, detail);
this.#showResult(snapshot);
this.#success.hidden = state !== "succeeded";
this.#failure.hidden = state !== "failed";
this.#message.hidden = [this.#success, this.#failure].some(
(slot) => !slot.hidden && (slot).assignedNodes().length,
);
this.#cancelSlot.hidden = !(this.hasAttribute("cancellable") && snapshot?.cancellable && going);
this.#button.disabled = this.#cancelling;
put(this.#button, this.#cancelling ? words.cancelling : words.cancel);
this.#showTime(state, lang);
this.#announce(label, state, text, share);
}
#showResult(snapshot) {
const url = snapshot?.state === "succeeded" && snapshot.result_url;
const href = url && safe(url, this.getAttribute("src") ?? this.getAttribute("endpoint") ?? "");
const text = this.getAttribute("result-link");
this.#link.hidden = !(href && text);
if (href && text) {
this.#link.href = href;
put(this.#link, text);
}
}
#showTime(state, lang) {
const { words } = JobProgress;
const going = state === "running" || state === "queued";
const remaining = state === "running" ? this.#finishAt - (this.#watch?.now() ?? 0) : NaN;
const lost = this.#watch?.connected === false && (going || !state);
let text = this.#note;
if (lost) text = words.retrying;
else if (!text && going && this.snapshot?.stalled) text = words.stalled;
else if (!text && remaining >= 5) text = fill(words.remaining, { time: duration(lang, remaining) });
else if (!text && remaining > -10) text = words.soon;
put(this.#time, text);
this.#time.classList.toggle("late", lost);
clearTimeout(this.#tick);
if (remaining > -10) this.#tick = setTimeout(() => this.#showTime(state, lang), 1000);
}
#announce( label, state, text, share) {
const quarter = Math.floor(this.#peak * 4);
const further = quarter > this.#quarter && state === "running";
this.#quarter = Math.max(quarter, this.#quarter);
if (state !== this.#state) {
this.#state = state;
if (state) this.setAttribute("state", state);
else this.removeAttribute("state");
put(this.#live, state ? `${label}: ${text}` : "");
} else if (further && share) put(this.#live, `${label}: ${share}`);
}
}
async function freshToken(url) {
const response = await fetch(url, { headers: { accept: "application/json" }, cache: "no-store" });
return response.ok ? (await response.json()).token : undefined;
}
function describe(state, snapshot, lang) {
const { words } = JobProgress;
const text = words[ (state || "connecting")];
if (!snapshot) return [text, ""];
const { progress, queue, error, attempt, max_attempts: max } = snapshot;
const { done, total, unit, message } = progress;
if (state === "queued") {
if (queue.workers === 0) return [text, words.unserved];
const { position } = queue;
if (!position) return [text, ""];
return [text, position === 1 ? words.next : fill(words.position, { n: number(lang, position) })];
}
if (state === "failed") {
return [error?.message || text, error?.reference ? fill(words.reference, { reference: error.reference }) : ""];
}
if (state !== "running") return [text, ""];
const count = total ? fill(words.of, { done: number(lang, done), total: number(lang, total) }) : done ? number(lang, done) : "";
const again = attempt > 1 ? fill(words.attempt, { n: attempt, max }) : "";
return [message || text, [count && unit ? `${count} ${unit}` : count, again].filter(Boolean).join(" · ")];
}
if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
export { JobProgress, Watch, WatchError, watch };
