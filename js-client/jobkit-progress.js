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
backoff: 0.5,
hidden: 15,
};
const STEPS = ["sse", "long-poll", "poll"];
const FINAL = [403, 404, 410];
const LONG_POLL = 25;
const LONGEST_BACKOFF = 30;
const LONGEST_PAUSE = 3600; // a timer set for more than 24 days fires at once
const connections = {};
const connectionTo = (endpoint, transport, patience) =>
(connections[transport + endpoint] ??= createConnection(endpoint, transport, patience));
const bearer = ({ token }) => (token ? { authorization: `Bearer ${token}` } : {});
const pauseFor = (seconds, signal) =>
new Promise((resolve) => {
const timer = setTimeout(resolve, Math.min(seconds, LONGEST_PAUSE) * 1000);
signal.onabort = () => {
clearTimeout(timer);
resolve(0);
};
});
function createConnection(endpoint, transport, impatience) {
const patience = { ...PATIENCE, ...impatience };
const all = new Set();
let served;
let current = new AbortController();
let working = false;
let paused = false;
const first = Math.max(0, STEPS.indexOf(transport));
let step = first;
let probeAt = 0;
let failures = 0;
let stalls = 0;
let heard = false;
let retry;
let skew = -Infinity;
let looking;
function add(watch) {
all.add(watch);
look();
}
function remove(watch) {
all.delete(watch);
look();
}
function now() {
return Date.now() / 1000 + (skew > -Infinity ? skew : 0);
}
function cancel(watch) {
return fetch(`${urlOf(watch.id)}/cancel`, { method: "POST", headers: bearer(watch) });
}
function look() {
clearTimeout(looking);
looking = setTimeout(() => {
if (!working) work();
else if (!all.size || (served && [...all].some((one) => !served?.has(one)))) current.abort();
});
}
async function work() {
working = true;
while (all.size) {
const pause = paused ? LONGEST_PAUSE : await takeTurn();
if (pause && all.size) {
current = new AbortController();
await pauseFor(pause, current.signal);
}
}
working = false;
}
async function takeTurn() {
const turn = (current = new AbortController());
let late = false;
let timer;
const allow = (seconds) => {
clearTimeout(timer);
timer = setTimeout(() => {
late = true;
turn.abort();
}, seconds * 1000);
};
if (step > first && Date.now() >= probeAt) step = first;
served = new Set(all);
const ids = [...new Set([...all].map(({ id }) => id))];
try {
return await (step ? pollEach(ids, turn.signal, allow) : readStream(ids, turn.signal, allow));
} catch (error) {
return turn.signal.aborted && !late ? 0 : recover(error, late);
} finally {
clearTimeout(timer);
turn.abort(); // lets go of a body that was not read to its end
served = undefined;
}
}
async function readStream(ids, signal, allow) {
const { firstFrame, stall } = patience;
const began = Date.now();
let leave = false;
heard = false;
retry = undefined;
const parse = eventParser(
(name, data) => {
heard = true;
report(true);
if (name === "bye") leave = true;
else if (name === "gone") lose(JSON.parse(data));
else if (name === "snapshot" || name === "end") deliver(JSON.parse(data));
},
(milliseconds) => (retry = milliseconds / 1000),
);
allow(firstFrame);
const response = await open(ids, signal);
if (ids.length > 1 && FINAL.includes(response.status)) return stepDown();
if (!(await admits(response, [...all]))) return 0;
if (!/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) return stepDown();
const reader = (response.body).getReader();
const decoder = new TextDecoder();
while (!leave) {
const { done, value } = await reader.read();
if (done) break;
parse(decoder.decode(value, { stream: true }));
if (heard) allow(stall);
}
if (!heard) throw new Error("empty stream");
failures = leave || Date.now() - began > firstFrame * 1000 ? 0 : failures + 1;
return retry ?? jitter();
}
function open(ids, signal) {
const runs = ids.map((id) => ({ id, token: of(id)[0].token ?? undefined }));
const [run] = runs;
if (!runs[1]) return fetch(`${urlOf(run.id)}/events`, { headers: bearer(run), signal });
const headers = { "content-type": "application/json" };
return fetch(`${endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
}
async function pollEach(ids, signal, allow) {
const { backoff, poll, stall } = patience;
const waits = step === 1 && !ids[1];
let pause = poll;
for (const id of ids) {
const watches = of(id);
const [watch] = watches;
if (!watch) continue;
const known = watches.every(({ snapshot }) => snapshot) ? watch.snapshot : undefined;
const query = waits && known ? `?wait=${LONG_POLL}&version=${known.version}` : "";
allow(stall);
const headers = bearer(watch);
if (!query && known && watch.etag) headers["if-none-match"] = watch.etag;
const response = await fetch(urlOf(id) + query, { headers, signal, cache: "no-store" });
if (!(await admits(response, watches))) continue;
if (response.status !== 304) {
watch.etag = response.headers.get("etag");
deliver(await response.json());
}
if (waits && watch.snapshot?.version !== known?.version) pause = backoff;
pause = Math.max(pause, retryAfter(response));
}
failures = 0;
report(true);
return pause;
}
async function admits(response, watches) {
const { ok, status } = response;
const date = Date.parse(response.headers.get("date") ?? "");
if (date) skew = (date + 500 - Date.now()) / 1000; // the header is cut to whole seconds
if (ok || status === 304) return true;
if (status === 401) await Promise.all(watches.map((watch) => watch.renew()));
else if (FINAL.includes(status)) for (const watch of watches) watch.fail(status);
else throw new Error(`${status}`, { cause: retryAfter(response) });
return false;
}
function retryAfter(response) {
const value = response.headers.get("retry-after") ?? "";
return Math.max(0, +value || Date.parse(value) / 1000 - now() || 0);
}
function deliver(snapshot) {
if (snapshot.state === "running") skew = Math.max(skew, snapshot.updated_at - Date.now() / 1000);
for (const watch of of(snapshot.id)) watch.accept(snapshot);
}
async function lose({ id, status = 404 }) {
const watches = of(id);
if (status !== 401) return watches.forEach((watch) => watch.fail(status));
await Promise.all(watches.map((watch) => watch.renew()));
current.abort();
}
function of(id) {
return [...all].filter((watch) => watch.id === id);
}
function recover(error, late) {
if (late && step < 2) return step || !heard || ++stalls > 1 ? stepDown() : 0;
failures++;
if (step === 1 && failures > 1) stepDown();
report(false);
const { cause } = (error);
return (typeof cause === "number" ? cause : (retry ?? 0)) + jitter();
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
let timer;
const pause = (wanted) => {
clearTimeout(timer);
if (paused !== wanted) current.abort();
paused = wanted;
};
const see = () => {
if (!document.hidden) return pause(false);
clearTimeout(timer);
timer = setTimeout(pause, patience.hidden * 1000, true);
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
function urlOf(id) {
return `${endpoint}/runs/${encodeURIComponent(id)}`;
}
if (typeof document !== "undefined") listen();
return { add, remove, now, cancel };
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
function locale(lang) {
try {
return Intl.getCanonicalLocales(lang)[0];
} catch {
return undefined;
}
}
const number = (lang, value, options) => new Intl.NumberFormat(lang, options).format(value);
const percent = (lang, fraction) => number(lang, Math.floor(fraction * 100 + 1e-9) / 100, { style: "percent" });
function duration(lang, seconds) {
const [unit, length] = seconds < 59.5 ? ["second", 1] : seconds < 10800 ? ["minute", 60] : ["hour", 3600];
return number(lang, seconds / length, { style: "unit", unit, maximumFractionDigits: 0 });
}
const CSS = `:host{--fill:var(--job-accent,light-dark(#2f5fe0,#7aa5ff));--muted:var(--job-muted,color-mix(in srgb,currentColor 70%,transparent));--track:var(--job-track,color-mix(in srgb,currentColor 12%,transparent));display:block;line-height:1.5;overflow-wrap:anywhere}:host([hidden]),[hidden]{display:none}:host([state=succeeded]){--fill:var(--job-good,light-dark(#167a3e,#5ad08a))}:host([state=failed]),:host([state=gone]){--fill:var(--job-bad,light-dark(#c22f36,#ff8f8f))}:host([state=cancelled]),:host([state=left]){--fill:var(--muted)}div{display:flex;flex-wrap:wrap;align-items:baseline;gap:.4em .75em;font-variant-numeric:tabular-nums}[part=label],[part=message]{flex:1 1 13em}[part=label]{font-weight:600}[part=foot]{font-size:.875em;color:var(--muted)}[part=end]{margin-inline-start:auto}[part=time],span span{unicode-bidi:plaintext}:host([state=failed]) [part=text],:host([state=succeeded]) [part=text]::before{color:var(--fill)}:host([state=succeeded]) [part=text]::before{content:"✓ " / "";font-weight:700}progress{appearance:none;display:block;inline-size:100%;block-size:.5em;margin-block:.4em .45em;border:0;border-radius:1em;background:var(--track);overflow:hidden}::-webkit-progress-bar{background:none}::-webkit-progress-value{background:var(--fill);border-radius:1em;transition:inline-size .25s}::-moz-progress-bar{background:var(--fill);border-radius:1em}:indeterminate::-moz-progress-bar{background:none}:host([state=running]) :indeterminate{background:var(--track) linear-gradient(90deg,#0000,var(--fill),#0000) 50% 0 / 40% 100% no-repeat;animation:slide 1.6s ease-in-out infinite}button{font:inherit;color:inherit;min-block-size:24px;margin-block:-.3em;padding:0 .9em;border:1px solid;border-radius:1em;background:none}button:hover{background:var(--track)}button:disabled{opacity:.6}[part=live]{position:absolute;clip-path:inset(50%);inline-size:1px;block-size:1px;overflow:hidden}@keyframes slide{from{background-position:-70%}to{background-position:170%}}@media (prefers-reduced-motion){progress{animation:none !important}}@media (forced-colors:active){progress{--fill:Highlight;--track:Canvas;border:1px solid;forced-color-adjust:none}}`;
let sheet;
function appearance() {
if (!sheet) {
sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
}
return sheet;
}
const ENDINGS = { succeeded: "success", failed: "failure", cancelled: "cancelled" };
function make(tag, part, ...children) {
const element = document.createElement(tag);
if (tag === "slot") element.setAttribute("name", part);
else if (part) element.setAttribute("part", part);
element.append(...children);
return element;
}
const put = (element, text) => {
if (element.textContent !== text) element.textContent = text;
};
function createView(host, words, cancel) {
const root = host.attachShadow({ mode: "open" });
const internals = host.attachInternals();
const label = make("slot", "label");
const title = make("span", "label", label);
const share = make("span", "percent");
const bar = make("progress", "bar");
const text = make("span", "text");
const dot = make("span", "");
const detail = make("span", "detail");
const time = make("slot", "time-left");
const button = make("button", "button");
const cancelSlot = make("slot", "cancel", button);
const ending = make("slot", "-", make("slot", "message", text, dot, detail));
const live = make("span", "live");
const end = make("div", "end", make("span", "time", time), cancelSlot);
internals.role = "group";
title.id = "label";
share.ariaHidden = "true"; // the bar says it
bar.setAttribute("aria-labelledby", title.id);
live.role = "status";
button.type = "button";
cancelSlot.onclick = cancel;
root.adoptedStyleSheets = [appearance()];
root.append(make("div", "", title, share), bar, make("div", "foot", make("span", "message", ending), end), live);
let peak = 0;
let start = NaN;
let announced = 0;
let shownState = "";
let due = NaN;
let tick;
function draw(state, watching, wish) {
const { snapshot } = watching ?? {};
const lang = locale((host.closest("[lang]"))?.lang);
const now = () => watching?.now() ?? NaN;
const running = state === "running";
const going = running || state === "queued";
const succeeded = state === "succeeded";
const { progress, queue, error, attempt = 1 } = snapshot ?? {};
const show = (value) => number(lang, value);
const describe = () => {
if (queue && state === "queued") {
const { position, workers } = queue;
if (workers === 0) return words.unserved;
return position ? (position > 1 ? words.position(show(position)) : words.next) : "";
}
if (error?.reference) return words.reference(error.reference);
if (!progress || !running) return "";
const { done, total, unit } = progress;
const count = total ? words.of(show(done), show(total)) : done ? show(done) : "";
const again = attempt > 1 && words.attempt(show(attempt));
return [count && unit ? `${count} ${unit}` : count, again].filter(Boolean).join(" · ");
};
const showTime = () => {
const remaining = running ? due - now() : NaN;
const left = remaining < 5 ? words.soon : words.remaining(duration(lang, remaining));
const calm = remaining > -10 ? left : "";
put(time, watching?.connected === false && (going || !state) ? words.retrying : going && snapshot?.stalled ? words.stalled : calm);
clearTimeout(tick);
if (remaining > -10) tick = setTimeout(showTime, 1000);
};
if (snapshot && snapshot.start !== start) {
start = snapshot.start;
peak = announced = 0;
}
peak = Math.max(peak, progress?.fraction ?? 0);
const estimate = progress?.finish_at ?? NaN;
if (!(Math.abs(estimate - due) < Math.max(1.5, (due - now()) / 10))) due = estimate;
const known = succeeded || (state && !going) || (going && progress?.fraction != null);
const said = (running && progress?.message) || error?.message || (state && words[(state)]);
const more = describe();
put(label, (internals.ariaLabel = host.getAttribute("label") ?? words.label));
put(text, said);
put(dot, more && " · ");
put(detail, more);
if (known) bar.value = succeeded ? 1 : peak;
else bar.removeAttribute("value");
put(share, known && (running || succeeded) ? percent(lang, bar.value) : "");
ending.name = ENDINGS[state] ?? "-"; // "" would show the fallback for pages without JavaScript
cancelSlot.hidden = !(going && snapshot?.cancellable && host.hasAttribute("cancellable"));
button.disabled = wish === "cancelling";
put(button, words[wish]);
showTime();
const quarter = Math.floor(peak * 4);
if (state !== shownState) put(live, `${label.textContent}: ${said}`);
else if (quarter > announced && running) put(live, `${label.textContent}: ${share.textContent}`);
announced = quarter;
shownState = state;
}
return { draw, rest: () => clearTimeout(tick) };
}
const WATCHED = ["src", "run", "endpoint", "token", "token-url", "transport"];
const EVENTS = { snapshot: "progress", gone: "failure", connection: "connection" };
function safe(url, base) {
const { href, protocol } = new URL(url, new URL(base ?? "", document.baseURI));
return protocol === "https:" || protocol === location.protocol ? href : "";
}
const freshToken = async (url) => (await (await fetch(url)).json()).token;
class JobProgress extends HTMLElement {
static observedAttributes = [...WATCHED, "label", "lang", "cancellable"];
static words = { ...WORDS };
#watch;
#key = "";
#changing = false;
#button = "cancel";
#left = false;
#view = createView(this, JobProgress.words, () => this.#cancel());
get snapshot() {
return this.#watch?.snapshot;
}
connectedCallback() {
this.attributeChangedCallback();
}
disconnectedCallback() {
this.#close();
}
attributeChangedCallback() {
if (this.#changing) return;
this.#changing = true;
queueMicrotask(() => {
this.#changing = false;
if (!this.isConnected) return;
const key = WATCHED.map((name) => this.getAttribute(name)).join("\n");
if (key !== this.#key) this.#begin();
this.#key = key;
this.#render();
});
}
#close() {
this.#view.rest();
this.#watch?.close();
this.#watch = undefined;
this.#key = "";
}
#begin() {
this.#close();
this.#button = "cancel";
this.#left = false;
const [src, run, endpoint, token, tokenUrl, transport] = WATCHED.map((name) => this.getAttribute(name) ?? undefined);
const [, base, id] = /^(.*)\/runs\/([^/?#]+)/.exec(src ?? "") ?? [];
if (!id && !run) return;
const watching = watch(id ? decodeURIComponent(id) : (run), {
endpoint: id ? base : endpoint,
token,
getToken: tokenUrl ? () => freshToken(tokenUrl) : undefined,
transport: (transport),
});
this.#watch = watching;
for (const type of [...Object.keys(EVENTS), "end"]) {
watching.addEventListener(type, () => {
this.#render();
if (type !== "end") this.#emit(EVENTS[type]);
else this.#finish((watching.snapshot));
});
}
}
#finish(snapshot) {
const { id, state, result_url } = snapshot;
if (!this.#emit(ENDINGS[state]) || state !== "succeeded") return;
const url = result_url && safe(result_url, this.getAttribute("src") ?? this.getAttribute("endpoint"));
if (url) for (const shown of this.querySelectorAll("[slot=success]")) Object.assign(shown, { href: url, src: url });
const then = this.getAttribute("then");
if (then === "reload") {
const key = `jobkit:${id}`;
if (!sessionStorage[key]) {
sessionStorage[key] = 1;
location.reload();
}
} else if (then && safe(then)) location.replace(safe(then)); // so Back leads before this page, not into a trap
}
async #cancel() {
const watching = this.#watch;
if (!watching || this.#button === "cancelling") return;
this.#button = "cancelling";
this.#render();
try {
const { stopping } = await watching.cancel();
if (!stopping && watching === this.#watch) {
this.#left = true;
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
const { snapshot, error } = this.#watch ?? {};
const state = error ? "gone" : this.#left ? "left" : (snapshot?.state ?? "");
this.setAttribute("state", state);
this.#view.draw(state, this.#watch, this.#button);
}
}
if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
export { JobProgress, Watch, WatchError, watch };
