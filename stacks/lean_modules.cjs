// Node.js reads this file before jsii's runtime starts: see lean_imports.py.
// A provider package's lib/index.js loads all of its modules, its lib/lazy-index.js each at its first use.
"use strict";

const Module = require("node:module");

const EVERY_MODULE = /(@cdktf[\\/]provider-[^\\/]+[\\/](?:.*[\\/])?lib[\\/])index\.js$/;
const resolveFilename = Module._resolveFilename;

Module._resolveFilename = function (...request) {
  return resolveFilename.apply(this, request).replace(EVERY_MODULE, "$1lazy-index.js");
};
