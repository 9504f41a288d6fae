/**
 * What the element says: its texts, and numbers and durations in the reader's language.
 */

/** @typedef {string | number} Shown a number or duration, formatted */

/** The element's texts; replace any of them through `JobProgress.words`. */
export const WORDS = {
  label: "Progress",
  scheduled: "Scheduled",
  queued: "Waiting",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  left: "You left; it goes on for others",
  gone: "No longer available",
  stalled: "Stalled",
  retrying: "Reconnecting…",
  unserved: "No worker serves this queue",
  next: "Next in line",
  soon: "A few seconds left",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  cancelAgain: "Try again",
  /** @param {Shown} place */
  position: (place) => `Number ${place} in line`,
  /** @param {Shown} done @param {Shown} total */
  of: (done, total) => `${done} of ${total}`,
  /** @param {Shown} attempt */
  attempt: (attempt) => `Attempt ${attempt}`,
  /** @param {Shown} time */
  remaining: (time) => `${time} left`,
  /** @param {string} reference */
  reference: (reference) => `Reference: ${reference}`,
};

/** A language `Intl` can take, or none: then it is the browser's. @param {string | undefined} lang */
export function locale(lang) {
  try {
    return Intl.getCanonicalLocales(lang)[0];
  } catch {
    return undefined;
  }
}

/** @param {string | undefined} lang @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (lang, value, options) => new Intl.NumberFormat(lang, options).format(value);

/** Rounded down: 100 % is said by success only. @param {string | undefined} lang @param {number} fraction */
export const percent = (lang, fraction) => number(lang, Math.floor(fraction * 100 + 1e-9) / 100, { style: "percent" });

/** In seconds, from a minute on in minutes, from three hours on in hours. @param {string | undefined} lang @param {number} seconds */
export function duration(lang, seconds) {
  /** @type {[unit: string, length: number]} */
  const [unit, length] = seconds < 59.5 ? ["second", 1] : seconds < 10800 ? ["minute", 60] : ["hour", 3600];
  return number(lang, seconds / length, { style: "unit", unit, maximumFractionDigits: 0 });
}
