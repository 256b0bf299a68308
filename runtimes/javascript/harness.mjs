// The warm interpreter of the runtime `javascript`: a Node.js that forks for each attempt, and the fork runs the code.
//
// The shim starts it with a Unix stream socket as descriptor 3; ./fork.c speaks the protocol of harnesses with it. A
// fork gets its request (JSON, read to its end), and writes `S` and the output's JSON, or `F` and a failure's JSON.
//
// User code must never run before the fork, nor a request be read: what an attempt did to its process ends with it.
// What is needed after user code has run is taken hold of here, at the top, because user code may replace any of it.
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { inspect, types } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";

import { InvalidOutput, encode } from "./output.mjs";

const REQUEST = 3;
const OUTPUT_BYTES = 1 << 20;
const FRAMES = 50, CAUSES = 8;
const WORK = `file://${process.cwd().replace(/\/?$/, "/")}`;
const HARNESS = ["harness", "output"].map((name) => `file://${import.meta.dirname}/${name}.mjs:`);
const forking = createRequire(import.meta.url)("./fork.node");
const { exit } = process, { from } = Buffer, { parse, stringify } = JSON, turn = setImmediate;

/** Why an attempt failed, as the protocol wants it. */
class Failure extends Error {
  constructor(reason, message, traceback = [], exitCode = undefined) {
    super(message);
    this.wire = { reason, message, traceback, exitCode };
  }
}

let result; // the descriptor for it

/** Make ready, fork, and in each fork run the request and end. */
async function serve() {
  await rehearse();
  forking.streams();
  // What is printed has left when print returns: a process that ends drops what a full pipe has not taken.
  for (const stream of [process.stdout, process.stderr]) stream._handle.setBlocking(true);
  result = forking.serve();
  renew();
  const request = parse(readFileSync(REQUEST, "utf8"));
  const file = request.entrypoint ? "" : `${request.step}.mjs`;
  prepare(request, file);
  let idle = false;
  process.on("beforeExit", () => { idle = true; });
  process.on("exit", (code) => {
    if (told || (code && !idle)) return; // the shim tells the exit code
    const how = idle ? "nothing is left that could settle its promise" : "process.exit(0) was called";
    tell("F", stringify({ reason: "Error", message: `step ${request.step} has not returned: ${how}` }));
  });
  const handled = process._fatalException; // Node.js asks it for every exception that nobody catches, also of promises
  process._fatalException = (error, promise) => handled(error, promise) || finish(failed(error, file));
  finish(await attempt(request, file));
}

/** What a fork has of its own, and what it must not have in common with others. */
function renew() {
  process.reallyExit = forking.end;
  Object.defineProperty(process, "pid", { value: forking.pid(), enumerable: true, configurable: true });
  v8.setFlagsFromString(`--random-seed=${forking.seed()}`);
  Math.random(); // seeds this realm; others have seeds of their own
  v8.setFlagsFromString("--random-seed=0");
}

/** Do once what every attempt does: what V8 and Node.js load and compile at first use would take each fork milliseconds. */
async function rehearse() {
  const file = "rehearsal.mjs", code = 'import "node:fs"; export default async ({ a }) => [a]';
  const request = parse(readFileSync("/dev/null", "utf8") || stringify({ step: "rehearsal", attempt: 0, code, input: { a: "b" } }));
  prepare(request, file);
  const { output } = await attempt(request, file);
  result = openSync("/dev/null", "w");
  tell("S", output);
  closeSync(result);
  told = false;
  const listener = () => {};
  process.on("exit", listener).emit("rehearsed");
  process.off("exit", listener);
  v8.setFlagsFromString("--random-seed=0");
}

/** The process as the step sees it. */
function prepare(request, file) {
  for (const { name, value } of request.env ?? []) process.env[name] = value;
  process.env.CITADEL_STEP = request.step;
  process.env.CITADEL_ATTEMPT = String(request.attempt);
  process.argv.splice(1, Infinity, file || request.step);
  Error.stackTraceLimit = FRAMES;
}

let told = false;

/** Write the result, once. */
function tell(outcome, text) {
  if (told) return;
  told = true;
  const bytes = from(outcome + text);
  for (let at = 0; at < bytes.length;) at += writeSync(result, bytes, at);
}

/** Write the result and end, after the step's own listeners to `exit`. */
function finish({ output, failure }) {
  if (failure) tell("F", stringify(failure));
  else tell("S", output);
  exit(0);
}

/** Run one attempt: its output as JSON, or its failure. */
async function attempt(request, file) {
  try {
    const value = await run(request, file);
    await new Promise((resolve) => turn(resolve)); // promises that nobody handles are reported by now
    return { output: encode(value, request.outputBytes || OUTPUT_BYTES) };
  } catch (error) {
    return failed(error, file);
  }
}

function failed(error, file) {
  if (error instanceof Failure) return { failure: error.wire };
  if (error instanceof InvalidOutput) return { failure: { reason: error.reason, message: error.message } };
  return { failure: { reason: "Error", message: describe(error), traceback: traceback(error, file) } };
}

/** What the step's function returns. */
async function run({ step, code, entrypoint, input }, file) {
  if (entrypoint) return (await named(step, entrypoint))(input ?? {});
  let module;
  try {
    module = await load(code, file);
  } catch (error) {
    throw new Failure("InvalidCode", ...invalid(error, code, step, file));
  }
  await module.evaluate();
  if (!Object.hasOwn(module.namespace, "default")) {
    throw new Failure("InvalidCode", `step ${step} has no default export, expected export default function`);
  }
  const main = module.namespace.default;
  if (typeof main !== "function") {
    throw new Failure("InvalidCode", `the default export of step ${step} is of type ${typeof main}, expected a function`);
  }
  return main(input ?? {});
}

/** The function that an entry point names, of a module that the image brings along. */
async function named(step, entrypoint) {
  const at = entrypoint.lastIndexOf(":"), name = entrypoint.slice(0, at), key = entrypoint.slice(at + 1);
  const invalid = (said) => new Failure("InvalidCode", `step ${step}, entrypoint ${entrypoint}: ${said}`);
  let module;
  try {
    module = await imported(name, "the image");
  } catch (error) {
    if (error?.code?.startsWith?.("ERR_MODULE_NOT_FOUND")) throw invalid(error.message);
    throw error;
  }
  if (typeof module[key] !== "function") throw invalid(`the module exports no function ${key}`);
  return module[key];
}

/** The module of this source, with everything it imports, not yet evaluated. */
async function load(source, file) {
  const module = new vm.SourceTextModule(source, {
    identifier: file,
    initializeImportMeta: (meta) => { meta.url = WORK + file; },
    importModuleDynamically: (name) => imported(name, file),
  });
  await module.link(async (name) => {
    const found = await imported(name, file);
    const names = Object.keys(found);
    return new vm.SyntheticModule(names, function set() {
      for (const each of names) this.setExport(each, found[each]);
    }, { identifier: name });
  });
  return module;
}

/** A module of Node.js, of the image, or of the working directory. */
async function imported(name, file) {
  try {
    return await import(/^\.{0,2}\//.test(name) ? new URL(name, WORK).href : name);
  } catch (error) {
    if (error?.code === "ERR_MODULE_NOT_FOUND") error.message = error.message.replace(import.meta.filename, file);
    throw error;
  }
}

/** Message and traceback of code that is none. */
function invalid(error, source, step, file) {
  const [first, quoted, caret] = error instanceof SyntaxError ? shown(source, file) : [];
  const line = first?.startsWith(`${file}:`) ? first.slice(file.length + 1) : "";
  if (!/^\d+$/.test(line)) return [`step ${step}: ${describe(error)}`];
  const column = caret.indexOf("^") + 1;
  return [
    `step ${step}, line ${line}, column ${column}: ${error.message}${quoted.trim() && `: ${quoted.trim()}`}`,
    [`    at ${file}:${line}:${column}`, quoted, caret],
  ];
}

/** Where source cannot be compiled, as Node.js shows it for an error that nobody catches, and only then. */
function shown(source, file) {
  const compile = 'new (require("vm").SourceTextModule)(require("fs").readFileSync(0, "utf8"), { identifier: process.argv[1] })';
  const { stderr } = spawnSync(process.execPath, [...process.execArgv, "-e", compile, file], { input: source, encoding: "utf8" });
  return String(stderr).split("\n");
}

/** Name and message, as the first line of a stack says it. */
function describe(error) {
  try {
    if (!types.isNativeError(error)) return `${inspect(error, { depth: 2 })} was thrown, which is no Error`;
    const name = String(error.name || "Error"), message = String(error.message);
    return message ? `${name}: ${message}` : name;
  } catch {
    return "an error was thrown that cannot be shown";
  }
}

/** The frames of the step's own code, with causes. */
function traceback(error, file) {
  const lines = [];
  try {
    for (let count = 0; types.isNativeError(error) && count < CAUSES; error = error.cause, count++) {
      if (count) lines.push(`Caused by ${describe(error)}`);
      const own = String(error.stack).split("\n").filter((line) => isOwn(line, file));
      lines.push(...own.map((line) => line.replace(WORK, "")));
    }
  } catch {
    // a stack of the step's own making
  }
  return lines;
}

/** Whether a frame is the step's own; behind an entry point that is all but Node.js. */
function isOwn(line, file) {
  if (!/^\s+at /.test(line) || HARNESS.some((file) => line.includes(file))) return false;
  if (!file) return !/[ (]node:/.test(line);
  return line.includes(` ${file}:`) || line.includes(`(${file}:`) || line.includes(WORK);
}

await serve();
