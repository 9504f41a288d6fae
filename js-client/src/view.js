/**
 * Draws a run into a shadow root: label, bar, message, time left, cancel; and says politely what changed.
 *
 * @import { Watch } from "./watch.js"
 */
import { appearance } from "./appearance.js";
import { duration, locale, number, percent } from "./wording.js";

/** What follows a state: the slot that shows it, and the event that tells. @type {Record<string, string>} */
export const ENDINGS = { succeeded: "success", failed: "failure", cancelled: "cancelled" };

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} part
 * @param {Node[]} children
 */
function make(tag, part, ...children) {
  const element = document.createElement(tag);
  if (tag === "slot") element.setAttribute("name", part);
  else if (part) element.setAttribute("part", part);
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
  const label = make("slot", "label");
  const title = make("span", "label", label);
  const share = make("span", "percent");
  const bar = make("progress", "bar");
  const text = make("span", "text");
  const dot = make("span", "");
  const detail = make("span", "detail");
  const time = make("slot", "time-left");
  const button = make("button", "button");
  const cancelSlot = make("slot", "cancel", button);
  // Named for the ending once there is one; what is not slotted there falls back to the message.
  const ending = make("slot", "-", make("slot", "message", text, dot, detail));
  const live = make("span", "live");
  const end = make("div", "end", make("span", "time", time), cancelSlot);
  internals.role = "group";
  title.id = "label";
  share.ariaHidden = "true"; // the bar says it
  bar.setAttribute("aria-labelledby", title.id);
  live.role = "status";
  button.type = "button";
  cancelSlot.onclick = cancel;
  root.adoptedStyleSheets = [appearance()];
  root.append(make("div", "", title, share), bar, make("div", "foot", make("span", "message", ending), end), live);

  /** The farthest the bar has been since `start` began. */
  let peak = 0;
  let start = NaN;
  let announced = 0;
  let shownState = "";
  /** When it should be finished, by the server's clock. */
  let due = NaN;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let tick;

  /**
   * @param {string} state the run's, or "left" or "gone", or "" while nothing is known
   * @param {Watch | undefined} watching
   * @param {"cancel" | "cancelling" | "cancelAgain"} wish what the button says
   */
  function draw(state, watching, wish) {
    const { snapshot } = watching ?? {};
    const lang = locale(/** @type {HTMLElement | null} */ (host.closest("[lang]"))?.lang);
    const now = () => watching?.now() ?? NaN;
    const running = state === "running";
    const going = running || state === "queued";
    const succeeded = state === "succeeded";
    const { progress, queue, error, attempt = 1 } = snapshot ?? {};
    /** @param {number} value */
    const show = (value) => number(lang, value);

    const describe = () => {
      if (queue && state === "queued") {
        const { position, workers } = queue;
        if (workers === 0) return words.unserved;
        return position ? (position > 1 ? words.position(show(position)) : words.next) : "";
      }
      if (error?.reference) return words.reference(error.reference);
      if (!progress || !running) return "";
      const { done, total, unit } = progress;
      const count = total ? words.of(show(done), show(total)) : done ? show(done) : "";
      const again = attempt > 1 && words.attempt(show(attempt));
      return [count && unit ? `${count} ${unit}` : count, again].filter(Boolean).join(" · ");
    };

    /** Ticks by itself between snapshots. */
    const showTime = () => {
      const remaining = running ? due - now() : NaN;
      const left = remaining < 5 ? words.soon : words.remaining(duration(lang, remaining));
      const calm = remaining > -10 ? left : "";
      put(time, watching?.connected === false && (going || !state) ? words.retrying : going && snapshot?.stalled ? words.stalled : calm);
      clearTimeout(tick);
      if (remaining > -10) tick = setTimeout(showTime, 1000);
    };

    if (snapshot && snapshot.start !== start) {
      start = snapshot.start;
      peak = announced = 0;
    }
    peak = Math.max(peak, progress?.fraction ?? 0);
    // An estimate wavers: a change of less than a tenth is no news.
    const estimate = progress?.finish_at ?? NaN;
    if (!(Math.abs(estimate - due) < Math.max(1.5, (due - now()) / 10))) due = estimate;

    const known = succeeded || (state && !going) || (going && progress?.fraction != null);
    const said = (running && progress?.message) || error?.message || (state && words[/** @type {"queued"} */ (state)]);
    const more = describe();
    put(label, (internals.ariaLabel = host.getAttribute("label") ?? words.label));
    put(text, said);
    put(dot, more && " · ");
    put(detail, more);
    if (known) bar.value = succeeded ? 1 : peak;
    else bar.removeAttribute("value");
    put(share, known && (running || succeeded) ? percent(lang, bar.value) : "");
    ending.name = ENDINGS[state] ?? "-"; // "" would show the fallback for pages without JavaScript
    cancelSlot.hidden = !(going && snapshot?.cancellable && host.hasAttribute("cancellable"));
    button.disabled = wish === "cancelling";
    put(button, words[wish]);
    showTime();

    const quarter = Math.floor(peak * 4);
    if (state !== shownState) put(live, `${label.textContent}: ${said}`);
    else if (quarter > announced && running) put(live, `${label.textContent}: ${share.textContent}`);
    announced = quarter;
    shownState = state;
  }

  return { draw, rest: () => clearTimeout(tick) };
}
