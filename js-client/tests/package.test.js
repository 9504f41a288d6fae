/** What is shipped: small, and in need of nothing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { bundle } from "../scripts/bundle.js";
import { sizes } from "../scripts/size.js";

/** @param {string} name */
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

test("the single file imports nothing and has no comment but its first line", () => {
  assert.doesNotMatch(bundle(), /^import\b|\bimport\(|^export (?!\{)|\n\s*\/[/*]/m);
});

test("the sizes are within the budget", async () => {
  for (const row of (await sizes()).rows) assert.ok(row["minified, gzip"] <= row.budget, JSON.stringify(row));
});

test("there are no runtime dependencies", () => {
  assert.equal(JSON.parse(read("package.json")).dependencies, undefined);
});

test("the manifest names every attribute the element watches", async () => {
  const [element] = JSON.parse(read("custom-elements.json")).modules[0].declarations;
  const source = read("src/job-progress.js") + read("src/view.js");
  for (const { name } of element.attributes) assert.ok(name === "state" || source.includes(`"${name}"`), name);
  for (const { name } of element.cssParts) assert.ok(source.includes(`"${name}"`), name);
});

test("importing the package where there is no document does no harm", async () => {
  assert.equal(typeof (await import("../src/watch.js")).watch, "function");
});
