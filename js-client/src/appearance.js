/**
 * How the element looks: one sheet, adopted by all instances, that takes font and colours from its surroundings.
 */
const CSS = `
:host {
  --fill: var(--job-accent, light-dark(#2f5fe0, #7aa5ff));
  --muted: var(--job-muted, color-mix(in srgb, currentColor 70%, #0000));
  --track: var(--job-track, color-mix(in srgb, currentColor 12%, #0000));
  display: block;
  overflow-wrap: anywhere;
}
:host([hidden]), [hidden] { display: none; }
:host([state=succeeded]) { --fill: var(--job-good, light-dark(#167a3e, #5ad08a)); }
:host([state=failed]), :host([state=gone]) { --fill: var(--job-bad, light-dark(#c22f36, #ff8f8f)); }
:host([state=cancelled]), :host([state=left]) { --fill: var(--muted); }
div { display: flex; flex-wrap: wrap; align-items: baseline; gap: .4em .75em; font-variant-numeric: tabular-nums; }
[part=label], [part=message] { flex: 1 13em; }
[part=label] { font-weight: 600; }
[part=detail]:not(:empty)::before { content: " ·\\a0" / ""; }
[part=foot] { font-size: .875em; color: var(--muted); }
[part=end] { margin-inline-start: auto; }
[part=time], span span { unicode-bidi: plaintext; }
:host([state=succeeded]) [part=text]::before { content: "✓ " / ""; color: var(--fill); }
progress {
  appearance: none;
  display: block;
  inline-size: 100%;
  block-size: .5em;
  margin-block: .4em .45em;
  border: 0;
  border-radius: 1em;
  background: var(--track);
  overflow: hidden;
}
::-webkit-progress-bar { background: none; }
::-webkit-progress-value { background: var(--fill); border-radius: 1em; transition: inline-size .25s; }
::-moz-progress-bar { background: var(--fill); border-radius: 1em; }
:indeterminate::-moz-progress-bar { background: none; }
:host([state=running]) :indeterminate {
  background: var(--track) linear-gradient(90deg, #0000, var(--fill), #0000) 50% 0 / 40% 100% no-repeat;
  animation: slide 1.6s ease-in-out infinite;
  @media (prefers-reduced-motion) { animation: none; }
}
button {
  font: inherit;
  color: inherit;
  min-block-size: 24px;
  margin-block: -.3em;
  padding: 0 .9em;
  border: 1px solid;
  border-radius: 1em;
  background: none;
}
[part=live] { position: fixed; clip-path: inset(50%); }
@keyframes slide { from { background-position: -70%; } to { background-position: 170%; } }
@media (forced-colors: active) {
  progress { --fill: Highlight; --track: Canvas; border: 1px solid; forced-color-adjust: none; }
}
`;

export const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);
