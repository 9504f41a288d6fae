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
import { takeSlot } from "./slot.js";

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
const FINAL = [403, 404, 410, 422]; // 422: for one stream they are too many
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

/**
 * @param {string} endpoint
 * @param {Transport} transport
 * @param {Partial<Patience>} [impatience]
 */
function createConnection(endpoint, transport, impatience) {
  const patience = { ...PATIENCE, ...impatience };
  /** @type {Set<Watch>} */
  const all = new Set();
  /** Whether somebody came since the last turn began. */
  let more = false;
  /** Ends the turn or the pause at hand. */
  let current = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** Whether the turn at hand was ended by its timer. */
  let late = false;
  let working = false;
  let paused = false;
  const first = Math.max(0, STEPS.indexOf(transport));
  let step = first;
  let probeAt = 0;
  let failures = 0;
  let stalls = 0;
  /** Whether the stream at hand has brought an event. */
  let heard = false;
  /** Seconds the server wants us to wait before the next turn. */
  let wait = 0;
  /** Seconds the server's clock is ahead of ours. @type {number | undefined} */
  let skew;

  /** Takes in a new watch, lets go of a closed one. @param {Watch} watch */
  function heed(watch) {
    if (watch.closed) all.delete(watch);
    else {
      all.add(watch);
      more = true;
    }
    // They come and go in bunches: a tick later the loop is told, once. Who is new does not wait for a pause to pass.
    setTimeout(() => {
      if (!working) work();
      else if (!all.size || more) current.abort();
    });
  }

  /** Epoch seconds by the server's clock. */
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

  /** Gives the turn or pause at hand so many seconds from now. @param {number} seconds */
  function allow(seconds) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      late = true;
      current.abort();
    }, Math.min(seconds, LONGEST_PAUSE) * 1000);
  }

  /** @returns {Promise<number>} seconds to pause before the next turn */
  async function takeTurn() {
    current = new AbortController();
    late = heard = more = false;
    wait = 0;
    if (Date.now() >= probeAt) step = first;
    const giveBack = step < 2 && (await takeSlot());
    if (!giveBack) step = 2; // until a slot is free, or as stepped down to
    // Of each run the newest watch: what that one knows, the others know too.
    const watches = [...new Map([...all].map((watch) => [watch.id, watch])).values()];
    try {
      return await (step ? pollEach(watches) : readStream(watches));
    } catch {
      // Aborted, but not late: there is something new to look at.
      return current.signal.aborted && !late ? 0 : recover();
    } finally {
      current.abort(); // lets go of a body that was not read to its end
      if (giveBack) giveBack();
    }
  }

  /** @param {Watch[]} watches one of each run */
  async function readStream(watches) {
    const began = Date.now();
    let leave = false;
    /** What each event does; others are ignored. @type {Record<string, (data: any) => unknown>} */
    const on = {
      snapshot: deliver,
      end: deliver,
      gone: lose,
      bye: () => (leave = true),
      // A fresh access token replaces the one this stream was opened with; another watch of the run may hold another.
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
    // Refusing one run is final; refusing the common stream says nothing yet of each run: polls will tell.
    if (watches[1] && FINAL.includes(response.status)) return stepDown();
    if (!(await admits(response, [...all]))) return 0;
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return stepDown();

    const reader = /** @type {ReadableStream<BufferSource>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
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

  /** @param {Watch[]} watches */
  function open(watches) {
    const { signal } = current;
    const [watch] = watches;
    if (!watches[1]) return fetch(`${watch.url}/events`, { headers: watch.headers(), signal });
    const headers = { "content-type": "application/json" };
    const runs = watches.map(({ id, token }) => ({ id, token }));
    return fetch(`${endpoint}/events`, { method: "POST", headers, body: JSON.stringify({ runs }), signal });
  }

  /** @param {Watch[]} watches one of each run */
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

  /**
   * Whether the answer brings what was asked for. If not, the watches know why, or the next turn may do better.
   *
   * @param {Response} response
   * @param {Watch[]} watches
   */
  async function admits({ ok, status, headers }, watches) {
    const date = Date.parse(headers.get("date") ?? "");
    const later = headers.get("retry-after") ?? "";
    if (date) skew = (date + 500 - Date.now()) / 1000; // the header is cut to whole seconds
    wait = Math.max(wait, +later || Date.parse(later) / 1000 - now() || 0);
    if (ok) return true;
    if (status !== 401 && !FINAL.includes(status)) throw status;
    await refuse(watches, status);
  }

  /** @param {Snapshot} snapshot */
  function deliver(snapshot) {
    // The server's clock reads at least that much, and just that much where the report is fresh.
    if (snapshot.state === "running") skew = Math.max(skew ?? -Infinity, snapshot.updated_at - Date.now() / 1000);
    for (const watch of of(snapshot.id)) watch.accept(snapshot);
  }

  /** @param {{ id: string, status: number }} gone */
  async function lose({ id, status }) {
    await refuse(of(id), status);
    if (of(id)[0]) current.abort(); // there is a new access token to come with
  }

  /** @param {Watch[]} watches @param {number} status */
  function refuse(watches, status) {
    return Promise.all(watches.map((watch) => watch.refuse(status)));
  }

  /** @param {string} id */
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
    let leaving;
    /** @param {boolean} wanted */
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
