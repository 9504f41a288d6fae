/**
 * The one stream a document keeps to an endpoint, however many runs are watched.
 *
 * A loop takes one turn after another: stream, or poll where streams do not get through, then pause. Whatever changes
 * its task meanwhile (a run to add, the page hidden, the network back) aborts the turn, and the loop looks again.
 *
 * @import { Snapshot } from "./snapshot.js"
 * @import { Watch } from "./watch.js"
 * @typedef {"sse" | "long-poll" | "poll"} Transport
 */
import { eventParser } from "./event-stream.js";

/**
 * How many seconds to wait.
 * @typedef {typeof PATIENCE} Patience
 */
export const PATIENCE = {
  /** for the first frame of a stream; then it is taken to be buffered on its way */
  firstFrame: 6,
  /** for the next byte of a stream (its heartbeat comes every 15 s); then it is taken to be dead */
  stall: 40,
  /** before streaming is tried again after stepping down to polling */
  probe: 60,
  /** between polls, unless the server says otherwise */
  poll: 2,
  /** for an answer to a poll, beyond what it was asked to wait */
  answer: 10,
  /** the first backoff's upper bound, doubled by each failure, up to 30 s */
  backoff: 0.5,
  /** before a hidden page's stream is closed */
  hidden: 15,
};

/** @type {Transport[]} */
const STEPS = ["sse", "long-poll", "poll"];
const FINAL = [403, 404, 410];
const LONG_POLL = 25;
const LONGEST_BACKOFF = 30;
const LONGEST_PAUSE = 3600; // a timer set for more than 24 days fires at once

/** @type {Map<string, Connection>} */
const connections = new Map();

/**
 * The document's connection to an endpoint, shared by all who ask for the same.
 *
 * @param {string} endpoint
 * @param {Transport} transport
 * @param {Partial<Patience>} [patience] that of the first who asks counts
 */
export function connectionTo(endpoint, transport, patience) {
  const key = transport + endpoint;
  let connection = connections.get(key);
  if (!connection) {
    connection = new Connection(endpoint, transport, patience, () => connections.delete(key));
    connections.set(key, connection);
  }
  return connection;
}

/** @param {{ token?: string | null }} holder @returns {Record<string, string>} */
const bearer = ({ token }) => (token ? { authorization: `Bearer ${token}` } : {});

/** @param {number} seconds @param {AbortSignal} signal ends the pause early */
const pauseFor = (seconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(seconds, LONGEST_PAUSE) * 1000);
    signal.onabort = () => {
      clearTimeout(timer);
      resolve(0);
    };
  });

class Connection {
  /** @type {Set<Watch>} */
  #watches = new Set();
  /** Those whom the turn at hand serves; undefined between turns. @type {Set<Watch> | undefined} */
  #served;
  #turn = new AbortController();
  #working = false;
  #paused = false;
  #first;
  #step;
  #probeAt = 0;
  #failures = 0;
  #stalls = 0;
  /** Whether the stream at hand has brought an event. */
  #heard = false;
  /** Seconds the stream at hand wants us to wait before the next. @type {number | undefined} */
  #retry;
  /** Seconds the server's clock is ahead of ours. */
  #skew = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #looking;
  #endpoint;
  #patience;
  #idle;

  /**
   * @param {string} endpoint
   * @param {Transport} transport
   * @param {Partial<Patience> | undefined} patience
   * @param {() => void} idle called when nothing is watched any more
   */
  constructor(endpoint, transport, patience, idle) {
    this.#endpoint = endpoint;
    this.#first = this.#step = Math.max(0, STEPS.indexOf(transport));
    this.#patience = { ...PATIENCE, ...patience };
    this.#idle = idle;
  }

  /** @param {Watch} watch */
  add(watch) {
    this.#watches.add(watch);
    this.#look();
  }

  /** @param {Watch} watch */
  remove(watch) {
    this.#watches.delete(watch);
    this.#look();
  }

  /** Epoch seconds by the server's clock. */
  now() {
    return Date.now() / 1000 + (this.#skew > -Infinity ? this.#skew : 0);
  }

  /** Asks the server, once. @param {Watch} watch */
  cancel(watch) {
    return fetch(`${this.#url(watch.id)}/cancel`, { method: "POST", headers: bearer(watch) });
  }

  /** Runs come and go in bunches: a tick later the loop is told, once. */
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

  /** @returns {Promise<number>} seconds to pause before the next turn */
  async #takeTurn() {
    const turn = (this.#turn = new AbortController());
    let late = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** Gives the turn so many seconds from now. @param {number} seconds */
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
      // Aborted, but not late: there is something new to look at.
      return turn.signal.aborted && !late ? 0 : this.#recover(error, late);
    } finally {
      clearTimeout(timer);
      turn.abort(); // lets go of a body that was not read to its end
      this.#served = undefined;
    }
  }

  /**
   * @param {string[]} ids
   * @param {AbortSignal} signal
   * @param {(seconds: number) => void} allow
   */
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
    // Refusing one run is final; refusing the common stream says nothing yet of each run: polls will tell.
    if (ids.length > 1 && FINAL.includes(response.status)) return this.#stepDown();
    if (!(await this.#admits(response, [...this.#watches]))) return 0;
    if (!/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) return this.#stepDown();

    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
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

  /** @param {string[]} ids @param {AbortSignal} signal */
  #open(ids, signal) {
    const runs = ids.map((id) => ({ id, token: this.#of(id)[0].token ?? undefined }));
    const [run] = runs;
    if (!runs[1]) return fetch(`${this.#url(run.id)}/events`, { headers: bearer(run), signal });
    const headers = { "content-type": "application/json" };
    return fetch(`${this.#endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
  }

  /**
   * @param {string[]} ids
   * @param {AbortSignal} signal
   * @param {(seconds: number) => void} allow
   */
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
      // A long poll that does not wait and brings nothing is an ordinary one.
      if (query && watch.snapshot?.version === known?.version && Date.now() - began < poll * 1000) pause = poll;
      pause = Math.max(pause, this.#retryAfter(response));
    }
    this.#failures = 0;
    this.#report(true);
    return pause;
  }

  /**
   * Whether the answer brings what was asked for. If not, the watches know why, or the error's cause says when to come back.
   *
   * @param {Response} response
   * @param {Watch[]} watches
   */
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

  /** Seconds the server asks us to wait, 0 if it does not. @param {Response} response */
  #retryAfter(response) {
    const value = response.headers.get("retry-after") ?? "";
    return Math.max(0, +value || Date.parse(value) / 1000 - this.now() || 0);
  }

  /** @param {Snapshot} snapshot */
  #deliver(snapshot) {
    // The server's clock reads at least that much, and just that much where the report is fresh.
    if (snapshot.state === "running") this.#skew = Math.max(this.#skew, snapshot.updated_at - Date.now() / 1000);
    for (const watch of this.#of(snapshot.id)) watch.accept(snapshot);
  }

  /** @param {{ id: string, status?: number }} gone */
  async #lose({ id, status = 404 }) {
    const watches = this.#of(id);
    if (status !== 401) return watches.forEach((watch) => watch.fail(status));
    await Promise.all(watches.map((watch) => watch.renew()));
    this.#turn.abort();
  }

  /** @param {string} id */
  #of(id) {
    return [...this.#watches].filter((watch) => watch.id === id);
  }

  /** @param {unknown} error @param {boolean} late */
  #recover(error, late) {
    if (late && this.#step < 2) {
      return this.#step || !this.#heard || ++this.#stalls > 1 ? this.#stepDown() : 0;
    }
    this.#failures++;
    if (this.#step === 1 && this.#failures > 1) this.#stepDown();
    this.#report(false);
    const { cause } = /** @type {Error} */ (error);
    return (typeof cause === "number" ? cause : (this.#retry ?? 0)) + this.#backoff();
  }

  #stepDown() {
    this.#step++;
    this.#stalls = 0;
    this.#probeAt = Date.now() + this.#patience.probe * 1000;
    return 0;
  }

  /** Full jitter: anything up to a bound that doubles. */
  #backoff() {
    return Math.random() * Math.min(LONGEST_BACKOFF, this.#patience.backoff * 2 ** this.#failures);
  }

  /** @param {boolean} connected */
  #report(connected) {
    for (const watch of this.#watches) watch.report(connected, STEPS[this.#step]);
  }

  /** @returns {() => void} undoes it */
  #listen() {
    if (typeof document === "undefined") return () => {};
    const listening = new AbortController();
    const { signal } = listening;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @param {boolean} paused */
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

  /** @param {string} id */
  #url(id) {
    return `${this.#endpoint}/runs/${encodeURIComponent(id)}`;
  }
}
