/** `<job-progress>` in real Chromium, as the single file with its integrity hash, under a strict policy. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { INSECURE, executable, launch, site } from "./chromium.js";
import { answer, frame, snapshot, stream, until } from "./scripted-server.js";

/** @type {import("playwright-core").Browser} */
let browser;
const options = { skip: executable ? false : "NO CHROMIUM: the element is not tested; apt install chromium, or set CHROMIUM" };
if (!executable) console.error(options.skip);
before(async () => {
  if (executable) browser = await launch();
});
after(() => browser?.close());

const ELEMENT = '<job-progress src="/jobs/runs/a" token="t" label="Sales report" cancellable><a href="/plain">Watch</a></job-progress>';
const done = snapshot({ state: "succeeded", version: 99, progress: { fraction: 1 }, result_url: "/jobs/runs/a/result?sig=1" });

/**
 * Opens a page whose only stream the test writes to.
 *
 * @param {import("node:test").TestContext} t
 * @param {{ body?: string, script?: any, context?: any, first?: any, clock?: boolean }} [setting] clock: time passes as the test says
 */
async function open(t, { body = ELEMENT, script, context, first = snapshot(), clock } = {}) {
  /** @type {any} */
  let reply;
  const server = await site({ "/": body, "/next": "next" }, (asked, answering, nth) => {
    if (script?.(asked, answering, nth)) return;
    if (!asked.url.endsWith("/events")) return answer(answering, 404);
    reply = stream(answering, frame("snapshot", first));
  });
  const page = await browser.newPage(context);
  if (clock) await page.clock.install();
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  t.after(async () => {
    await page.close();
    await server.close();
  });
  await page.goto(server.origin);
  const element = page.locator("job-progress").first();
  await until(() => reply, "the page opens its stream");
  /** @param {string} part */
  const part = (part) => element.locator(`[part=${part}]`);
  return {
    page, server, element, part, complaints,
    /** @param {string} event @param {any} data */
    send: (event, data) => reply.write(frame(event, data)),
    end: () => reply.end(),
    /** The text of a part once it is so. @param {string} name @param {string | RegExp} text */
    shows: async (name, text) => {
      const matches = async () => {
        const shown = ((await part(name).first().textContent()) ?? "").replace(/\s+/g, " ").trim();
        return typeof text === "string" ? shown === text : text.test(shown);
      };
      for (const deadline = Date.now() + 5000; !(await matches()); ) {
        if (Date.now() > deadline) assert.fail(`${name} shows ${await part(name).first().textContent()}, not ${text}`);
      }
    },
  };
}

test("a run is shown from the queue to its end, without a complaint of the policy", options, async (t) => {
  const first = snapshot({ state: "queued", queue: { position: 3 }, progress: { fraction: null, done: 0, total: null } });
  const { shows, send, end, element, part, complaints, page } = await open(t, { first });
  await shows("detail", "Number 3 in line");
  assert.equal(await part("bar").getAttribute("value"), null, "an indeterminate bar has no value");
  send("snapshot", { ...first, queue: { ...first.queue, workers: 0 } });
  await shows("detail", "No worker serves this queue");
  send("snapshot", snapshot({ version: 2, progress: { finish_at: Date.now() / 1000 + 30 } }));
  await shows("percent", "24%");
  await shows("text", "Reading orders");
  await shows("detail", "1,200 of 5,000 orders");
  await shows("time", /^(29|30) sec left$/);
  await shows("time", /^28 sec left$/);
  assert.equal(await element.getByText("Watch").isVisible(), false, "the link for pages without JavaScript is not shown");
  send("end", done);
  end();
  await shows("text", "Done");
  assert.equal(await element.getAttribute("state"), "succeeded");
  assert.equal(await part("bar").getAttribute("value"), "1");
  assert.equal(await part("button").isVisible(), false);
  assert.deepEqual(complaints, []);
  assert.equal(await page.evaluate("document.querySelector('job-progress').snapshot.state"), "succeeded");
});

test("of a run in stages the one under way is counted, with its total", options, async (t) => {
  const stages = [
    { name: "find", done: 12, total: null, fraction: 1, unit: "" },
    { name: "read", done: 6990, total: 15190, fraction: 0.46, unit: "" },
    { name: "write", done: 0, total: 10, fraction: 0, unit: "pages" },
  ];
  const { shows, send } = await open(t, { first: snapshot({ progress: { done: 7002, total: null, unit: "files", stages } }) });
  await shows("detail", "6,990 of 15,190 files");
  const [find, read, write] = stages;
  const later = [find, { ...read, done: 15190, fraction: 1 }, { ...write, done: 3, fraction: 0.3 }];
  send("snapshot", snapshot({ version: 2, progress: { done: 15205, total: null, unit: "files", stages: later } }));
  await shows("detail", "3 of 10 pages");
});

test("the bar never runs backwards, unless the run starts again", options, async (t) => {
  const { shows, send } = await open(t);
  send("snapshot", snapshot({ version: 2, progress: { fraction: 0.5 } }));
  await shows("percent", "50%");
  send("snapshot", snapshot({ version: 3, progress: { fraction: 0.3, message: "later" } }));
  await shows("text", "later");
  await shows("percent", "50%");
  send("snapshot", snapshot({ version: 4, start: 2, progress: { fraction: 0.1 } }));
  await shows("percent", "10%");
});

test("a screen reader hears a group with a progress bar, states and quarters", options, async (t) => {
  const { shows, send, page, element } = await open(t, { first: snapshot({ progress: { fraction: 0.1, message: null } }) });
  await shows("live", "Sales report: Running");
  send("snapshot", snapshot({ version: 2, progress: { fraction: 0.26 } }));
  await shows("live", "Sales report: 26%");
  send("snapshot", snapshot({ version: 3, progress: { fraction: 0.3 } }));
  await shows("percent", "30%");
  await shows("live", "Sales report: 26%");
  const tree = await element.ariaSnapshot();
  assert.match(tree, /progressbar "Sales report"/);
  assert.match(tree, /button "Cancel"/);
  const session = await page.context().newCDPSession(page);
  const { nodes } = /** @type {any} */ (await session.send("Accessibility.getFullAXTree"));
  assert.ok(nodes.some((/** @type {any} */ node) => node.role?.value === "group" && node.name?.value === "Sales report"));
});

test("what a message says is shown as text, never as markup", options, async (t) => {
  const message = '<img src=x onerror="document.title=1"><b>bold</b>';
  const { shows, element, complaints } = await open(t, { first: snapshot({ progress: { message } }) });
  await shows("text", message);
  assert.equal(await element.locator("img, b").count(), 0);
  assert.deepEqual(complaints, []);
});

test("a failed run shows why, and the reference", options, async (t) => {
  const { shows, send, element, page } = await open(t);
  await page.evaluate("document.addEventListener('job-failure', e => (document.title = e.detail.snapshot.error.reference))");
  send("end", snapshot({ version: 2, state: "failed", error: { message: "No such month.", reference: "R7", public: true } }));
  await shows("text", "Failed: No such month.");
  await shows("detail", "Reference: R7");
  assert.equal(await element.getAttribute("state"), "failed");
  assert.equal(await page.title(), "R7");
});

test("a run that is tried again says why, and counts down to its next attempt", options, async (t) => {
  const { shows, send, element } = await open(t);
  const error = { message: "The shop did not answer.", reference: "ABCD-1", public: true };
  send("snapshot", snapshot({ state: "scheduled", version: 2, attempt: 2, max_attempts: 3, error, due_at: Date.now() / 1000 + 30 }));
  await shows("text", "Retrying: The shop did not answer.");
  await shows("time", /^In (2[89]|30) sec$/);
  await shows("time", /^In 2[78] sec$/);
  await shows("detail", "");
  assert.equal(await element.getAttribute("state"), "scheduled");
  send("snapshot", snapshot({ start: 2, version: 3, attempt: 2, max_attempts: 3 }));
  await shows("text", "Reading orders");
  await shows("detail", "1,200 of 5,000 orders");
});

test("whoever watches sees that a run is being stopped", options, async (t) => {
  const { shows, send } = await open(t);
  send("snapshot", snapshot({ version: 2, cancellable: false, stopping: "cancelling" }));
  await shows("text", "Cancelling…");
});

test("cancel asks the server, and shows that it stops", options, async (t) => {
  const { shows, send, part, server } = await open(t, {
    script: (/** @type {any} */ asked, /** @type {any} */ reply) => asked.url.endsWith("/cancel") && (answer(reply, 202, { stopping: true }), true),
  });
  await part("button").click();
  await shows("button", "Cancelling…");
  const asked = server.requests.find(({ url }) => url.endsWith("/cancel"));
  assert.deepEqual([asked?.method, asked?.headers.authorization], ["POST", "Bearer t"]);
  send("end", snapshot({ version: 2, state: "cancelled" }));
  await shows("text", "Cancelled");
});

test("who leaves a shared run is told that it goes on, and the stream is closed", options, async (t) => {
  const { shows, part, server, page } = await open(t, {
    script: (/** @type {any} */ asked, /** @type {any} */ reply) => asked.url.endsWith("/cancel") && (answer(reply, 200, { stopping: false }), true),
  });
  await part("button").click();
  await shows("text", "You left; it goes on for others");
  await until(() => server.requests.find(({ url }) => url.endsWith("/events"))?.closed, "the stream closes");
  await page.evaluate("document.body.append(document.querySelector('job-progress'))");
  await shows("text", "You left; it goes on for others");
});

test("a cancel that fails can be tried again", options, async (t) => {
  const { shows, part } = await open(t, {
    script: (/** @type {any} */ asked, /** @type {any} */ reply) => asked.url.endsWith("/cancel") && (answer(reply, 500), true),
  });
  await part("button").click();
  await shows("button", "Try again");
  assert.ok(await part("button").isEnabled());
});

test("only who may cancel sees the button", options, async (t) => {
  const { shows, part } = await open(t, { first: snapshot({ cancellable: false }) });
  await shows("percent", "24%");
  assert.equal(await part("button").isVisible(), false);
});

test("slots replace the texts, and a link in the success slot leads to the result", options, async (t) => {
  const body = `<job-progress run="a" endpoint="/jobs"><span slot="label">Mine</span>
    <a slot="success" id="file">Download</a><b slot="failure">Sorry</b></job-progress>`;
  const { shows, send, element, page } = await open(t, { body });
  await shows("percent", "24%");
  assert.ok(await page.getByText("Mine").isVisible());
  assert.equal(await page.locator("#file").isVisible(), false);
  send("end", done);
  await page.locator("#file").waitFor({ state: "visible" });
  assert.equal(await page.locator("#file").getAttribute("href"), new URL(page.url()).origin + "/jobs/runs/a/result?sig=1");
  assert.equal(await page.getByText("Sorry").isVisible(), false);
  assert.equal(await element.locator("[part=text]").isVisible(), false);
});

test("then leads to a URL after success, but never to script", options, async (t) => {
  const body = (/** @type {string} */ then) => `<job-progress src="/jobs/runs/a" then="${then}"></job-progress>`;
  const one = await open(t, { body: body("/next") });
  one.send("end", done);
  await one.page.waitForURL("**/next");
  const two = await open(t, { body: body("javascript:document.title='script'") });
  two.send("end", done);
  await two.shows("text", "Done");
  assert.equal(await two.page.title(), "Test");
});

test("then=reload reloads once, though the page shows the succeeded run again", options, async (t) => {
  let loads = 0;
  const { page, shows, server } = await open(t, {
    body: '<job-progress src="/jobs/runs/a" then="reload"></job-progress>',
    script: (/** @type {any} */ asked, /** @type {any} */ reply) => asked.url.endsWith("/events") && ++loads > 1 && (stream(reply, frame("end", done)).end(), true),
  }).then((opened) => (opened.send("end", done), opened));
  await until(() => loads === 2, "it reloads");
  await shows("text", "Done");
  await page.waitForTimeout(300);
  assert.equal(server.requests.filter(({ url }) => url === "/").length, 2);
});

test("an expired access token is renewed from token-url", options, async (t) => {
  let renewed = 0;
  const { shows } = await open(t, {
    body: '<job-progress src="/jobs/runs/a" token="old" token-url="/jobs/token"></job-progress>',
    script: (/** @type {any} */ asked, /** @type {any} */ reply) => {
      if (asked.url === "/jobs/token") return answer(reply, 200, { token: "new" }), ++renewed;
      return asked.headers.authorization !== "Bearer new" && (answer(reply, 401), true);
    },
  });
  await shows("percent", "24%");
  assert.equal(renewed, 1);
});

test("an unknown run is said to be gone, and nothing more is asked", options, async (t) => {
  const server = await site({ "/": ELEMENT }, (_, reply) => answer(reply, 404));
  const page = await browser.newPage();
  t.after(() => page.close().then(() => server.close()));
  await page.goto(server.origin);
  await page.locator("job-progress[state=gone]").waitFor();
  await page.waitForTimeout(300);
  assert.equal(server.requests.filter(({ url }) => url.startsWith("/jobs")).length, 1);
});

test("twelve elements need one stream, and the page's own fetch gets through", options, async (t) => {
  const body = [..."abcdefghijkl"].map((id) => `<job-progress src="/jobs/runs/${id}"></job-progress>`).join("");
  const server = await site({ "/": body }, (asked, reply) =>
    stream(reply, ...asked.body.runs.map((/** @type {any} */ { id }) => frame("snapshot", snapshot({ id })))));
  const page = await browser.newPage();
  t.after(() => page.close().then(() => server.close()));
  await page.goto(server.origin);
  await page.locator("job-progress[state=running]").nth(11).waitFor();
  assert.equal(server.requests.filter(({ url }) => url.startsWith("/jobs")).length, 1);
  assert.equal(await page.evaluate("fetch('/page.css').then(r => r.status)"), 200);
});

/**
 * Opens one page after another in one browser, with a run each.
 *
 * @param {import("node:test").TestContext} t
 * @param {{ count: number, host?: string }} setting
 */
async function openMany(t, { count, host = "127.0.0.1" }) {
  const server = await site({ "/": ELEMENT }, (asked, reply) =>
    asked.url.endsWith("/events") ? stream(reply, frame("snapshot", snapshot())) : answer(reply, 200, snapshot()));
  const context = await browser.newContext();
  t.after(() => context.close().then(() => server.close()));
  /** @type {import("playwright-core").Page[]} */
  const pages = [];
  for (let nth = 0; nth < count; nth++) {
    const page = await context.newPage();
    await page.addInitScript(`document.addEventListener("job-connection", ({ detail }) => (document.title = detail.transport))`);
    await page.goto(server.origin.replace("127.0.0.1", host), { timeout: 5000 });
    await page.locator("job-progress[state=running]").waitFor();
    pages.push(page);
  }
  return { pages, server, transports: () => Promise.all(pages.map((page) => page.title())) };
}

test("of seven pages four have a stream; the others poll, and one of them takes the place of a page that is left", options, async (t) => {
  const { pages, server, transports } = await openMany(t, { count: 7 });
  assert.deepEqual(await transports(), ["sse", "sse", "sse", "sse", "poll", "poll", "poll"]);
  const streams = () => server.requests.filter(({ url }) => url.endsWith("/events"));
  assert.equal(streams().length, 4);
  assert.equal(await pages[6].evaluate("fetch('/page.css', { cache: 'no-store' }).then((response) => response.status)"), 200);
  await pages[1].goto("about:blank");
  await until(() => streams()[1].closed, "the page that is left closes its stream");
  await until(() => streams().length === 5, "another opens one");
});

test("pages that know nothing of each other, for want of Web Locks, all have a stream", options, async (t) => {
  const { pages, transports } = await openMany(t, { count: 5, host: INSECURE });
  assert.equal(await pages[0].evaluate("isSecureContext || 'locks' in navigator"), false);
  assert.deepEqual(await transports(), Array(5).fill("sse"));
});

test("an element that is moved goes on, one that is removed closes the stream", options, async (t) => {
  const { page, server, shows, send } = await open(t);
  await shows("percent", "24%");
  await page.evaluate("document.body.append(document.querySelector('job-progress'))");
  send("snapshot", snapshot({ version: 2, progress: { fraction: 0.5 } }));
  await shows("percent", "50%");
  assert.equal(server.requests.filter(({ url }) => url.endsWith("/events")).length, 1, "on the same stream");
  await page.evaluate("document.querySelector('job-progress').remove()");
  await until(() => server.requests.filter(({ url }) => url.endsWith("/events")).every(({ closed }) => closed), "streams close");
});

test("an element moved after the end asks and tells nothing again, whether at once or later", options, async (t) => {
  const { page, server, shows, send, element } = await open(t);
  await shows("percent", "24%");
  await page.evaluate(`{
    window.told = [];
    for (const name of ["progress", "success", "connection"]) document.addEventListener("job-" + name, ({ type }) => told.push(type));
  }`);
  send("end", done);
  await shows("text", "Done");
  const told = ["job-progress", "job-success"];
  assert.deepEqual(await page.evaluate("told"), told);
  const before = server.requests.length;
  await page.evaluate("document.body.prepend(document.querySelector('job-progress'))");
  await page.evaluate(`new Promise((resolve) => {
    const moved = document.querySelector("job-progress");
    moved.remove();
    setTimeout(() => resolve(document.body.append(moved)), 100);
  })`);
  await page.waitForTimeout(300);
  assert.equal(server.requests.length, before);
  assert.deepEqual(await page.evaluate("told"), told);
  assert.equal(await element.getAttribute("state"), "succeeded");
});

test("an element that is given another run begins its bar anew", options, async (t) => {
  const { page, shows, server } = await open(t, { first: snapshot({ progress: { fraction: 0.7 } }), script: (/** @type {any} */ asked, /** @type {any} */ reply) =>
    asked.url.includes("/b/") && stream(reply, frame("snapshot", snapshot({ id: "b", progress: { fraction: 0.1 } }))) });
  await shows("percent", "70%");
  await page.evaluate("document.querySelector('job-progress').setAttribute('src', '/jobs/runs/b')");
  await shows("percent", "10%");
  await until(() => server.requests.find(({ url }) => url.endsWith("/a/events"))?.closed, "the first stream closes");
});

test("a page that is left closes its stream, and one that comes back opens it", options, async (t) => {
  const { page, server, shows } = await open(t);
  await shows("percent", "24%");
  const streams = () => server.requests.filter(({ url }) => url.endsWith("/events"));
  await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
  await until(() => streams()[0].closed, "the stream closes");
  assert.equal(streams().length, 1);
  await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))");
  await until(() => streams().length === 2, "it opens again");
});

test("a page hidden for 15 s closes its stream, and opens it when it is seen again", options, async (t) => {
  const { page, server, shows } = await open(t, { clock: true });
  await shows("percent", "24%");
  const streams = () => server.requests.filter(({ url }) => url.endsWith("/events"));
  /** @param {boolean} hidden */
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await page.clock.runFor(14_000);
  await hide(false);
  await page.clock.runFor(5_000); // in all less than a stall: this server sends no heartbeats
  assert.equal(streams()[0].closed, false, "a short absence changes nothing");
  await hide(true);
  await page.clock.runFor(15_500);
  await until(() => streams()[0].closed, "the stream closes");
  assert.equal(streams().length, 1);
  await hide(false);
  await page.clock.runFor(100);
  await until(() => streams().length === 2, "it opens again");
});

test("when the network is back the stream is opened at once", options, async (t) => {
  let away = false;
  const { page, server, shows, end } = await open(t, {
    script: (/** @type {any} */ _, /** @type {any} */ reply) => away && (answer(reply, 503, undefined, { "retry-after": "60" }), true),
  });
  await shows("percent", "24%");
  away = true;
  end();
  await shows("time", "Reconnecting…");
  away = false;
  const before = server.requests.length;
  await page.evaluate("dispatchEvent(new Event('online'))");
  await until(() => server.requests.length > before, "it asks at once");
  await shows("time", "");
});

for (const skew of [-300, 300]) {
  test(`time left is right with a clock that is ${skew} s off`, options, async (t) => {
    const server = Date.now() / 1000 + skew;
    const { shows } = await open(t, {
      script: (/** @type {any} */ _, /** @type {any} */ reply) => {
        reply.sendDate = false;
        reply.setHeader("date", new Date(server * 1000).toUTCString());
      },
      first: snapshot({ updated_at: server, progress: { finish_at: server + 50 } }),
    });
    await shows("time", /^(4[89]|5[01]) sec left$/);
  });
}

test("a wrong lang does no harm, a right one is spoken in numbers", options, async (t) => {
  const body = `<div lang="en_US"><job-progress src="/jobs/runs/a"></job-progress></div><job-progress lang="de" src="/jobs/runs/a"></job-progress>`;
  const { shows, page } = await open(t, { body });
  await shows("percent", "24%");
  await page.getByText("1.200 of 5.000 orders").waitFor();
});
