/**
 * `<job-progress>`: shows a run that somebody waits for, from the queue to its end.
 *
 * @import { Snapshot } from "./snapshot.js"
 * @import { Watch } from "./watch.js"
 * @import { Transport } from "./connection.js"
 */
import { appearance } from "./appearance.js";
import { isTerminal } from "./snapshot.js";
import { watch } from "./watch.js";
import { WORDS, duration, fill, locale, number, percent } from "./wording.js";

const WATCHED = ["src", "run", "endpoint", "token", "token-url", "transport"];
const SHOWN = ["label", "lang", "cancellable", "result-link"];
const ENDINGS = { succeeded: "job-success", failed: "job-failure", cancelled: "job-cancelled" };

/** @param {string} tag @param {string} name its class and part @param {(Node | string)[]} children */
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.setAttribute("part", (element.className = name).split(" ")[0]);
  element.append(...children);
  return element;
}

/** @param {string} name @param {(Node | string)[]} fallback */
function slot(name, ...fallback) {
  const element = make("slot", "", ...fallback);
  /** @type {HTMLSlotElement} */ (element).name = name;
  return element;
}

/** Leaves the page alone when nothing changes. @param {Element} element @param {string} text */
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

/** An absolute URL of this page's scheme or of https, so never of javascript. @param {string} url @param {string} [base] */
function safe(url, base) {
  try {
    const { href, protocol } = new URL(url, new URL(base ?? "", document.baseURI));
    return protocol === "https:" || protocol === location.protocol ? href : undefined;
  } catch {
    return undefined;
  }
}

/** True once per run and tab: a page that shows a succeeded run again must not reload for ever. @param {string} run */
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

export class JobProgress extends HTMLElement {
  static observedAttributes = [...WATCHED, ...SHOWN];
  /** All texts; assign to translate or reword them. */
  static words = { ...WORDS };

  /** @type {Watch | undefined} */
  #watch;
  #internals = this.attachInternals();
  #restarting = false;
  #cancelling = false;
  #left = false;
  #note = "";
  /** The farthest the bar has been since `#start` began. */
  #peak = 0;
  #start = NaN;
  #quarter = 0;
  #finishAt = NaN;
  #state = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #tick;

  #name = make("span", "");
  #percent = make("span", "percent");
  #bar = /** @type {HTMLProgressElement} */ (make("progress", "bar"));
  #text = make("span", "text");
  #detail = make("span", "detail");
  #link = /** @type {HTMLAnchorElement} */ (make("a", "link"));
  #time = make("span", "time");
  #button = /** @type {HTMLButtonElement} */ (make("button", "button"));
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

  /** The newest snapshot. */
  get snapshot() {
    return this.#watch?.snapshot;
  }

  /** What is shown: the run's state, or "left" or "gone"; empty before the first snapshot. */
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

  /** @param {string} name @param {string | null} old @param {string | null} value */
  attributeChangedCallback(name, old, value) {
    if (!this.isConnected || old === value) return;
    if (WATCHED.includes(name)) this.#restart();
    else this.#render();
  }

  /** Attributes change in bunches: watch anew once they have settled. */
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
        transport: /** @type {Transport} */ (this.getAttribute("transport") ?? "sse"),
      }));
      watching.addEventListener("snapshot", () => this.#advance(/** @type {Snapshot} */ (watching.snapshot)));
      watching.addEventListener("end", () => this.#finish(/** @type {Snapshot} */ (watching.snapshot)));
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

  /** @param {Snapshot} snapshot */
  #advance(snapshot) {
    const { start, progress } = snapshot;
    if (start !== this.#start) {
      this.#start = start;
      this.#peak = this.#quarter = 0;
      this.#finishAt = NaN;
    }
    this.#peak = Math.max(this.#peak, progress.fraction ?? 0);
    this.#note = "";
    // An estimate wavers: a small change is no news.
    const at = progress.finish_at ?? NaN;
    const tolerance = Math.max(1.5, (at - (this.#watch?.now() ?? 0)) / 10);
    if (!(Math.abs(at - this.#finishAt) < tolerance)) this.#finishAt = at;
    this.#render();
    this.#emit("job-progress", { snapshot });
  }

  /** @param {Snapshot} snapshot */
  #finish(snapshot) {
    const name = ENDINGS[/** @type {keyof typeof ENDINGS} */ (snapshot.state)];
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

  /** @param {string} name @param {object} detail @returns {boolean} false if the default was prevented */
  #emit(name, detail) {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  #render() {
    const { words } = JobProgress;
    const { snapshot, error } = this.#watch ?? {};
    const lang = locale(/** @type {HTMLElement | null} */ (this.closest("[lang]"))?.lang);
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
      (slot) => !slot.hidden && /** @type {HTMLSlotElement} */ (slot).assignedNodes().length,
    );
    this.#cancelSlot.hidden = !(this.hasAttribute("cancellable") && snapshot?.cancellable && going);
    this.#button.disabled = this.#cancelling;
    put(this.#button, this.#cancelling ? words.cancelling : words.cancel);
    this.#showTime(state, lang);
    this.#announce(label, state, text, share);
  }

  /** @param {Snapshot | undefined} snapshot */
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

  /** Ticks by itself between snapshots. @param {string} state @param {string | undefined} lang */
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

  /** Says politely what a glance would tell: a new state, and each quarter. */
  #announce(/** @type {string} */ label, /** @type {string} */ state, /** @type {string} */ text, /** @type {string} */ share) {
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

/** @param {string} url answers `{"token": "…"}` */
async function freshToken(url) {
  const response = await fetch(url, { headers: { accept: "application/json" }, cache: "no-store" });
  return response.ok ? (await response.json()).token : undefined;
}

/**
 * @param {string} state
 * @param {Snapshot | undefined} snapshot
 * @param {string | undefined} lang
 * @returns {[text: string, detail: string]}
 */
function describe(state, snapshot, lang) {
  const { words } = JobProgress;
  const text = words[/** @type {keyof typeof words} */ (state || "connecting")];
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
