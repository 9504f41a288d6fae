/** The event stream parser, however its input is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventParser } from "../src/event-stream.js";

/** @param {Uint8Array[]} pieces */
function parse(pieces) {
  /** @type {unknown[]} */
  const seen = [];
  const feed = eventParser((name, data) => seen.push([name, data]), (retry) => seen.push(retry));
  const decoder = new TextDecoder();
  for (const piece of pieces) feed(decoder.decode(piece, { stream: true }));
  return seen;
}

const TEXT = [
  "\uFEFF: hello\n\nretry: 1500\n",
  'event: snapshot\nid: 7\ndata: {"message":"Größe ✓ 漢字 🚀"}\n\n',
  "event:end\r\ndata: first\r\ndata:  second\r\ndata\r\n\r\n",
  "data: unnamed\r\revent: nothing\n\n: comment\n\n",
  "retry: soon\nunknown: x\ndata: a:b\n\nevent: cut off\ndata: never dispatched\n",
].join("");
const EXPECTED = [
  1500,
  ["snapshot", '{"message":"Größe ✓ 漢字 🚀"}'],
  ["end", "first\n second\n"],
  ["message", "unnamed"],
  ["message", "a:b"],
];

test("a stream that arrives whole is parsed", () => {
  assert.deepEqual(parse([new TextEncoder().encode(TEXT)]), EXPECTED);
});

test("a stream cut in two at any byte is parsed the same", () => {
  const bytes = new TextEncoder().encode(TEXT);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.deepEqual(parse([bytes.slice(0, cut), bytes.slice(cut)]), EXPECTED, `cut at ${cut}`);
  }
});

test("a stream that arrives byte by byte is parsed the same", () => {
  assert.deepEqual(parse([...new TextEncoder().encode(TEXT)].map((byte) => Uint8Array.of(byte))), EXPECTED);
});

test("an event that ends in a lone carriage return is dispatched with what follows", () => {
  assert.deepEqual(parse(["data: x\r\r", ":"].map((text) => new TextEncoder().encode(text))), [["message", "x"]]);
});
