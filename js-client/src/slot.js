/**
 * The slots that all pages of a site share: one for each that keeps a connection open.
 *
 * Over HTTP/1.1 a browser opens six connections to a host. Were they all kept, not even another page would load.
 */
const SLOTS = 4;

/**
 * Takes a slot, if one is free. It is free again when it is given back, or when the page ends.
 *
 * @param {number} [nth] the first to try
 * @returns {Promise<(() => void) | undefined>} what gives it back
 */
export async function takeSlot(nth = SLOTS) {
  if (!nth) return;
  try {
    return await new Promise((resolve, reject) => {
      /** Whoever takes the slot settles the promise that holds it. @param {Lock | null} lock */
      const hold = (lock) => (lock ? new Promise(/** @type {any} */ (resolve)) : resolve(takeSlot(nth - 1)));
      navigator.locks.request(`jobkit-stream-${nth}`, { ifAvailable: true }, hold).catch(reject);
    });
  } catch {
    return () => {}; // an insecure page, or one that may not store anything, knows nothing of the others
  }
}
