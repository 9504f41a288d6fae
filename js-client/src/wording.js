/**
 * What the element says: its texts, and numbers and durations in the reader's language.
 */

/** The element's texts; replace any of them through `JobProgress.words`. */
export const WORDS = {
  label: "Progress",
  connecting: "Connecting…",
  scheduled: "Scheduled",
  queued: "Waiting",
  next: "Next in line",
  position: "Number {n} in line",
  unserved: "No worker serves this queue",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  left: "You left; it goes on for others",
  gone: "This job is no longer available",
  stalled: "No progress for a while",
  retrying: "Connection lost. Trying again…",
  of: "{done} of {total}",
  attempt: "Attempt {n} of {max}",
  remaining: "{time} left",
  soon: "A few seconds left",
  reference: "Reference: {reference}",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  cancelFailed: "Could not cancel. Try again.",
};

/** @param {string} text @param {Record<string, unknown>} values */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => `${values[name]}`);

/** A language `Intl` knows how to take, or none: then it is the browser's. @param {string | undefined} lang */
export function locale(lang) {
  try {
    return Intl.getCanonicalLocales(lang)[0];
  } catch {
    return undefined;
  }
}

/** @param {string | undefined} lang @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (lang, value, options) =>
  new Intl.NumberFormat(lang, { maximumFractionDigits: 1, ...options }).format(value);

/** Rounded down: 100 % is said by success only. @param {string | undefined} lang @param {number} fraction */
export const percent = (lang, fraction) =>
  number(lang, Math.floor(fraction * 100 + 1e-9) / 100, { style: "percent" });

/**
 * A duration in seconds, from a minute on in minutes, with hours where there are any.
 *
 * @param {string | undefined} lang
 * @param {number} seconds
 */
export function duration(lang, seconds) {
  const minutes = Math.round(seconds / 60);
  const parts = Object.entries(
    seconds < 59.5 ? { second: Math.round(seconds) } : { hour: Math.floor(minutes / 60), minute: minutes % 60 },
  ).filter(([, value]) => value);
  const { DurationFormat } = /** @type {any} */ (Intl);
  return DurationFormat
    ? new DurationFormat(lang, { style: "short" }).format(Object.fromEntries(parts.map(([unit, value]) => [`${unit}s`, value])))
    : parts.map(([unit, value]) => number(lang, value, { style: "unit", unit, unitDisplay: "short" })).join(" ");
}
