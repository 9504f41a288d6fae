/**
 * A real HTTP server whose answers a test writes: `script(request)` answers each request, and all are recorded.
 */
import { createServer } from "node:http";

/**
 * @typedef {import("node:http").IncomingMessage} Message
 * @typedef {import("node:http").ServerResponse} Reply
 * @typedef {object} Asked
 * @property {string} method
 * @property {string} url
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {any} body parsed JSON
 * @property {number} at milliseconds
 * @property {boolean} closed whether the answer has ended or the client has left
 */

/** @param {Message} message */
async function bodyOf(message) {
  let text = "";
  for await (const chunk of message) text += chunk;
  return text ? JSON.parse(text) : undefined;
}

/** @param {(asked: Asked, reply: Reply, nth: number) => unknown} script */
export async function serve(script) {
  /** @type {Asked[]} */
  const requests = [];
  const server = createServer(async (message, reply) => {
    const { method = "", url = "", headers } = message;
    /** @type {Asked} */
    const asked = { method, url, headers, body: await bodyOf(message), at: Date.now(), closed: false };
    reply.on("close", () => (asked.closed = true));
    const nth = requests.push(asked);
    await script(asked, reply, nth);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(0)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    requests,
    origin: `http://127.0.0.1:${port}`,
    endpoint: `http://127.0.0.1:${port}/jobs`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * A running snapshot, with what a test wants different.
 *
 * @param {Record<string, any>} [changes]
 * @returns {any}
 */
export function snapshot({ progress, queue, ...changes } = {}) {
  const now = Date.now() / 1000;
  return {
    id: "a",
    job: "reports.SalesReport",
    state: "running",
    version: 1,
    start: 1,
    attempt: 1,
    max_attempts: 1,
    progress: {
      ...{ done: 1200, total: 5000, fraction: 0.24, unit: "orders", message: "Reading orders" },
      ...{ rate: null, finish_at: null, counts: {}, stages: [] },
      ...progress,
    },
    queue: { name: "default", position: null, workers: 2, ...queue },
    cancellable: true,
    stalled: false,
    created_at: now,
    started_at: now,
    updated_at: now,
    finished_at: null,
    result: null,
    result_inline: true,
    result_url: null,
    error: null,
    ...changes,
  };
}

/** @param {string} event @param {unknown} data */
export const frame = (event, data) => `event: ${event}\nid: 1\ndata: ${JSON.stringify(data)}\n\n`;

/** @param {Reply} reply @param {string[]} frames */
export function stream(reply, ...frames) {
  reply.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" });
  reply.flushHeaders();
  for (const text of frames) reply.write(text);
  return reply;
}

/** @param {Reply} reply @param {number} status @param {unknown} [body] @param {Record<string, string>} [headers] */
export function answer(reply, status, body, headers = {}) {
  reply.writeHead(status, { "content-type": "application/json", ...headers });
  reply.end(body === undefined ? undefined : JSON.stringify(body));
}

/** @param {() => unknown} condition @param {string} message */
export async function until(condition, message) {
  const deadline = Date.now() + 8000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${message}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Lets so many milliseconds go by: only to prove that nothing happens in them. @param {number} milliseconds */
export const quiet = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
