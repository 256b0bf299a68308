// The output of a step as JSON: strictly, so that nothing is lost without a word, as JSON.stringify would.
// Must never change the value, which is the step's own.
import { types } from "node:util";

const MAX_DEPTH = 64;
const { stringify } = JSON;

/** What a step returned is not JSON; the message names the place. */
export class InvalidOutput extends Error {
  reason = "InvalidOutput";
}

/** What a step returned is more JSON than is kept. */
class OutputTooLarge extends InvalidOutput {
  reason = "OutputTooLarge";
}

/** The JSON of a value, at most limit bytes of it; undefined itself is null. Throws InvalidOutput. */
export function encode(value, limit) {
  const text = stringify(plain(value === undefined ? null : value, [], []));
  const size = Buffer.byteLength(text);
  if (size > limit) throw new OutputTooLarge(`the output is ${size} bytes of JSON, at most ${limit} are allowed`);
  return text;
}

/** A copy of nothing but arrays, objects without prototype, and what stands in them. */
function plain(value, path, around) {
  switch (typeof value) {
    case "boolean":
      return value;
    case "string":
      return text(value, () => place(path));
    case "number":
      if (!Number.isFinite(value)) refuse(path, `is ${value}`);
      return value;
    case "undefined":
      refuse(path, "is undefined", "expected null, or no such key");
      break;
    case "bigint":
      refuse(path, "is a BigInt", "expected a number or a string");
      break;
    case "object":
      return value === null ? null : container(value, path, around);
    default:
      refuse(path, `is a ${typeof value}`);
  }
}

function container(value, path, around) {
  if (typeof value.toJSON === "function") {
    const said = value.toJSON(String(path.at(-1) ?? ""));
    if (said === null || typeof said !== "object") return plain(said, path, around);
    value = said;
  }
  if (around.includes(value)) refuse(path, "contains itself");
  if (around.length >= MAX_DEPTH) throw new InvalidOutput(`the output is nested deeper than ${MAX_DEPTH} levels`);
  const hint = unfit(value);
  if (hint) refuse(path, ...hint);
  around.push(value);
  let copy;
  if (Array.isArray(value)) {
    copy = [];
    for (let index = 0; index < value.length; index++) copy.push(inner(value[index], index, path, around));
  } else {
    copy = Object.create(null);
    for (const key of Object.keys(value)) {
      text(key, () => `a key of ${place(path)}`);
      copy[key] = inner(value[key], key, path, around);
    }
  }
  around.pop();
  return copy;
}

function inner(value, key, path, around) {
  path.push(key);
  const copy = plain(value, path, around);
  path.pop();
  return copy;
}

/** What JSON.stringify would make an empty object of, and what to return instead. */
function unfit(value) {
  if (types.isMap(value)) return ["is a Map", "expected Object.fromEntries of it"];
  if (types.isSet(value)) return ["is a Set", "expected an array: [...set]"];
  if (types.isPromise(value)) return ["is a Promise", "expected what it resolves to: await it"];
  if (types.isNativeError(value)) return ["is an Error", "expected its message, or to throw it"];
  if (types.isRegExp(value)) return ["is a RegExp", "expected a string"];
  if (ArrayBuffer.isView(value)) return ["is a typed array", "expected an array: Array.from(it)"];
  if (types.isAnyArrayBuffer(value)) return ["is an ArrayBuffer", "expected a string or an array"];
  if (types.isWeakMap(value) || types.isWeakSet(value)) return ["is a weak collection"];
  return null;
}

function text(value, where) {
  if (value.includes("\0")) throw new InvalidOutput(`${where()} holds the character NUL`);
  if (!value.isWellFormed()) throw new InvalidOutput(`${where()} holds a lone surrogate, which is no character`);
  return value;
}

function place(path) {
  let said = "output";
  for (const key of path) {
    if (typeof key === "number") said += `[${key}]`;
    else said += /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${stringify(key).slice(0, 100)}]`;
  }
  return said;
}

function refuse(path, found, hint = "") {
  throw new InvalidOutput(`${place(path)} ${found}, which JSON cannot hold${hint && `: ${hint}`}`);
}
