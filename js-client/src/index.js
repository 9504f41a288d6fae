/**
 * What the package offers, without defining the element: import "jobkit-progress/define" for that.
 */
export { JobProgress } from "./job-progress.js";
export { follows, isTerminal } from "./snapshot.js";
export { Watch, WatchError, watch } from "./watch.js";
