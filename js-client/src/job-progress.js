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
/** @type {Record<string, string>} */
const EVENTS = { snapshot: "progress", gone: "failure", connection: "connection" };

/** An absolute URL, unless it could run code here. @param {string} url @param {string | null} [base] */
function safe(url, base) {
  const { href, protocol } = new URL(url, new URL(base ?? "", document.baseURI));
  return protocol === "https:" || protocol === location.protocol ? href : "";
}

/** @param {string} url answers `{"token": "…"}` */
const freshToken = async (url) => (await (await fetch(url)).json()).token;

export class JobProgress extends HTMLElement {
  static observedAttributes = [...WATCHED, "label", "lang", "cancellable"];
  /** All texts; assign to translate or reword them. */
  static words = { ...WORDS };

  /** @type {Watch | undefined} */
  #watch;
  /** The watched attributes, as they were when the watch began. */
  #key = "";
  #changing = false;
  /** What the button says. @type {"cancel" | "cancelling" | "cancelAgain"} */
  #button = "cancel";
  #left = false;
  #view = createView(this, JobProgress.words, () => this.#cancel());

  /** The newest snapshot. */
  get snapshot() {
    return this.#watch?.snapshot;
  }

  connectedCallback() {
    this.attributeChangedCallback();
  }

  disconnectedCallback() {
    this.#close();
  }

  /** Attributes change in bunches: act once they have settled. */
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
    const watching = watch(id ? decodeURIComponent(id) : /** @type {string} */ (run), {
      endpoint: id ? base : endpoint,
      token,
      getToken: tokenUrl ? () => freshToken(tokenUrl) : undefined,
      transport: /** @type {any} */ (transport),
    });
    this.#watch = watching;
    for (const type of [...Object.keys(EVENTS), "end"]) {
      watching.addEventListener(type, () => {
        this.#render();
        if (type !== "end") this.#emit(EVENTS[type]);
        else this.#finish(/** @type {Snapshot} */ (watching.snapshot));
      });
    }
  }

  /** @param {Snapshot} snapshot */
  #finish(snapshot) {
    const { id, state, result_url } = snapshot;
    if (!this.#emit(ENDINGS[state]) || state !== "succeeded") return;
    const url = result_url && safe(result_url, this.getAttribute("src") ?? this.getAttribute("endpoint"));
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

  /** @param {string} name @returns {boolean} false if the default was prevented */
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
