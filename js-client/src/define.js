/**
 * Defines `<job-progress>`; the only module with a side effect.
 */
import { JobProgress } from "./job-progress.js";

if (!customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
