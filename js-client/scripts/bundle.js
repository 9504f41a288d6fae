/**
 * Writes `jobkit-progress.js`: all modules in one file, so that one integrity hash covers all code a page loads.
 *
 * It only leaves out comments, indentation and the imports between the modules: no tool is needed to read the result.
 * The package is published with it; the repository holds the modules only.
 */
import { readFileSync, writeFileSync } from "node:fs";

const MODULES = ["snapshot", "event-stream", "slot", "connection", "watch", "wording", "appearance", "view", "job-progress", "define"];
const EXPORTS = ["JobProgress", "Watch", "WatchError", "watch"];
const TARGET = new URL("../jobkit-progress.js", import.meta.url);

/** @param {string} name */
const read = (name) => readFileSync(new URL(`../src/${name}.js`, import.meta.url), "utf8");

/** Comments of a shape that is not used here would stay. @param {string} source */
export const strip = (source) =>
  source
    .replace(/^\s*\/\*\*$[^]*?\*\/\s*$/gm, "")
    .replace(/\/\*\* @(?:(?!\*\/).)*\*\/ ?/g, "")
    .replace(/^\s*\/\*\*.*\*\/$/gm, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/^import [^;]*;$/gm, "")
    .replace(/^export (?=class|const|function|async)/gm, "")
    .replace(/^\s+|[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n");

/** The style sheet as a browser needs it. @param {string} source */
const squeeze = (source) =>
  source.replace(/(?<=const CSS = `)[^`]*/, (css) =>
    css.replace(/\s*([{};,>])\s*/g, "$1").replace(/: /g, ":").replace(/;\}/g, "}").replace(/\n/g, ""),
  );

export function bundle() {
  const { name, version, license } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const body = MODULES.map((module) => strip(read(module)).trim()).join("\n");
  return squeeze(`/*! ${name} ${version} | ${license} */\n${body}\nexport { ${EXPORTS.join(", ")} };\n`);
}

if (process.argv[1] === new URL(import.meta.url).pathname) writeFileSync(TARGET, bundle());
