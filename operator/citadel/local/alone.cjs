// Stands in for the addon that forks, on a machine where each attempt is a Node.js of its own: that needs no compiler,
// and nothing of the insides of V8. `node --require alone.cjs harness.mjs`, descriptors 3 request and 4 result.
const { randomInt } = require("node:crypto");
const Module = require("node:module");

const RESULT = 4;
const exit = process.reallyExit.bind(process);
const alone = {
  streams() {},
  serve: () => RESULT,
  pid: () => process.pid,
  seed: () => randomInt(1, 2 ** 31 - 1),
  end: exit,
};
const load = Module._load;

Module._load = function (name, ...rest) {
  return name === "./fork.node" ? alone : load.call(this, name, ...rest);
};
