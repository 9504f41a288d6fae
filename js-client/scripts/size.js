/**
 * Weighs what a page loads, and fails above the budget (minified, gzip -9): core 3 KB, with the element 6 KB.
 */
import { build } from "esbuild";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { bundle } from "./bundle.js";

const BUDGETS = { "watch()": 3 * 1024, "with the element": 6 * 1024 };
const root = new URL("../", import.meta.url).pathname;

/** @param {string | Uint8Array} text */
const weigh = (text) => gzipSync(text, { level: 9 }).length;

/** @param {string} part @param {boolean} minify */
async function bundled(part, minify) {
  const what = part === "watch()" ? { entryPoints: [`${root}src/watch.js`] } : { stdin: { contents: bundle() } };
  const { outputFiles } = await build({ ...what, bundle: true, format: "esm", minify, write: false, legalComments: "none", charset: "utf8", target: "es2022" });
  return outputFiles[0].contents;
}

export async function sizes() {
  const rows = [];
  for (const [part, budget] of Object.entries(BUDGETS)) {
    const gzip = weigh(await bundled(part, false));
    const minified = await bundled(part, true);
    rows.push({ part, gzip, "minified, gzip": weigh(minified), "minified, brotli": brotliCompressSync(minified).length, budget });
  }
  return { rows, shipped: weigh(bundle()) };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { rows, shipped } = await sizes();
  console.table(rows);
  console.log(`jobkit-progress.js as shipped, gzip: ${shipped}`);
  process.exitCode = rows.every((row) => row["minified, gzip"] <= row.budget) ? 0 : 1;
}
