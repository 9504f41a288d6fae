/**
 * Screenshots of every state, to look at: `node tests/gallery.js [folder]`, default `screenshots/`.
 */
import { mkdirSync } from "node:fs";
import { launch, site } from "./chromium.js";
import { answer, frame, snapshot, stream } from "./scripted-server.js";

const folder = process.argv[2] ?? new URL("../screenshots", import.meta.url).pathname;
const now = Date.now() / 1000;

/** @type {Record<string, any>} */
const RUNS = {
  queued: { state: "queued", queue: { position: 3 }, progress: { fraction: null, total: null, done: 0, message: null } },
  unserved: { state: "queued", queue: { position: 1, workers: 0 }, progress: { fraction: null, total: null, done: 0 } },
  running: { progress: { finish_at: now + 95 } },
  unknown: { progress: { fraction: null, total: null, done: 48210, unit: "rows", message: "Counting rows" } },
  stalled: { stalled: true, attempt: 2, max_attempts: 3 },
  long: {
    progress: {
      fraction: 0.68,
      message: "Reading /srv/data/archive/2026/customers/europe/north/orders-and-returns-with-a-long-name.parquet",
      finish_at: now + 4000,
    },
  },
  succeeded: { state: "succeeded", progress: { fraction: 1 }, result_url: "/jobs/runs/succeeded/result" },
  done: { state: "succeeded", progress: { fraction: 1 } },
  failed: {
    state: "failed",
    progress: { fraction: 0.42 },
    error: { message: "The month 2026-13 does not exist.", reference: "7F3K-Q2", public: true },
  },
  cancelled: { state: "cancelled", progress: { fraction: 0.6 } },
  gone: null,
};
const body = Object.keys(RUNS)
  .map((id) => `<job-progress src="/jobs/runs/${id}" label="Sales report, ${id}" cancellable><a href="/x">Watch</a>${id === "succeeded" ? `<a slot="success" download>Download the CSV</a>` : ""}</job-progress>`)
  .join("\n");

/** @param {any} asked @param {any} reply */
function script(asked, reply) {
  if (asked.method === "POST" && asked.body) {
    return stream(reply, ...asked.body.runs.map((/** @type {any} */ { id }) =>
      RUNS[id] ? frame("snapshot", snapshot({ id, ...RUNS[id] })) : frame("gone", { id, status: 404 })));
  }
  return answer(reply, 404);
}

mkdirSync(folder, { recursive: true });
const browser = await launch();
for (const [name, direction, options] of /** @type {[string, string, any][]} */ ([
  ["light", "", { viewport: { width: 640, height: 900 } }],
  ["dark", "", { viewport: { width: 640, height: 900 }, colorScheme: "dark" }],
  ["narrow", "", { viewport: { width: 320, height: 900 } }],
  ["rtl", "dir=rtl", { viewport: { width: 640, height: 900 } }],
  ["zoom200", "", { viewport: { width: 320, height: 900 }, deviceScaleFactor: 2 }],
  ["forced", "", { viewport: { width: 640, height: 900 }, forcedColors: "active" }],
  ["reduced", "", { viewport: { width: 640, height: 900 }, reducedMotion: "reduce" }],
])) {
  const server = await site({ "/": body }, script, direction);
  const page = await browser.newPage(options);
  page.on("console", (message) => console.log(name, message.text()));
  page.on("pageerror", (error) => console.log(name, error.message));
  await page.goto(server.origin);
  await page.locator("job-progress[state=gone]").waitFor();
  await page.waitForTimeout(900);
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  await page.close();
  await server.close();
}
await browser.close();
