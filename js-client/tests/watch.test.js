/** `watch()` against a real server: what it shows, asks for, and does when things go wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { watch } from "../src/watch.js";
import { answer, frame, quiet, serve, snapshot, stream, until } from "./scripted-server.js";

/** Short, so that no test waits for long. */
const patience = { firstFrame: 0.3, stall: 0.4, probe: 60, poll: 0.02, answer: 0.3, backoff: 0.02, hidden: 15 };
const done = snapshot({ state: "succeeded", version: 9, result: 42, progress: { fraction: 1 } });

/** @param {(asked: import("./scripted-server.js").Asked, reply: any, nth: number) => unknown} script */
const setting = async (script) => {
  const server = await serve(script);
  return { ...server, options: { endpoint: server.endpoint, token: "t", patience } };
};

test("one run is streamed with a bearer header, up to its end", async (t) => {
  const { options, requests, close } = await setting((_, reply) =>
    stream(reply, frame("snapshot", snapshot()), ": beat\n\n", frame("end", done)).end(),
  );
  t.after(close);
  const run = watch("a", options);
  assert.equal((await run.done).result, 42);
  assert.equal(requests[0].url, "/jobs/runs/a/events");
  assert.equal(requests[0].headers.authorization, "Bearer t");
});

test("nothing is asked for after the end", async (t) => {
  const { options, requests, close } = await setting((_, reply) => stream(reply, frame("end", done)));
  t.after(close);
  await watch("a", options).done;
  await until(() => requests[0].closed, "the stream is let go of, though the server keeps it open");
  await quiet(300);
  assert.equal(requests.length, 1);
});

test("iterating yields snapshots up to the terminal one", async (t) => {
  const { options, close } = await setting(async (_, reply) => {
    stream(reply, frame("snapshot", snapshot()));
    await quiet(30);
    reply.end(frame("end", done));
  });
  t.after(close);
  const states = [];
  for await (const { state } of watch("a", options)) states.push(state);
  assert.deepEqual(states, ["running", "succeeded"]);
});

test("older snapshots are dropped and equal ones accepted", async (t) => {
  const orders = [[1, 5], [1, 4], [1, 5], [2, 1], [1, 9], [2, 1], [2, 2]];
  const { options, close } = await setting((_, reply) =>
    stream(reply, ...orders.map(([start, version]) => frame("snapshot", snapshot({ start, version }))),
      frame("end", { ...done, start: 2 })),
  );
  t.after(close);
  const run = watch("a", options);
  /** @type {number[][]} */
  const seen = [];
  run.addEventListener("snapshot", () => seen.push([run.snapshot?.start ?? 0, run.snapshot?.version ?? 0]));
  await run.done;
  assert.deepEqual(seen, [[1, 5], [1, 5], [2, 1], [2, 1], [2, 2], [2, 9]]);
});

test("unknown events and comments are ignored", async (t) => {
  const { options, close } = await setting((_, reply) =>
    stream(reply, frame("log", { text: "x" }), frame("item", 1), ":\n\n", frame("end", done)),
  );
  t.after(close);
  assert.equal((await watch("a", options).done).state, "succeeded");
});

test("many watches share one stream, and their access tokens stay out of the URL", async (t) => {
  const { options, requests, close } = await setting((asked, reply) =>
    stream(reply, ...asked.body.runs.map((/** @type {any} */ run) => frame("end", { ...done, id: run.id }))).end(),
  );
  t.after(close);
  const ids = ["a", "b", "c", "b"];
  await Promise.all(ids.map((id) => watch(id, { ...options, token: `token of ${id}` }).done));
  assert.equal(requests.length, 1);
  assert.deepEqual([requests[0].method, requests[0].url], ["POST", "/jobs/events"]);
  assert.deepEqual(requests[0].body, {
    runs: ["a", "b", "c"].map((id) => ({ id, token: `token of ${id}` })),
  });
});

test("a watch added later reopens the stream with the new set", async (t) => {
  const { options, requests, close } = await setting((asked, reply) =>
    stream(reply, ...(asked.body?.runs ?? [{ id: "a" }]).map((/** @type {any} */ run) => frame("snapshot", snapshot(run)))),
  );
  t.after(close);
  const first = watch("a", options);
  await until(() => first.snapshot, "the first is streamed");
  const others = ["b", "c"].map((id) => watch(id, options));
  await until(() => others.every((run) => run.snapshot), "the others are streamed");
  assert.deepEqual(requests.map(({ url, body }) => [url, body?.runs.length]), [["/jobs/runs/a/events", undefined], ["/jobs/events", 3]]);
  assert.ok(requests[0].closed);
  for (const run of [first, ...others]) run.close();
  await until(() => requests[1].closed, "the stream closes with the last watch");
});

test("a watch added during a long pause starts at once", async (t) => {
  const { options, requests, close } = await setting((asked, reply, nth) =>
    nth === 1
      ? answer(reply, 503, undefined, { "retry-after": "60" })
      : stream(reply, ...asked.body.runs.map((/** @type {any} */ { id }) => frame("end", { ...done, id }))),
  );
  t.after(close);
  const first = watch("a", options);
  await until(() => first.connected === false, "the pause has begun");
  await Promise.all([first.done, watch("b", options).done]);
  assert.equal(requests.length, 2);
  assert.ok(requests[1].at - requests[0].at < 5000);
});

test("a run gone from the common stream ends its own watch only", async (t) => {
  const { options, close } = await setting((_, reply) =>
    stream(reply, frame("gone", { id: "b", status: 410 }), frame("end", done)).end(),
  );
  t.after(close);
  const [a, b] = [watch("a", options), watch("b", options)];
  await assert.rejects(b.done, { name: "WatchError", status: 410 });
  assert.equal((await a.done).state, "succeeded");
});

for (const status of [403, 404, 410]) {
  test(`${status} is final`, async (t) => {
    const { options, requests, close } = await setting((_, reply) => answer(reply, status));
    t.after(close);
    const run = watch("a", options);
    await assert.rejects(run.done, { name: "WatchError", status });
    await assert.rejects(run[Symbol.asyncIterator]().next(), { status });
    await quiet(200);
    assert.equal(requests.length, 1);
  });
}

test("a refused common stream lets polls tell which run is refused", async (t) => {
  const { options, close } = await setting((asked, reply) => {
    if (asked.url.endsWith("/events")) return answer(reply, 404);
    return asked.url.endsWith("/b") ? answer(reply, 404) : answer(reply, 200, done);
  });
  t.after(close);
  const [a, b] = [watch("a", options), watch("b", options)];
  await assert.rejects(b.done, { status: 404 });
  assert.equal((await a.done).result, 42);
});

test("after a 401 a fresh access token is asked for, once", async (t) => {
  const { options, requests, close } = await setting((asked, reply) =>
    asked.headers.authorization === "Bearer fresh" ? stream(reply, frame("end", done)) : answer(reply, 401),
  );
  t.after(close);
  let asked = 0;
  await watch("a", { ...options, getToken: async () => (asked++, "fresh") }).done;
  assert.equal(requests.length, 2);
  assert.equal(asked, 1);
  const stubborn = watch("a", { ...options, getToken: () => "stale" });
  await assert.rejects(stubborn.done, { status: 401 });
  assert.equal(requests.length, 4);
  await assert.rejects(watch("a", options).done, { status: 401 });
});

test("an access token that expires on the common stream is renewed for its run", async (t) => {
  const { options, requests, close } = await setting((asked, reply) => {
    const [a, b] = asked.body?.runs ?? [];
    if (b?.token === "fresh") return stream(reply, frame("end", { ...done, id: a.id }), frame("end", { ...done, id: "b" })).end();
    return stream(reply, frame("snapshot", snapshot()), frame("gone", { id: "b", status: 401 }));
  });
  t.after(close);
  await Promise.all([watch("a", options).done, watch("b", { ...options, getToken: () => "fresh" }).done]);
  assert.equal(requests.length, 2);
});

test("a run refused for want of an access token leaves the common stream to the others", async (t) => {
  const { options, requests, close } = await setting(async (_, reply) => {
    stream(reply, frame("gone", { id: "b", status: 401 }));
    await quiet(100);
    reply.end(frame("end", done));
  });
  t.after(close);
  const [a, b] = [watch("a", options), watch("b", options)];
  await assert.rejects(b.done, { status: 401 });
  assert.equal((await a.done).state, "succeeded");
  assert.equal(requests.length, 1);
});

test("polls that bring nothing new still tell that the access token was taken: after each 401 there is one more", async (t) => {
  const statuses = [200, 401, 200, 401, 200];
  const { options, requests, close } = await setting((_, reply, nth) =>
    answer(reply, statuses[nth - 1], nth === 5 ? done : snapshot()),
  );
  t.after(close);
  let asked = 0;
  await watch("a", { ...options, transport: "poll", getToken: () => `fresh ${++asked}` }).done;
  assert.equal(asked, 2);
  assert.equal(requests.length, 5);
});

test("an access token that the stream renews is used from then on", async (t) => {
  const { options, requests, close } = await setting((asked, reply, nth) => {
    if (asked.method === "POST") return answer(reply, 202, { stopping: true });
    if (nth > 2) return stream(reply, frame("end", done));
    stream(reply, frame("token", { id: "a", token: "fresh" }), frame("snapshot", snapshot()));
    if (nth === 2) reply.end(frame("token", { id: "a", token: "fresher" }) + frame("bye", {}));
    else reply.end(frame("bye", {}));
  });
  t.after(close);
  const run = watch("a", options);
  await run.done;
  await run.cancel();
  assert.deepEqual(requests.map(({ headers }) => headers.authorization), ["Bearer t", "Bearer fresh", "Bearer fresher", "Bearer fresher"]);
});

test("the common stream renews the access tokens of the runs it names", async (t) => {
  const { options, requests, close } = await setting((_, reply, nth) => {
    if (nth === 2) return stream(reply, ...["a", "b"].map((id) => frame("end", { ...done, id }))).end();
    stream(reply, ...["a", "b"].map((id) => frame("snapshot", snapshot({ id }))));
    reply.end(frame("token", { id: "b", token: "fresh" }) + frame("token", { id: "x", token: "nobody's" }) + frame("bye", {}));
  });
  t.after(close);
  await Promise.all(["a", "b"].map((id) => watch(id, { ...options, token: `t-${id}` }).done));
  assert.deepEqual(requests.map(({ body }) => body.runs.map((/** @type {any} */ { token }) => token)), [["t-a", "t-b"], ["t-a", "fresh"]]);
});

test("two watches of a run renew the access token that they share; one that is another's stays", async (t) => {
  const { options, requests, close } = await setting((asked, reply) => {
    if (asked.method === "POST") return answer(reply, 200, { stopping: false });
    stream(reply, frame("snapshot", snapshot()), frame("token", { id: "a", token: "fresh" }), frame("end", done));
  });
  t.after(close);
  const runs = ["may cancel", "t", "t"].map((token) => watch("a", { ...options, token }));
  await Promise.all(runs.map((run) => run.done));
  for (const run of runs) await run.cancel();
  assert.deepEqual(requests.map(({ headers }) => headers.authorization), ["Bearer t", "Bearer may cancel", "Bearer fresh", "Bearer fresh"]);
});

test("more runs than one stream takes are polled", async (t) => {
  const { options, close } = await setting((asked, reply) =>
    asked.method === "POST" ? answer(reply, 422) : answer(reply, 200, { ...done, id: asked.url.at(-1) }),
  );
  t.after(close);
  await Promise.all(["a", "b", "c"].map((id) => watch(id, options).done));
});

for (const transport of /** @type {const} */ (["sse", "long-poll", "poll"])) {
  test(`the first snapshot comes when it is known to be connected by ${transport}`, async (t) => {
    const { options, close } = await setting((_, reply) =>
      transport === "sse" ? stream(reply, frame("end", done)) : answer(reply, 200, done),
    );
    t.after(close);
    const run = watch("a", { ...options, transport });
    run.addEventListener("snapshot", () => assert.deepEqual([run.connected, run.transport], [true, transport]));
    await run.done;
  });
}

for (const status of [429, 500, 502, 503]) {
  test(`a window of ${status} is waited out`, async (t) => {
    const { options, requests, close } = await setting((_, reply, nth) =>
      nth < 5 ? answer(reply, status) : stream(reply, frame("end", done)),
    );
    t.after(close);
    const run = watch("a", options);
    /** @type {unknown[]} */
    const connected = [];
    run.addEventListener("connection", () => connected.push(run.connected));
    await run.done;
    assert.equal(requests.length, 5);
    assert.deepEqual(connected, [false, true]);
  });
}

test("Retry-After is obeyed, in seconds and as a date", async (t) => {
  const { options, requests, close } = await setting((_, reply, nth) => {
    if (nth === 1) return answer(reply, 503, undefined, { "retry-after": "1" });
    const later = new Date(Date.now() + 2000).toUTCString();
    return nth === 2 ? answer(reply, 429, undefined, { "retry-after": later }) : stream(reply, frame("end", done));
  });
  t.after(close);
  await watch("a", options).done;
  assert.ok(requests[1].at - requests[0].at >= 990, "seconds");
  assert.ok(requests[2].at - requests[1].at >= 490, "date");
});

test("after bye the stream is opened again when the server said", async (t) => {
  const { options, requests, close } = await setting((_, reply, nth) =>
    nth === 1 ? stream(reply, frame("snapshot", snapshot()), "retry: 300\n", frame("bye", {})) : stream(reply, frame("end", done)),
  );
  t.after(close);
  await watch("a", options).done;
  assert.ok(requests[1].at - requests[0].at >= 295);
  assert.equal(requests[1].url, "/jobs/runs/a/events");
});

test("a stream cut off is opened again, with growing pauses while it is cut at once", async (t) => {
  const { options, requests, close } = await setting((_, reply, nth) => {
    if (nth > 6) return stream(reply, frame("end", done));
    stream(reply, frame("snapshot", snapshot()));
    setTimeout(() => reply.destroy(), 10);
  });
  t.after(close);
  await watch("a", options).done;
  assert.equal(requests.length, 7);
});

test("a stream that is buffered on its way gives place to long polls", async (t) => {
  const { options, requests, close } = await setting(async (asked, reply) => {
    if (asked.url.endsWith("/events")) return stream(reply);
    if (asked.url.includes("version=1")) {
      await quiet(50);
      return answer(reply, 200, snapshot({ version: 2 }));
    }
    answer(reply, 200, asked.url.includes("version=2") ? done : snapshot());
  });
  t.after(close);
  const run = watch("a", options);
  await run.done;
  assert.equal(run.transport, "long-poll");
  assert.deepEqual(requests.map(({ url }) => url.replace("/jobs/runs/a", "")), [
    "/events", "?wait=25&version=0", "?wait=25&version=1", "?wait=25&version=2",
  ]);
  assert.ok(requests[0].closed);
});

test("something that is no event stream gives place to polls at once", async (t) => {
  const { options, requests, close } = await setting((asked, reply) => {
    if (!asked.url.endsWith("/events")) return answer(reply, 200, done);
    reply.writeHead(200, { "content-type": "text/html" });
    reply.write("<p>Please log in");
  });
  t.after(close);
  await watch("a", options).done;
  assert.ok(requests[1].at - requests[0].at < 200);
});

test("the second stall of a stream gives place to polls, a heartbeat prevents it", async (t) => {
  const { options, requests, close } = await setting(async (asked, reply, nth) => {
    if (!asked.url.endsWith("/events")) return answer(reply, 200, done);
    stream(reply, frame("snapshot", snapshot()));
    if (nth > 1) return;
    for (let beat = 0; beat < 5; beat++) {
      await quiet(150);
      reply.write(":\n\n");
    }
  });
  t.after(close);
  await watch("a", options).done;
  assert.deepEqual(requests.map(({ url }) => url.replace("/jobs/runs/a", "")), ["/events", "/events", "?wait=25&version=1"]);
  assert.ok(requests[1].at - requests[0].at >= 1100, "beats keep the first alive");
});

test("long polls that fail give place to plain ones", async (t) => {
  let polls = 0;
  const { options, requests, close } = await setting((asked, reply) => {
    if (asked.url.includes("wait")) return answer(reply, 504);
    answer(reply, 200, ++polls < 5 ? snapshot() : done);
  });
  t.after(close);
  const run = watch("a", { ...options, transport: "long-poll" });
  await run.done;
  assert.equal(run.transport, "poll");
  assert.equal(requests.filter(({ url }) => url.includes("wait")).length, 2);
  assert.equal(polls, 5);
});

test("a poll's Retry-After says when to ask again", async (t) => {
  const { options, requests, close } = await setting((_, reply, nth) =>
    nth === 1 ? answer(reply, 200, snapshot(), { "retry-after": "1" }) : answer(reply, 200, done),
  );
  t.after(close);
  await watch("a", { ...options, transport: "poll" }).done;
  assert.ok(requests[1].at - requests[0].at >= 990);
});

test("streaming is tried again after stepping down", async (t) => {
  const { options, requests, close } = await setting((asked, reply, nth) => {
    if (nth === 1) return stream(reply);
    return asked.url.endsWith("/events") ? stream(reply, frame("end", done)) : answer(reply, 200, snapshot());
  });
  t.after(close);
  const run = watch("a", { ...options, patience: { ...patience, probe: 0.2 } });
  await run.done;
  assert.equal(run.transport, "sse");
  assert.ok(requests.length > 3);
});

test("a server that is away is waited for", async (t) => {
  const { endpoint, close } = await serve(() => {});
  await close();
  const run = watch("a", { endpoint, patience });
  await until(() => run.connected === false, "the watch knows");
  run.close();
  t.after(() => {});
  await assert.rejects(run.done, { name: "AbortError" });
});

test("a signal closes the watch and its stream", async (t) => {
  const { options, requests, close } = await setting((_, reply) => stream(reply, frame("snapshot", snapshot())));
  t.after(close);
  const controller = new AbortController();
  const run = watch("a", { ...options, signal: controller.signal });
  await until(() => run.snapshot, "streaming");
  controller.abort();
  await assert.rejects(run.done, { name: "AbortError" });
  await until(() => requests[0].closed, "the stream is closed");
  assert.equal(requests.length, 1);
});

test("cancel withdraws the interest, and says whether the run stops", async (t) => {
  const { options, requests, close } = await setting((asked, reply) => {
    if (asked.method !== "POST") return stream(reply, frame("snapshot", snapshot()));
    return asked.headers.authorization === "Bearer fresh" ? answer(reply, 200, { stopping: false }) : answer(reply, 401);
  });
  t.after(close);
  const run = watch("a", { ...options, getToken: () => "fresh" });
  assert.deepEqual(await run.cancel(), { stopping: false });
  assert.ok(requests.some(({ url }) => url === "/jobs/runs/a/cancel"));
  run.close();
});

for (const skew of [-300, 300]) {
  test(`a clock ${skew} s off is corrected by the server's`, async (t) => {
    const server = Date.now() / 1000 + skew;
    const { options, close } = await setting((_, reply) => {
      reply.sendDate = false;
      reply.setHeader("date", new Date(server * 1000).toUTCString());
      stream(reply, frame("snapshot", snapshot({ updated_at: server - 100 })));
    });
    t.after(close);
    const run = watch("a", options);
    await until(() => run.snapshot, "streaming");
    assert.ok(Math.abs(run.now() - Date.now() / 1000 - skew) < 1.5);
    run.close();
  });

  test(`without a Date header, a clock ${skew} s off is corrected by fresh reports`, async (t) => {
    const { options, close } = await setting((_, reply) => {
      reply.sendDate = false;
      stream(reply, frame("snapshot", snapshot({ updated_at: Date.now() / 1000 + skew })));
    });
    t.after(close);
    const run = watch("a", options);
    await until(() => run.snapshot, "streaming");
    assert.ok(Math.abs(run.now() - Date.now() / 1000 - skew) < 0.5);
    run.close();
  });
}
