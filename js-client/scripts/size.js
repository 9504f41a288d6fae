/**
 * Weighs what a page loads, and fails above the budget: core 3 KB, with the element 6 KB (minified, gzip -9).
 */
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGETS = { watch: 3 * 1024, define: 6 * 1024 };
const root = new URL("../", import.meta.url).pathname;

/** @param {string | Uint8Array} text */
const weigh = (text) => gzipSync(text, { level: 9 }).length;

/** @param {string} entry @param {boolean} minify */
async function bundled(entry, minify) {
  const entryPoints = [`${root}src/${entry}.js`];
  const { outputFiles } = await build({ entryPoints, bundle: true, format: "esm", minify, write: false, target: "es2022" });
  return outputFiles[0].contents;
}

export async function sizes() {
  const rows = [];
  for (const [entry, budget] of Object.entries(BUDGETS)) {
    const gzip = weigh(await bundled(entry, false));
    rows.push({ entry: `src/${entry}.js`, gzip, "minified, gzip": weigh(await bundled(entry, true)), budget });
  }
  const shipped = weigh(readFileSync(`${root}jobkit-progress.js`));
  return { rows, shipped };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { rows, shipped } = await sizes();
  console.table(rows);
  console.log(`jobkit-progress.js as shipped, gzip: ${shipped}`);
  process.exitCode = rows.every((row) => row["minified, gzip"] <= row.budget) ? 0 : 1;
}
