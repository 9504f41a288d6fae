/**
 * The one stream a document keeps to an endpoint, however many runs are watched.
 *
 * A loop takes one turn after another: stream, or poll where streams do not get through, then pause. Whatever happens
 * meanwhile (a run to add, the page hidden, the network back) aborts the turn, and the loop looks again.
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
  /** for the next byte of a stream (its heartbeat comes every 15 s) or a poll's answer; then it is taken to be dead */
  stall: 40,
  /** before streaming is tried again after stepping down to polling */
  probe: 60,
  /** between polls, unless the server says otherwise */
  poll: 2,
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

/** They stay, idle, as long as the document: what was learnt of an endpoint is worth keeping. @type {Record<string, ReturnType<typeof createConnection>>} */
const connections = {};

/**
 * The document's connection to an endpoint, shared by all who ask for the same.
 *
 * @param {string} endpoint
 * @param {Transport} transport
 * @param {Partial<Patience>} [patience] that of the first who asks counts
 */
export const connectionTo = (endpoint, transport, patience) =>
  (connections[transport + endpoint] ??= createConnection(endpoint, transport, patience));

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

/**
 * @param {string} endpoint
 * @param {Transport} transport
 * @param {Partial<Patience>} [impatience]
 */
function createConnection(endpoint, transport, impatience) {
  const patience = { ...PATIENCE, ...impatience };
  /** @type {Set<Watch>} */
  const all = new Set();
  /** Those whom the turn at hand serves; undefined between turns. @type {Set<Watch> | undefined} */
  let served;
  let current = new AbortController();
  let working = false;
  let paused = false;
  const first = Math.max(0, STEPS.indexOf(transport));
  let step = first;
  let probeAt = 0;
  let failures = 0;
  let stalls = 0;
  /** Whether the stream at hand has brought an event. */
  let heard = false;
  /** Seconds the stream at hand wants us to wait before the next. @type {number | undefined} */
  let retry;
  /** Seconds the server's clock is ahead of ours. */
  let skew = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let looking;

  /** @param {Watch} watch */
  function add(watch) {
    all.add(watch);
    look();
  }

  /** @param {Watch} watch */
  function remove(watch) {
    all.delete(watch);
    look();
  }

  /** Epoch seconds by the server's clock. */
  function now() {
    return Date.now() / 1000 + (skew > -Infinity ? skew : 0);
  }

  /** Asks the server, once. @param {Watch} watch */
  function cancel(watch) {
    return fetch(`${urlOf(watch.id)}/cancel`, { method: "POST", headers: bearer(watch) });
  }

  /** Runs come and go in bunches: a tick later the loop is told, once. */
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

  /** @returns {Promise<number>} seconds to pause before the next turn */
  async function takeTurn() {
    const turn = (current = new AbortController());
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
    if (step > first && Date.now() >= probeAt) step = first;
    served = new Set(all);
    const ids = [...new Set([...all].map(({ id }) => id))];
    try {
      return await (step ? pollEach(ids, turn.signal, allow) : readStream(ids, turn.signal, allow));
    } catch (error) {
      // Aborted, but not late: there is something new to look at.
      return turn.signal.aborted && !late ? 0 : recover(error, late);
    } finally {
      clearTimeout(timer);
      turn.abort(); // lets go of a body that was not read to its end
      served = undefined;
    }
  }

  /**
   * @param {string[]} ids
   * @param {AbortSignal} signal
   * @param {(seconds: number) => void} allow
   */
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
    // Refusing one run is final; refusing the common stream says nothing yet of each run: polls will tell.
    if (ids.length > 1 && FINAL.includes(response.status)) return stepDown();
    if (!(await admits(response, [...all]))) return 0;
    if (!/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) return stepDown();

    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
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

  /** @param {string[]} ids @param {AbortSignal} signal */
  function open(ids, signal) {
    const runs = ids.map((id) => ({ id, token: of(id)[0].token ?? undefined }));
    const [run] = runs;
    if (!runs[1]) return fetch(`${urlOf(run.id)}/events`, { headers: bearer(run), signal });
    const headers = { "content-type": "application/json" };
    return fetch(`${endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
  }

  /**
   * @param {string[]} ids
   * @param {AbortSignal} signal
   * @param {(seconds: number) => void} allow
   */
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

  /**
   * Whether the answer brings what was asked for. If not, the watches know why, or the error's cause says when to come back.
   *
   * @param {Response} response
   * @param {Watch[]} watches
   */
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

  /** Seconds the server asks us to wait, 0 if it does not. @param {Response} response */
  function retryAfter(response) {
    const value = response.headers.get("retry-after") ?? "";
    return Math.max(0, +value || Date.parse(value) / 1000 - now() || 0);
  }

  /** @param {Snapshot} snapshot */
  function deliver(snapshot) {
    // The server's clock reads at least that much, and just that much where the report is fresh.
    if (snapshot.state === "running") skew = Math.max(skew, snapshot.updated_at - Date.now() / 1000);
    for (const watch of of(snapshot.id)) watch.accept(snapshot);
  }

  /** @param {{ id: string, status?: number }} gone */
  async function lose({ id, status = 404 }) {
    const watches = of(id);
    if (status !== 401) return watches.forEach((watch) => watch.fail(status));
    await Promise.all(watches.map((watch) => watch.renew()));
    current.abort();
  }

  /** @param {string} id */
  function of(id) {
    return [...all].filter((watch) => watch.id === id);
  }

  /** @param {unknown} error @param {boolean} late */
  function recover(error, late) {
    if (late && step < 2) return step || !heard || ++stalls > 1 ? stepDown() : 0;
    failures++;
    if (step === 1 && failures > 1) stepDown();
    report(false);
    const { cause } = /** @type {Error} */ (error);
    return (typeof cause === "number" ? cause : (retry ?? 0)) + jitter();
  }

  function stepDown() {
    step++;
    stalls = 0;
    probeAt = Date.now() + patience.probe * 1000;
    return 0;
  }

  /** Full jitter: anything up to a bound that doubles. */
  function jitter() {
    return Math.random() * Math.min(LONGEST_BACKOFF, patience.backoff * 2 ** failures);
  }

  /** @param {boolean} connected */
  function report(connected) {
    for (const watch of all) watch.report(connected, STEPS[step]);
  }

  function listen() {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @param {boolean} wanted */
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

  /** @param {string} id */
  function urlOf(id) {
    return `${endpoint}/runs/${encodeURIComponent(id)}`;
  }

  if (typeof document !== "undefined") listen();
  return { add, remove, now, cancel };
}
