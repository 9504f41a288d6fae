/**
 * Real Chromium, and a real server with pages that hold a `<job-progress>` under a strict Content-Security-Policy.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { bundle } from "../scripts/bundle.js";
import { answer, serve } from "./scripted-server.js";

/** A host that is not this machine to Chromium: its pages are no secure context. */
export const INSECURE = "insecure.test";
const ARGUMENTS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", `--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`],
];
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
  ...["base-uri 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"],
].join("; ");
const STYLE = `
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem;
         background: light-dark(#fff, #14161a); color: light-dark(#1c1f26, #e8eaee); }
  job-progress + job-progress { margin-top: 1.5rem; }
`;
const MODULE = bundle();
const INTEGRITY = `sha384-${createHash("sha384").update(MODULE).digest("base64")}`;

export const executable = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);

export const launch = () => chromium.launch({ executablePath: executable, args: ARGUMENTS });

/** @param {string} body @param {string} attributes */
const html = (body, attributes) => `<!doctype html><html lang="en" ${attributes}><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Test</title><link rel="stylesheet" href="/page.css">
<script type="module" src="/jobkit-progress.js" integrity="${INTEGRITY}"></script></head><body>${body}</body></html>`;

/**
 * Serves pages by path, and leaves what begins with /jobs/ to the script.
 *
 * @param {Record<string, string>} pages
 * @param {(asked: import("./scripted-server.js").Asked, reply: any, nth: number) => unknown} script
 * @param {string} [attributes] of the html element
 */
export const site = (pages, script, attributes = "") =>
  serve((asked, reply, nth) => {
    const { pathname } = new URL(asked.url, "http://localhost");
    if (pathname.startsWith("/jobs/")) return script(asked, reply, nth);
    /** @param {string} type @param {string | Buffer} body */
    const send = (type, body) => reply.writeHead(200, { "content-type": type, "content-security-policy": POLICY }).end(body);
    if (pathname === "/jobkit-progress.js") return send("text/javascript", MODULE);
    if (pathname === "/page.css") return send("text/css", STYLE);
    if (pathname in pages) return send("text/html", html(pages[pathname], attributes));
    return answer(reply, 404);
  });
