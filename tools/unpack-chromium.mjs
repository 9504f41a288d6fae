// Unpacks @sparticuz/chromium with the libraries it needs, and writes a launcher: node unpack-chromium.mjs NPM_PREFIX TARGET
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [prefix, target] = process.argv.slice(2).map((path) => resolve(path));
const home = join(target, "chromium-files");
await mkdir(home, { recursive: true });
process.env.TMPDIR = home;                      // where the package unpacks to
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x"; // makes it unpack its libraries, too

const entry = createRequire(join(prefix, "package.json")).resolve("@sparticuz/chromium");
const { default: chromium } = await import(pathToFileURL(entry).href);
const executable = await chromium.executablePath();
const launcher = `#!/bin/sh
LD_LIBRARY_PATH=\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}"${home}/al2023/lib" exec "${executable}" "$@"
`;
await writeFile(join(target, "chromium"), launcher, { mode: 0o755 });
