/*! jobkit-progress 0.1.0 | MIT */
const follows = (next, last) =>
!last || next.start > last.start || (next.start === last.start && next.version >= last.version);
const isTerminal = (snapshot) => /^(succeeded|failed|cancelled)$/.test(snapshot?.state ?? "");
function eventParser(onEvent, onRetry) {
let rest = "";
let name = "";
let data = [];
const read = (line) => {
if (!line) {
if (data.length) onEvent(name || "message", data.join("\n"));
name = "";
data = [];
return;
}
const [, field, value] = (/^([^:]*)(?:: ?)?(.*)$/s.exec(line));
if (field === "event") name = value;
else if (field === "data") data.push(value);
else if (field === "retry" && /^\d+$/.test(value)) onRetry(+value);
};
return (text) => {
const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
rest = (lines.pop());
lines.forEach(read);
};
}
const SLOTS = 4;
async function takeSlot(nth = SLOTS) {
if (!nth) return;
try {
return await new Promise((resolve, reject) => {
const hold = (lock) => (lock ? new Promise((resolve)) : resolve(takeSlot(nth - 1)));
navigator.locks.request(`jobkit-stream-${nth}`, { ifAvailable: true }, hold).catch(reject);
});
} catch {
return () => {}; // an insecure page, or one that may not store anything, knows nothing of the others
}
}
const PATIENCE = {
firstFrame: 6,
stall: 40,
probe: 60,
poll: 2,
backoff: 0.5,
hidden: 15,
};
const STEPS = ["sse", "long-poll", "poll"];
const FINAL = [403, 404, 410, 422]; // 422: for one stream they are too many
const LONG_POLL = 25;
const LONGEST_BACKOFF = 30;
const LONGEST_PAUSE = 3600; // a timer set for more than 24 days fires at once
const connections = {};
const connectionTo = (endpoint, transport, patience) =>
(connections[transport + endpoint] ??= createConnection(endpoint, transport, patience));
function createConnection(endpoint, transport, impatience) {
const patience = { ...PATIENCE, ...impatience };
const all = new Set();
let more = false;
let current = new AbortController();
let timer;
let late = false;
let working = false;
let paused = false;
const first = Math.max(0, STEPS.indexOf(transport));
let step = first;
let probeAt = 0;
let failures = 0;
let stalls = 0;
let heard = false;
let wait = 0;
let skew;
function heed(watch) {
if (watch.closed) all.delete(watch);
else {
all.add(watch);
more = true;
}
setTimeout(() => {
if (!working) work();
else if (!all.size || more) current.abort();
});
}
function now() {
return Date.now() / 1000 + (skew ?? 0);
}
async function work() {
working = true;
while (all.size) {
const pause = paused ? LONGEST_PAUSE : await takeTurn();
if (pause && all.size) {
current = new AbortController();
allow(pause);
await new Promise((resolve) => (current.signal.onabort = resolve));
}
}
working = false;
clearTimeout(timer);
}
function allow(seconds) {
clearTimeout(timer);
timer = setTimeout(() => {
late = true;
current.abort();
}, Math.min(seconds, LONGEST_PAUSE) * 1000);
}
async function takeTurn() {
current = new AbortController();
late = heard = more = false;
wait = 0;
if (Date.now() >= probeAt) step = first;
const giveBack = step < 2 && (await takeSlot());
if (!giveBack) step = 2; // until a slot is free, or as stepped down to
const watches = [...new Map([...all].map((watch) => [watch.id, watch])).values()];
try {
return await (step ? pollEach(watches) : readStream(watches));
} catch {
return current.signal.aborted && !late ? 0 : recover();
} finally {
current.abort(); // lets go of a body that was not read to its end
if (giveBack) giveBack();
}
}
async function readStream(watches) {
const began = Date.now();
let leave = false;
const on = {
snapshot: deliver,
end: deliver,
gone: lose,
bye: () => (leave = true),
token({ id, token }) {
const used = watches.find((watch) => watch.id === id)?.token;
for (const watch of of(id)) if (watch.token === used) watch.token = token;
},
};
const parse = eventParser(
(name, data) => {
heard = true;
report(true);
on[name]?.(JSON.parse(data));
},
(milliseconds) => (wait = milliseconds / 1000),
);
allow(patience.firstFrame);
const response = await open(watches);
if (watches[1] && FINAL.includes(response.status)) return stepDown();
if (!(await admits(response, [...all]))) return 0;
if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return stepDown();
const reader = (response.body).pipeThrough(new TextDecoderStream()).getReader();
while (!leave) {
const { done, value } = await reader.read();
if (done) break;
parse(value);
if (heard) allow(patience.stall);
}
if (!heard) return recover();
failures = leave || Date.now() - began > patience.firstFrame * 1000 ? 0 : failures + 1;
return wait || jitter();
}
function open(watches) {
const { signal } = current;
const [watch] = watches;
if (!watches[1]) return fetch(`${watch.url}/events`, { headers: watch.headers(), signal });
const headers = { "content-type": "application/json" };
const runs = watches.map(({ id, token }) => ({ id, token }));
return fetch(`${endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
}
async function pollEach(watches) {
const waits = step === 1 && !watches[1];
let pause = patience.poll;
for (const watch of watches) {
if (watch.closed) continue;
const { version = 0 } = watch.snapshot ?? {};
const url = waits ? `${watch.url}?wait=${LONG_POLL}&version=${version}` : watch.url;
allow(patience.stall);
const response = await fetch(url, { headers: watch.headers(), signal: current.signal, cache: "no-store" });
if (!(await admits(response, of(watch.id)))) continue;
report(true);
deliver(await response.json());
if (waits && watch.snapshot?.version !== version) pause = patience.backoff;
}
failures = 0;
return Math.max(pause, wait);
}
async function admits({ ok, status, headers }, watches) {
const date = Date.parse(headers.get("date") ?? "");
const later = headers.get("retry-after") ?? "";
if (date) skew = (date + 500 - Date.now()) / 1000; // the header is cut to whole seconds
wait = Math.max(wait, +later || Date.parse(later) / 1000 - now() || 0);
if (ok) return true;
if (status !== 401 && !FINAL.includes(status)) throw status;
await refuse(watches, status);
}
function deliver(snapshot) {
if (snapshot.state === "running") skew = Math.max(skew ?? -Infinity, snapshot.updated_at - Date.now() / 1000);
for (const watch of of(snapshot.id)) watch.accept(snapshot);
}
async function lose({ id, status }) {
await refuse(of(id), status);
if (of(id)[0]) current.abort(); // there is a new access token to come with
}
function refuse(watches, status) {
return Promise.all(watches.map((watch) => watch.refuse(status)));
}
function of(id) {
return [...all].filter((watch) => watch.id === id);
}
function recover() {
if (late && step < 2) return step || !heard || ++stalls > 1 ? stepDown() : 0;
failures++;
if (step === 1 && failures > 1) stepDown();
report(false);
return wait + jitter();
}
function stepDown() {
step++;
stalls = 0;
probeAt = Date.now() + patience.probe * 1000;
return 0;
}
function jitter() {
return Math.random() * Math.min(LONGEST_BACKOFF, patience.backoff * 2 ** failures);
}
function report(connected) {
for (const watch of all) watch.report(connected, STEPS[step]);
}
function listen() {
let leaving;
const pause = (wanted) => {
if (paused !== wanted) current.abort();
paused = wanted;
};
const see = () => {
clearTimeout(leaving);
if (document.hidden) leaving = setTimeout(pause, patience.hidden * 1000, true);
else pause(false);
};
document.addEventListener("visibilitychange", see);
addEventListener("pagehide", () => pause(true));
addEventListener("pageshow", see);
addEventListener("online", () => {
step = first;
current.abort();
});
see();
}
if (typeof document !== "undefined") listen();
return { heed, now };
}
class WatchError extends Error {
name = "WatchError";
constructor(run, status) {
super(`run ${run}: the server answered ${status}`);
this.status = status;
}
}
class Watch extends EventTarget {
snapshot;
error;
connected;
closed = false;
transport;
done;
url;
token;
#getToken;
#renewed = false;
#waiting = [];
#connection;
#settle = () => {};
constructor(run, { endpoint = "/jobs", token, getToken, signal, transport = "sse", patience } = {}) {
super();
this.id = run;
this.token = token;
this.#getToken = getToken;
this.done = new Promise((resolve) => (this.#settle = resolve));
this.done.catch(() => {}); // whoever does not ask for it need not handle it
endpoint = endpoint.replace(/\/+$/, "");
this.url = `${endpoint}/runs/${encodeURIComponent(run)}`;
this.#connection = connectionTo(endpoint, transport, patience);
this.#connection.heed(this);
if (signal?.aborted) this.close();
signal?.addEventListener("abort", () => this.close());
}
now() {
return this.#connection.now();
}
async cancel() {
const ask = () => fetch(`${this.url}/cancel`, { method: "POST", headers: this.headers() });
let response = await ask();
if (response.status === 401 && (await this.#refresh())) response = await ask();
if (!response.ok) throw new WatchError(this.id, response.status);
return response.json();
}
close() {
if (!this.closed) this.#end("close", Promise.reject(new DOMException("closed", "AbortError")));
}
async *[Symbol.asyncIterator]() {
let seen;
while (!this.closed || this.snapshot !== seen) {
if (this.snapshot === seen) await new Promise((wake) => this.#waiting.push(wake));
else yield (seen = this.snapshot);
}
await this.done;
}
headers() {
return this.token ? { authorization: `Bearer ${this.token}` } : {};
}
accept(snapshot) {
this.#renewed = false;
if (this.closed || !follows(snapshot, this.snapshot)) return;
this.snapshot = snapshot;
const ended = (this.closed = isTerminal(snapshot));
this.#emit("snapshot");
if (ended) this.#end("end", snapshot);
}
async refuse(status) {
if (status === 401 && !this.#renewed && (await this.#refresh())) {
this.#renewed = true;
} else if (!this.closed) {
this.error = new WatchError(this.id, status);
this.#end("gone", Promise.reject(this.error));
}
}
report(connected, transport) {
if (this.connected === connected && this.transport === transport) return;
this.connected = connected;
this.transport = transport;
this.#emit("connection");
}
async #refresh() {
const token = await this.#getToken?.();
return token && (this.token = token);
}
#emit(name) {
this.dispatchEvent(new Event(name));
for (const wake of this.#waiting.splice(0)) wake(0);
}
#end(name, outcome) {
this.closed = true;
this.#connection.heed(this);
this.#settle(outcome);
this.#emit(name);
}
}
const watch = (run, options) => new Watch(run, options);
const WORDS = {
label: "Progress",
scheduled: "Scheduled",
queued: "Waiting",
running: "Running",
succeeded: "Done",
failed: "Failed",
cancelled: "Cancelled",
left: "You left; it goes on for others",
gone: "No longer available",
stalled: "Stalled",
retrying: "Reconnecting…",
unserved: "No worker serves this queue",
next: "Next in line",
soon: "A few seconds left",
cancel: "Cancel",
cancelling: "Cancelling…",
cancelAgain: "Try again",
position: (place) => `Number ${place} in line`,
of: (done, total) => `${done} of ${total}`,
attempt: (attempt) => `Attempt ${attempt}`,
remaining: (time) => `${time} left`,
reference: (reference) => `Reference: ${reference}`,
};
function numbers(lang) {
try {
Intl.getCanonicalLocales(lang);
} catch {
lang = undefined;
}
return (value, options) => value.toLocaleString(lang, options);
}
function duration(seconds, show) {
const [unit, length] = seconds < 59.5 ? ["second", 1] : seconds < 10800 ? ["minute", 60] : ["hour", 3600];
return show(seconds / length, { style: "unit", unit, maximumFractionDigits: 0 });
}
const CSS = `:host{--fill:var(--job-accent,light-dark(#2f5fe0,#7aa5ff));--muted:var(--job-muted,color-mix(in srgb,currentColor 70%,#0000));--track:var(--job-track,color-mix(in srgb,currentColor 12%,#0000));display:block;overflow-wrap:anywhere}:host([hidden]),[hidden]{display:none}:host([state=succeeded]){--fill:var(--job-good,light-dark(#167a3e,#5ad08a))}:host([state=failed]),:host([state=gone]){--fill:var(--job-bad,light-dark(#c22f36,#ff8f8f))}:host([state=cancelled]),:host([state=left]){--fill:var(--muted)}div{display:flex;flex-wrap:wrap;align-items:baseline;gap:.4em .75em;font-variant-numeric:tabular-nums}[part=label],[part=message]{flex:1 13em}[part=label]{font-weight:600}[part=foot]{font-size:.875em;color:var(--muted)}[part=end]{margin-inline-start:auto}[part=time],span span{unicode-bidi:plaintext}:host([state=failed]) [part=text],:host([state=succeeded]) [part=text]::before{color:var(--fill)}:host([state=succeeded]) [part=text]::before{content:"✓ " / ""}progress{appearance:none;display:block;inline-size:100%;block-size:.5em;margin-block:.4em .45em;border:0;border-radius:1em;background:var(--track);overflow:hidden}::-webkit-progress-bar{background:none}::-webkit-progress-value{background:var(--fill);border-radius:1em;transition:inline-size .25s}::-moz-progress-bar{background:var(--fill);border-radius:1em}:indeterminate::-moz-progress-bar{background:none}:host([state=running]) :indeterminate{background:var(--track) linear-gradient(90deg,#0000,var(--fill),#0000) 50% 0 / 40% 100% no-repeat;animation:slide 1.6s ease-in-out infinite;@media (prefers-reduced-motion){animation:none}}button{font:inherit;color:inherit;min-block-size:24px;margin-block:-.3em;padding:0 .9em;border:1px solid;border-radius:1em;background:none}button:hover{background:var(--track)}button:disabled{opacity:.6}[part=live]{position:fixed;clip-path:inset(50%)}@keyframes slide{from{background-position:-70%}to{background-position:170%}}@media (forced-colors:active){progress{--fill:Highlight;--track:Canvas;border:1px solid;forced-color-adjust:none}}`;
const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
const ENDINGS = { succeeded: "success", failed: "failure", cancelled: "cancelled" };
function make(tag, properties, ...children) {
const element = Object.assign(document.createElement(tag), properties);
element.append(...children);
return element;
}
const put = (element, text) => {
if (element.textContent !== text) element.textContent = text;
};
function createView(host, words, cancel) {
const root = host.attachShadow({ mode: "open" });
const internals = host.attachInternals();
const label = make("slot", { name: "label" });
const share = make("span", { part: "percent", ariaHidden: "true" }); // the bar says it
const bar = make("progress", { part: "bar", id: "bar" });
const text = make("span", { part: "text" });
const dot = make("span", { textContent: " · " });
const detail = make("span", { part: "detail" });
const time = make("slot", { name: "time-left" });
const button = make("button", { part: "button", type: "button" });
const cancelSlot = make("slot", { name: "cancel", onclick: cancel }, button);
const ending = make("slot", {}, make("slot", { name: "message" }, text, dot, detail));
const live = make("span", { part: "live", role: "status" });
internals.role = "group";
root.adoptedStyleSheets = [sheet];
root.append(
make("div", {}, make("label", { part: "label", htmlFor: "bar" }, label), share),
bar,
make(
"div",
{ part: "foot" },
make("span", { part: "message" }, ending),
make("div", { part: "end" }, make("span", { part: "time" }, time), cancelSlot),
),
live,
);
let peak = 0;
let start;
let shownState = "";
let due = NaN;
let tick;
return (state, watching, wish) => {
const { snapshot, closed } = watching ?? {};
const { progress, queue, error, attempt = 1 } = snapshot ?? {};
const show = numbers((host.closest("[lang]"))?.lang);
const running = state === "running";
const succeeded = state === "succeeded";
const known = progress?.fraction != null;
const describe = () => {
if (queue && state === "queued") {
const position = queue.position ?? 0;
if (queue.workers === 0) return words.unserved;
return position > 1 ? words.position(show(position)) : position ? words.next : "";
}
if (error?.reference) return words.reference(error.reference);
if (!progress || !running) return "";
const { done, total, unit } = progress;
const count = total ? words.of(show(done), show(total)) : done ? show(done) : "";
const again = attempt > 1 && words.attempt(show(attempt));
return [count && unit ? `${count} ${unit}` : count, again].filter(Boolean).join(" · ");
};
const secondsLeft = () => due - (watching?.now() ?? 0);
const showTime = () => {
const left = running ? secondsLeft() : NaN;
const ticking = left > -10;
const calm = left < 5 ? words.soon : words.remaining(duration(left, show));
put(time, closed ? "" : watching?.connected === false ? words.retrying : snapshot?.stalled ? words.stalled : ticking ? calm : "");
clearTimeout(tick);
if (ticking && host.isConnected) tick = setTimeout(showTime, 1000);
};
if (snapshot?.start !== start) {
start = snapshot?.start;
peak = 0;
}
const before = Math.floor(peak * 4);
peak = succeeded ? 1 : Math.max(peak, progress?.fraction ?? 0);
const estimate = progress?.finish_at ?? NaN;
if (!(Math.abs(estimate - due) < Math.max(1.5, secondsLeft() / 10))) due = estimate;
const said = (running && progress?.message) || error?.message || (state && words[(state)]);
put(label, (internals.ariaLabel = host.getAttribute("label") ?? words.label));
put(text, said);
put(detail, describe());
dot.hidden = !detail.textContent;
if (known || closed) bar.value = peak;
else bar.removeAttribute("value");
put(share, succeeded || (running && known) ? show(peak, { style: "percent", roundingMode: "floor" }) : "");
ending.name = ENDINGS[state] ?? "-"; // "" would show the fallback for pages without JavaScript
cancelSlot.hidden = closed || !snapshot?.cancellable || !host.hasAttribute("cancellable");
button.disabled = wish === "cancelling";
put(button, words[wish]);
showTime();
const news = state !== shownState ? said : Math.floor(peak * 4) > before && share.textContent;
if (news) put(live, `${label.textContent}: ${news}`);
shownState = state;
};
}
const WATCHED = ["src", "run", "endpoint", "token", "token-url", "transport"];
const EVENTS = { snapshot: "progress", connection: "connection", gone: "failure" };
function safe(url, base = "") {
const { href } = new URL(url, new URL(base, document.baseURI));
return /^https?:/.test(href) && href;
}
class JobProgress extends HTMLElement {
static observedAttributes = [...WATCHED, "label", "lang", "cancellable"];
static words = WORDS;
#watch;
#key = "";
#changing = false;
#button = "cancel";
#draw = createView(this, JobProgress.words, () => this.#cancel());
get snapshot() {
return this.#watch?.snapshot;
}
connectedCallback() {
this.attributeChangedCallback();
}
disconnectedCallback() {
this.attributeChangedCallback();
}
attributeChangedCallback() {
if (this.#changing) return;
this.#changing = true;
queueMicrotask(() => {
this.#changing = false;
const watched = WATCHED.map((name) => this.getAttribute(name) ?? undefined);
const key = watched.join("\n");
if (this.isConnected) {
if (key !== this.#key) this.#begin(watched);
this.#key = key;
this.#render();
} else {
if (!this.#watch?.closed) this.#key = "";
this.#watch?.close();
}
});
}
#begin([src, run, endpoint = "/jobs", token, tokenUrl, transport]) {
this.#watch?.close();
this.#watch = undefined;
this.#button = "cancel";
const [, base, id] = /^(.*)\/runs\/([^/?#]+)/.exec(src ?? `${endpoint}/runs/${run ?? ""}`) ?? [];
if (!id) return;
const watching = (this.#watch = watch(id, {
endpoint: base,
token,
getToken: async () => tokenUrl && (await (await fetch(tokenUrl)).json()).token,
transport: (transport),
}));
for (const [type, name] of Object.entries(EVENTS)) {
watching.addEventListener(type, () => {
this.#render();
this.#emit(name);
});
}
watching.done.then(
(snapshot) => this.#finish(snapshot, base),
() => {},
);
}
#finish({ id, state, result_url }, base) {
if (!this.#emit(ENDINGS[state]) || state !== "succeeded") return;
const url = result_url && safe(result_url, base);
if (url) for (const shown of this.querySelectorAll("[slot=success]")) Object.assign(shown, { href: url, src: url });
const then = this.getAttribute("then");
if (then === "reload") {
const key = `jobkit:${id}`;
if (!sessionStorage[key]) {
sessionStorage[key] = 1;
location.reload();
}
} else {
const next = then && safe(then);
if (next) location.replace(next); // so Back leads before this page, not into a trap
}
}
async #cancel() {
const watching = this.#watch;
if (!watching || this.#button === "cancelling") return;
this.#button = "cancelling";
this.#render();
try {
const { stopping } = await watching.cancel();
if (!stopping && !watching.closed) {
watching.close();
this.#render();
this.#emit("cancelled");
}
} catch {
this.#button = "cancelAgain";
}
this.#render();
}
#emit(name) {
const { snapshot, error, connected, transport } = this.#watch ?? {};
const detail = { snapshot, status: error?.status, connected, transport };
return this.dispatchEvent(new CustomEvent(`job-${name}`, { detail, bubbles: true, composed: true, cancelable: true }));
}
#render() {
const { snapshot, error, closed } = this.#watch ?? {};
const last = snapshot?.state ?? "";
const state = error ? "gone" : closed && !ENDINGS[last] ? "left" : last;
this.setAttribute("state", state);
this.#draw(state, this.#watch, this.#button);
}
}
if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
export { JobProgress, Watch, WatchError, watch };
