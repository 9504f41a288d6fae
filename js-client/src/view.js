/**
 * Draws a run into a shadow root: label, bar, message, time left, cancel; and says politely what changed.
 *
 * @import { Watch } from "./watch.js"
 */
import { sheet } from "./appearance.js";
import { duration, numbers } from "./wording.js";

/** What follows a state: the slot that shows it, and the event that tells. @type {Record<string, string>} */
export const ENDINGS = { succeeded: "success", failed: "failure", cancelled: "cancelled" };

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {object} properties
 * @param {Node[]} children
 */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Leaves the page alone when nothing changes. @param {Element} element @param {string} text */
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

/**
 * @param {HTMLElement} host
 * @param {typeof import("./wording.js").WORDS} words
 * @param {() => void} cancel called when the button is pressed
 */
export function createView(host, words, cancel) {
  const root = host.attachShadow({ mode: "open" });
  const internals = host.attachInternals();
  const label = make("slot", { name: "label" });
  const share = make("span", { part: "percent", ariaHidden: "true" }); // the bar says it
  const bar = make("progress", { part: "bar", id: "bar" });
  const text = make("span", { part: "text" });
  const detail = make("span", { part: "detail" });
  const time = make("slot", { name: "time-left" });
  const button = make("button", { part: "button", type: "button" });
  const cancelSlot = make("slot", { name: "cancel", onclick: cancel }, button);
  // Named for the ending once there is one; what is not slotted there falls back to the message.
  const ending = make("slot", {}, make("slot", { name: "message" }, text, detail));
  const live = make("span", { part: "live", role: "status" });
  internals.role = "group";
  root.adoptedStyleSheets = [sheet];
  root.append(
    make("div", {}, make("label", { part: "label", htmlFor: "bar" }, label), share),
    bar,
    make(
      "div",
      { part: "foot" },
      make("span", { part: "message" }, ending),
      make("div", { part: "end" }, make("span", { part: "time" }, time), cancelSlot),
    ),
    live,
  );

  /** The farthest the bar has been since `start` began. */
  let peak = 0;
  /** @type {number | undefined} */
  let start;
  let shown = "";
  /** When it should be finished, or start, by the server's clock. */
  let due = NaN;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let tick;

  /**
   * @param {string} state the run's, or "left" or "gone", or "" while nothing is known
   * @param {Watch | undefined} watching
   * @param {"cancel" | "cancelling" | "cancelAgain"} wish what the button says
   */
  return (state, watching, wish) => {
    const { snapshot, closed } = watching ?? {};
    const { progress, queue, error } = snapshot ?? {};
    const show = numbers(/** @type {HTMLElement | null} */ (host.closest("[lang]"))?.lang);
    const running = state === "running";
    const succeeded = state === "succeeded";
    const known = progress?.fraction != null;

    const describe = () => {
      const { workers, position } = queue ?? {};
      if (workers === 0 && !running) return words.unserved;
      if (position) return words.position(show(position));
      if (closed && error?.reference) return words.reference(error.reference);
      if (!progress || !running) return "";
      // Stages count different things, so the whole may have no total where the one under way has.
      const { done, total, unit } =
        (progress.total == null && progress.stages.find(({ total, fraction }) => total && fraction % 1)) || progress;
      const count = total ? words.of(show(done), show(total)) : done && show(done);
      return count ? `${count} ${unit || progress.unit}` : "";
    };

    // @ts-expect-error  not a number where there is no watch, as is right
    const secondsLeft = () => due - watching?.now();

    /** Ticks by itself between snapshots. */
    const showTime = () => {
      const left = secondsLeft();
      const ticking = left > -10;
      const calm = !ticking ? "" : !running ? words.starts(duration(Math.max(left, 0), show)) : left < 5 ? words.soon : words.remaining(duration(left, show));
      put(time, closed ? "" : watching?.connected === false ? words.retrying : snapshot?.stalled ? words.stalled : calm);
      clearTimeout(tick);
      if (ticking && host.isConnected) tick = setTimeout(showTime, 1000);
    };

    if (snapshot?.start !== start) {
      start = snapshot?.start;
      peak = 0;
    }
    const before = Math.floor(peak * 4);
    peak = succeeded ? 1 : Math.max(peak, progress?.fraction ?? 0);
    // An estimate wavers: a change of less than a tenth is no news.
    const estimate = (running ? progress?.finish_at : snapshot?.due_at) ?? NaN;
    if (!(Math.abs(estimate - due) < Math.max(1.5, secondsLeft() / 10))) due = estimate;

    const told = error && !closed ? "again" : snapshot?.stopping ? "cancelling" : state;
    const word = told && words[/** @type {"queued"} */ (told)];
    const said = error ? `${word}: ${error.message}` : (told === "running" && progress?.message) || word;
    put(label, (internals.ariaLabel = host.getAttribute("label") ?? words.label));
    put(text, said);
    put(detail, describe());
    if (known || closed) bar.value = peak;
    else bar.removeAttribute("value");
    // (What is running is below 0.995 by the server's promise, so 100 % is said by success only.)
    put(share, succeeded || (running && known) ? show(peak, { style: "percent" }) : "");
    ending.name = ENDINGS[state] ?? "-"; // "" would show the fallback for pages without JavaScript
    cancelSlot.hidden = closed || !snapshot?.cancellable || !host.hasAttribute("cancellable");
    button.disabled = wish === "cancelling";
    put(button, words[wish]);
    showTime();

    const news = told !== shown ? said : Math.floor(peak * 4) > before && share.textContent;
    if (news) put(live, `${label.textContent}: ${news}`);
    shown = told;
  };
}
