// Rebuilds web/vendor from pinned packages: `node scripts/vendor.mjs` writes, `node scripts/vendor.mjs --check` compares.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TARGET = join(dirname(fileURLToPath(import.meta.url)), "..", "web", "vendor");
const BUNDLED = {
  preact: "11.2.0",
  "@preact/signals": "2.11.4",
  "@preact/signals-core": "1.14.5",
  htm: "3.1.1",
  "@codemirror/state": "6.7.6",
  "@codemirror/view": "6.43.15",
  "@codemirror/commands": "6.11.1",
  "@codemirror/language": "6.13.1",
  "@codemirror/lang-sql": "6.10.0",
  "@codemirror/autocomplete": "6.20.4",
  "@lezer/common": "1.5.5",
  "@lezer/highlight": "1.2.5",
  "@lezer/lr": "1.4.12",
  "@marijn/find-cluster-break": "1.0.4",
  "style-mod": "4.1.5",
  "w3c-keyname": "2.2.8",
  crelt: "1.0.7",
};
const BUNDLER = { esbuild: "0.28.2" };
/** What each file of web/vendor exports. */
const ENTRIES = {
  "preact.js": `
export { h, render, Fragment, Component, createContext } from "preact";
export { useEffect, useLayoutEffect, useRef, useState, useMemo, useCallback, useContext } from "preact/hooks";
export { signal, computed, effect, batch, untracked, useSignal, useComputed, useSignalEffect } from "@preact/signals";
import { h } from "preact";
import htm from "htm";
export const html = htm.bind(h);
`,
  "codemirror.js": `
export { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
export { Decoration, EditorView, drawSelection, keymap, lineNumbers, placeholder } from "@codemirror/view";
export { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
export { HighlightStyle, bracketMatching, syntaxHighlighting } from "@codemirror/language";
export { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, snippetCompletion } from "@codemirror/autocomplete";
export { PostgreSQL, sql } from "@codemirror/lang-sql";
export { tags } from "@lezer/highlight";
`,
};
const OPTIONS = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--legal-comments=none", "--log-level=warning"];

/** The files of web/vendor by name, built in a scratch folder that is removed afterwards. */
function build() {
  const scratch = mkdtempSync(join(tmpdir(), "vendor-"));
  try {
    const dependencies = { ...BUNDLED, ...BUNDLER };
    writeFileSync(join(scratch, "package.json"), JSON.stringify({ private: true, dependencies }));
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts=false", "--silent"], { cwd: scratch, stdio: "inherit" });
    const bundles = Object.entries(ENTRIES).map(([name, entry]) => [name, bundle(scratch, name, entry)]);
    return withSums({ ...Object.fromEntries(bundles), "LICENSES.txt": licences(scratch) });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The text of one file of web/vendor. */
function bundle(scratch, name, entry) {
  writeFileSync(join(scratch, `entry-${name}`), entry);
  const esbuild = join(scratch, "node_modules", ".bin", "esbuild");
  execFileSync(esbuild, [`entry-${name}`, ...OPTIONS, `--outfile=${name}`], { cwd: scratch, stdio: "inherit" });
  return readFileSync(join(scratch, name), "utf8");
}

function licences(scratch) {
  const parts = Object.entries(BUNDLED).map(([name, version]) => {
    const folder = join(scratch, "node_modules", name);
    const installed = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (installed.version !== version) throw new Error(`${name}: wanted ${version}, installed ${installed.version}`);
    return `${name} ${version}, ${installed.license}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
  });
  return parts.join("\n----\n\n");
}

function withSums(files) {
  const sums = Object.entries(files).map(([name, text]) => `${createHash("sha256").update(text).digest("hex")}  ${name}\n`);
  return { ...files, SHA256SUMS: sums.join("") };
}

/** Names of the files in web/vendor that differ from what a fresh build gives. */
function differing(files) {
  return Object.entries(files).filter(([name, text]) => text !== readOr(join(TARGET, name))).map(([name]) => name);
}

function readOr(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const files = build();
if (process.argv.includes("--check")) {
  const wrong = differing(files);
  if (wrong.length) console.error(`web/vendor differs from a fresh build: ${wrong.join(", ")}. Run node scripts/vendor.mjs.`);
  process.exit(wrong.length ? 1 : 0);
}
for (const [name, text] of Object.entries(files)) writeFileSync(join(TARGET, name), text);
console.log(`web/vendor: ${Object.keys(files).join(", ")}`);
