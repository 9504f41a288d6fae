/**
 * Watching one run: its newest snapshot as a property, as events, as a promise and as an async iteration.
 *
 * @import { Snapshot } from "./snapshot.js"
 * @import { Patience, Transport } from "./connection.js"
 *
 * @typedef {object} WatchOptions
 * @property {string} [endpoint] where the jobs app is mounted; default "/jobs"
 * @property {string | null} [token] access token of the run
 * @property {() => Promise<string | null | undefined> | string | null | undefined} [getToken]
 *   a fresh access token, asked for once when the server answers 401; nothing means there is none
 * @property {AbortSignal} [signal] closes the watch
 * @property {Transport} [transport] the first transport to try; default "sse"
 * @property {Partial<Patience>} [patience] seconds to wait for things, see `PATIENCE`
 */
import { connectionTo } from "./connection.js";
import { follows, isTerminal } from "./snapshot.js";

/** The run cannot be watched: it is unknown or forbidden (403, 404), gone (410), or the access token was refused (401). */
export class WatchError extends Error {
  /** @override */
  name = "WatchError";

  /**
   * @param {string} run
   * @param {number} status
   */
  constructor(run, status) {
    super(`${status}: run ${run}`);
    this.status = status;
  }
}

/**
 * Events: `snapshot` (each accepted one), `end` (the terminal one), `gone` (see `error`), `connection` (see `connected`), `close`.
 */
export class Watch extends EventTarget {
  /** @type {Snapshot | undefined} */
  snapshot;
  /** @type {WatchError | undefined} */
  error;
  /** Whether the last request was answered; undefined before the first answer. @type {boolean | undefined} */
  connected;
  /** Whether nothing more will come. */
  closed = false;
  /** How it is watched at the moment. @type {Transport | undefined} */
  transport;
  /** The terminal snapshot, whichever its state. Rejects with a `WatchError`, or an `AbortError` after `close()`. @type {Promise<Snapshot>} */
  done;
  /** Where the run is. @type {string} @internal */
  url;
  /** @type {string | null | undefined} @internal */
  token;
  /** @type {WatchOptions["getToken"]} */
  #getToken;
  #renewed = false;
  /** Iterations with nothing new to yield. @type {((_: unknown) => void)[]} */
  #waiting = [];
  #connection;
  /** @type {(outcome: Snapshot | Promise<never>) => void} */
  #settle = () => {};

  /**
   * @param {string} run
   * @param {WatchOptions} [options]
   */
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

  /** Epoch seconds by the server's clock, whatever this machine's clock says. */
  now() {
    return this.#connection.now();
  }

  /**
   * Withdraws the caller's interest; the run stops unless others still want it.
   *
   * @returns {Promise<{ stopping: boolean }>} rejects with a `WatchError` when refused, a `TypeError` when offline
   */
  async cancel() {
    const ask = () => fetch(`${this.url}/cancel`, { method: "POST", headers: this.headers() });
    let response = await ask();
    if (response.status === 401 && (await this.#refresh())) response = await ask();
    if (!response.ok) throw new WatchError(this.id, response.status);
    return response.json();
  }

  /** Stops watching; the run goes on. */
  close() {
    if (!this.closed) this.#end("close", Promise.reject(new DOMException("closed", "AbortError")));
  }

  /** The newest snapshot, and again whenever there is a newer one, up to the terminal one. */
  async *[Symbol.asyncIterator]() {
    /** @type {Snapshot | undefined} */
    let seen;
    while (!this.closed || this.snapshot !== seen) {
      if (this.snapshot === seen) await new Promise((wake) => this.#waiting.push(wake));
      else yield /** @type {Snapshot} */ (seen = this.snapshot);
    }
    await this.done;
  }

  /** What the server wants to see. @returns {Record<string, string>} @internal */
  headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  /** @param {Snapshot} snapshot @internal */
  accept(snapshot) {
    this.#renewed = false;
    if (this.closed || !follows(snapshot, this.snapshot)) return;
    this.snapshot = snapshot;
    const ended = (this.closed = isTerminal(snapshot));
    this.#emit("snapshot");
    if (ended) this.#end("end", snapshot);
  }

  /** The server refuses the run. For 401, one new access token may help. @param {number} status @internal */
  async refuse(status) {
    if (status === 401 && !this.#renewed && (await this.#refresh())) {
      this.#renewed = true;
    } else if (!this.closed) {
      this.error = new WatchError(this.id, status);
      this.#end("gone", Promise.reject(this.error));
    }
  }

  /** @param {boolean} connected @param {Transport} transport @internal */
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

  /** @param {string} name */
  #emit(name) {
    this.dispatchEvent(new Event(name));
    for (const wake of this.#waiting.splice(0)) wake(0);
  }

  /** @param {string} name @param {Snapshot | Promise<never>} outcome */
  #end(name, outcome) {
    this.closed = true;
    this.#connection.heed(this);
    this.#settle(outcome);
    this.#emit(name);
  }
}

/**
 * Watches a run until it ends. All watches of an endpoint share one stream.
 *
 * @param {string} run the run's id
 * @param {WatchOptions} [options]
 */
export const watch = (run, options) => new Watch(run, options);
