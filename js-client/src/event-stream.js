/**
 * Parses the text of an event stream (HTML Living Standard, 9.2.6), however it was cut on its way.
 *
 * @param {(name: string, data: string) => void} onEvent
 * @param {(milliseconds: number) => void} onRetry
 * @returns {(text: string) => void} feed it decoded text, piece by piece
 */
export function eventParser(onEvent, onRetry) {
  let rest = "";
  let name = "";
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  const read = (line) => {
    if (!line) {
      if (data.length) onEvent(name || "message", data.join("\n"));
      name = "";
      data = [];
      return;
    }
    const [, field, value] = /** @type {RegExpExecArray} */ (/^([^:]*)(?:: ?)?(.*)$/s.exec(line));
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
    else if (field === "retry" && /^\d+$/.test(value)) onRetry(+value);
  };

  return (text) => {
    // A "\r" that comes last may be half a "\r\n": it waits for what follows.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = /** @type {string} */ (lines.pop());
    lines.forEach(read);
  };
}
