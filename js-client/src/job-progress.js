/**
 * `<job-progress>`: shows a run that somebody waits for, from the queue to its end.
 *
 * @import { Snapshot } from "./snapshot.js"
 * @import { Watch } from "./watch.js"
 */
import { ENDINGS, createView } from "./view.js";
import { watch } from "./watch.js";
import { WORDS } from "./wording.js";

/** Those that decide what is watched; the others only how it is shown. */
const WATCHED = ["src", "run", "endpoint", "token", "token-url", "transport"];
const EVENTS = { snapshot: "progress", connection: "connection", gone: "failure" };

/** An absolute URL, unless it could run code here. @param {string} url @param {string} [base] */
function safe(url, base = "") {
  const { href } = new URL(url, new URL(base, document.baseURI));
  return /^https?:/.test(href) && href;
}

export class JobProgress extends HTMLElement {
  static observedAttributes = [...WATCHED, "label", "lang", "cancellable"];
  /** All texts; assign to translate or reword them. */
  static words = WORDS;

  /** @type {Watch | undefined} */
  #watch;
  /** The watched attributes, as they were when the watch began. */
  #key = "";
  #changing = false;
  /** What the button says. @type {"cancel" | "cancelling" | "cancelAgain"} */
  #button = "cancel";
  #draw = createView(this, JobProgress.words, () => this.#cancel());

  /** The newest snapshot. */
  get snapshot() {
    return this.#watch?.snapshot;
  }

  connectedCallback() {
    this.attributeChangedCallback();
  }

  disconnectedCallback() {
    this.attributeChangedCallback();
  }

  /** Attributes change in bunches, and who is moved is removed first: act once all has settled. */
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
        // Back in the page, what has ended need not be asked for again.
        if (!this.#watch?.closed) this.#key = "";
        this.#watch?.close();
      }
    });
  }

  /** @param {(string | undefined)[]} watched */
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
      transport: /** @type {any} */ (transport),
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

  /** @param {Snapshot} snapshot @param {string} base of its URLs */
  #finish({ id, state, result_url }, base) {
    if (!this.#emit(ENDINGS[state]) || state !== "succeeded") return;
    const url = result_url && safe(result_url, base);
    // An image takes the one, a link the other.
    if (url) for (const shown of this.querySelectorAll("[slot=success]")) Object.assign(shown, { href: url, src: url });
    const then = this.getAttribute("then");
    if (then === "reload") {
      // Once per run: a page that shows a succeeded run again must not reload for ever.
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

  /** @param {string} name @returns {boolean} false if the default was prevented */
  #emit(name) {
    const { snapshot, error, connected, transport } = this.#watch ?? {};
    const detail = { snapshot, status: error?.status, connected, transport };
    return this.dispatchEvent(new CustomEvent(`job-${name}`, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  #render() {
    const { snapshot, error, closed } = this.#watch ?? {};
    const last = snapshot?.state ?? "";
    // Closed before the run's end: by who withdrew.
    const state = error ? "gone" : closed && !ENDINGS[last] ? "left" : last;
    this.setAttribute("state", state);
    this.#draw(state, this.#watch, this.#button);
  }
}
