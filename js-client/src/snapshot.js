/**
 * The shape and the order of snapshots: what the server says about a run, and which of two says it later.
 *
 * @typedef {"scheduled" | "queued" | "running" | "succeeded" | "failed" | "cancelled"} State
 *
 * @typedef {object} ProgressView
 * @property {number} done
 * @property {number | null} total null while unknown
 * @property {number | null} fraction 0…1, null while unknown; 1 only when succeeded
 * @property {string | null} unit
 * @property {string | null} message
 * @property {number | null} rate units per second
 * @property {number | null} finish_at epoch seconds by the server's clock
 * @property {Record<string, number>} counts
 * @property {any[]} stages in tree order, each with name, done, total, fraction (1 when it has finished), unit, …
 *
 * @typedef {object} QueuePlace
 * @property {string} name
 * @property {number | null} position 1 is next; null when not queued
 * @property {number | null} workers how many workers serve the queue
 * @property {boolean} paused whether it waits until somebody resumes its queue
 *
 * @typedef {object} Failure
 * @property {string} message
 * @property {string | null} reference what to quote to whoever runs the site
 * @property {boolean} public
 *
 * @typedef {object} Snapshot
 * @property {string} id
 * @property {string} job
 * @property {State} state
 * @property {number} version
 * @property {number} start
 * @property {number} attempt
 * @property {number} max_attempts
 * @property {ProgressView} progress
 * @property {QueuePlace} queue
 * @property {boolean} cancellable
 * @property {boolean} stalled
 * @property {"cancelling" | "killing" | null} stopping how it is being stopped
 * @property {number} created_at
 * @property {number | null} started_at
 * @property {number} updated_at
 * @property {number | null} finished_at
 * @property {number | null} due_at when a scheduled run starts
 * @property {unknown} result
 * @property {boolean} result_inline
 * @property {string | null} result_url
 * @property {Failure | null} error
 */

/**
 * Whether `next` may follow `last`: equal orders may, since queue places are refreshed under the same version.
 *
 * @param {Snapshot} next
 * @param {Snapshot | undefined} last
 */
export const follows = (next, last) =>
  !last || next.start > last.start || (next.start === last.start && next.version >= last.version);

/** @param {Snapshot | undefined} snapshot */
export const isTerminal = (snapshot) => /^(succeeded|failed|cancelled)$/.test(snapshot?.state ?? "");
