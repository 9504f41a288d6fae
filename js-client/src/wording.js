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
  again: "Retrying",
  retrying: "Reconnecting…",
  unserved: "No worker serves this queue",
  soon: "A few seconds left",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  cancelAgain: "Try again",
  /** @param {Shown} place */
  position: (place) => `Number ${place} in line`,
  /** @param {Shown} done @param {Shown} total */
  of: (done, total) => `${done} of ${total}`,
  /** @param {Shown} time */
  starts: (time) => `In ${time}`,
  /** @param {Shown} time */
  remaining: (time) => `${time} left`,
  /** @param {string} reference */
  reference: (reference) => `Reference: ${reference}`,
};

/**
 * Shows numbers in a language; in the browser's, where there is no such language.
 *
 * @param {string | undefined} lang
 * @returns {(value: number, options?: Intl.NumberFormatOptions) => string}
 */
export function numbers(lang) {
  try {
    Intl.getCanonicalLocales(lang);
  } catch {
    lang = undefined;
  }
  return (value, options) => value.toLocaleString(lang, options);
}

/** In seconds, from a minute on in minutes, from three hours on in hours. @param {number} seconds @param {ReturnType<typeof numbers>} show */
export function duration(seconds, show) {
  /** @type {[unit: string, length: number]} */
  const [unit, length] = seconds < 59.5 ? ["second", 1] : seconds < 10800 ? ["minute", 60] : ["hour", 3600];
  return show(seconds / length, { style: "unit", unit, maximumFractionDigits: 0 });
}
