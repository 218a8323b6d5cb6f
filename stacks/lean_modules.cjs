// Node.js reads this file before jsii's runtime starts: see lean_imports.py.
// A provider package's lib/index.js loads all of its modules, its lib/lazy-index.js each at its first use.
"use strict";

const { existsSync } = require("node:fs");
const Module = require("node:module");

const PACKAGE_INDEX = /(@cdktf[\\/]provider-[^\\/]+[\\/](?:.*[\\/])?lib[\\/])index\.js$/;
const resolveFilename = Module._resolveFilename;

Module._resolveFilename = function (...request) {
  const file = resolveFilename.apply(this, request);
  const lazy = file.replace(PACKAGE_INDEX, "$1lazy-index.js");
  return lazy !== file && existsSync(lazy) ? lazy : file;
};
