/**
 * How the element looks: one sheet, adopted by all instances, that takes font and colours from its surroundings.
 */
const CSS = `
:host {
  --accent: var(--job-accent, light-dark(#2f5fe0, #7aa5ff));
  --good: var(--job-good, light-dark(#167a3e, #5ad08a));
  --bad: var(--job-bad, light-dark(#c22f36, #ff8f8f));
  --muted: var(--job-muted, color-mix(in srgb, currentColor 70%, transparent));
  --track: var(--job-track, color-mix(in srgb, currentColor 12%, transparent));
  --fill: var(--accent);
  --mark: "";
  display: block;
  line-height: 1.5;
  overflow-wrap: anywhere;
  text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
:host([state=succeeded]) { --fill: var(--good); --mark: "✓" / ""; }
:host([state=failed]), :host([state=gone]) { --fill: var(--bad); --mark: "!" / ""; }
:host([state=cancelled]), :host([state=left]) { --fill: var(--muted); --mark: "–" / ""; }
.row { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .75em; }
.grow { flex: 1 1 0; min-inline-size: min(12em, 60%); }
.label { font-weight: 600; }
.percent, .time, .detail { font-variant-numeric: tabular-nums; }
.foot { font-size: .875em; min-block-size: 2em; align-items: center; color: var(--muted); }
.message { color: currentColor; }
.text:not(:empty) + .detail:not(:empty)::before { content: " · "; }
.message::before {
  content: var(--mark);
  display: inline-grid;
  place-content: center;
  inline-size: 1.35em;
  block-size: 1.35em;
  margin-inline-end: .5em;
  border-radius: 50%;
  background: var(--fill);
  color: Canvas;
  font-size: .8em;
  font-weight: 700;
  line-height: 1;
}
:host(:not([state])) .message::before, :host([state=scheduled]) .message::before,
:host([state=queued]) .message::before, :host([state=running]) .message::before { content: none; }
:host([state=failed]) .text, :host([state=gone]) .text { color: var(--bad); }
.late { animation: appear .3s 1.5s both; }
progress {
  appearance: none;
  display: block;
  inline-size: 100%;
  block-size: var(--job-bar-size, .5em);
  margin-block: .4em .35em;
  border: 0;
  border-radius: var(--job-radius, 1em);
  background: var(--track);
  overflow: hidden;
}
progress::-webkit-progress-bar { background: none; }
progress::-webkit-progress-value { background: var(--fill); border-radius: inherit; transition: inline-size .25s, background .25s; }
progress::-moz-progress-bar { background: var(--fill); border-radius: inherit; }
progress:indeterminate::-moz-progress-bar { background: none; }
:host([state=running]) progress:indeterminate {
  background: linear-gradient(90deg, transparent, var(--fill), transparent) 0 / 40% 100% no-repeat, var(--track);
  animation: slide 1.6s ease-in-out infinite;
}
button {
  font: inherit;
  color: inherit;
  min-block-size: max(24px, 1.9em);
  padding: 0 .9em;
  border: 1px solid color-mix(in srgb, currentColor 35%, transparent);
  border-radius: 1em;
  background: none;
  cursor: pointer;
}
button:hover { background: var(--track); }
button:disabled { opacity: .6; cursor: default; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.live { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@keyframes slide { from { background-position: -70% 0, 0 0; } to { background-position: 170% 0, 0 0; } }
@keyframes appear { from { opacity: 0; } }
@media (prefers-reduced-motion: reduce) {
  :host progress:indeterminate { animation: none !important; background-position: 50% 0, 0 0; }
  progress::-webkit-progress-value { transition: none; }
}
@media (forced-colors: active) {
  progress { forced-color-adjust: none; background: Canvas; border: 1px solid CanvasText; }
  :host { --fill: Highlight !important; }
}
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** The one sheet, made at first use: importing must work where there is no document. */
export function appearance() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
