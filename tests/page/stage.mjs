// The stage: servents on loopback with homes of their own, and a browser. All of it goes away at the end.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const tools = createRequire(`${process.env.PAGE_TOOLS}/package.json`);
const { chromium } = tools("playwright-core");
export const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

export const folder = mkdtempSync(join(tmpdir(), "filbert-page-"));
const children = new Set();

/** Bytes that look like nothing and are the same each time. */
export function noise(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state ^= state << 13; state ^= state >>> 17; state ^= state << 5;
    bytes.writeUInt32LE(state >>> 0, at);
  }
  return bytes;
}

/** Makes a folder with these files: name to bytes. */
export function share(name, files) {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) {
    mkdirSync(join(path, file, ".."), { recursive: true });
    writeFileSync(join(path, file), bytes);
  }
  return path;
}

/** Starts a servent; `again` starts it anew on the same home and API port. */
export async function up(name, args = [], api = "127.0.0.1:0") {
  const home = join(folder, name);
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("FILBERT_")));
  const child = spawn(process.env.FILBERT, ["--home", home, "up", "--json", "--listen", "127.0.0.1:0", "--api", api, ...args],
    { env: { ...env, HOME: folder, FILBERT_PORTMAP: "off", FILBERT_LAN: "false" }, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let said = "";
  child.stderr.on("data", (bytes) => { said += bytes; });
  const line = await new Promise((ready, failed) => {
    let out = "";
    child.stdout.on("data", (bytes) => { out += bytes; if (out.includes("\n")) ready(out); });
    child.on("exit", () => failed(new Error(`${name} ended: ${said}`)));
  });
  const ready = JSON.parse(line);
  const token = readFileSync(ready.token_file, "utf8").trim();
  const call = async (method, path, body) => {
    const answer = await fetch(`${ready.api}${path}`, { method, headers: { authorization: `Bearer ${token}` }, body: body && JSON.stringify(body) });
    const told = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(told)}`);
    return told;
  };
  const kill = () => new Promise((gone) => { child.on("exit", gone); children.delete(child); child.kill("SIGKILL"); });
  const hashed = () => until(`${name} is hashed`, async () => { const s = await call("GET", "/api/v1/status"); return s.files > 0 && s.files === s.hashed; });
  return { ...ready, token, call, kill, hashed, home, page: `${ready.api}/#t=${token}`, again: () => up(name, args, ready.api.replace("http://", "")) };
}

/** Sets the password of a home; the exit code. */
export const setPassword = (name, words) => spawnSync(process.env.FILBERT, ["--home", join(folder, name), "password"], { input: `${words}\n` }).status;

/** Looks until it is so; fails with `what` after half a minute. */
export async function until(what, look, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

let browser;
/** A browser window of its own: no cookie, no storage. */
export async function window_(options = {}) {
  browser ||= await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const told = [];
  page.on("pageerror", (error) => told.push(`error: ${error.stack || error}`));
  page.on("console", (message) => { if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(message.text())) told.push(message.text()); });
  page.told = told;
  page.elsewhere = [];
  page.on("request", (request) => { if (!request.url().startsWith("http://127.0.0.1:") && !request.url().startsWith("data:")) page.elsewhere.push(request.url()); });
  // Files of the page are taken from the sources while it is worked on.
  if (process.env.PAGE_FILES) {
    await context.route(/\/([a-z]+\.(js|css|svg))$/, (route) => {
      const file = new URL(route.request().url()).pathname.slice(1);
      const kind = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" }[file.split(".")[1]];
      route.fulfill({ body: readFileSync(join(process.env.PAGE_FILES, file)), contentType: kind });
    });
  }
  // A small machine that others load too is slow, not wrong.
  page.setDefaultTimeout(30_000);
  return page;
}

/** The longest task of the page's main thread while something happens, in ms: by the clock, and in processor time. */
export async function traced(page, act) {
  await browser.startTracing(page, { categories: ["toplevel", "disabled-by-default-devtools.timeline"] });
  await act();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const mains = new Set(traceEvents.filter((one) => one.name === "thread_name" && one.args.name === "CrRendererMain").map((one) => `${one.pid}/${one.tid}`));
  const tasks = traceEvents.filter((one) => one.ph === "X" && one.name.endsWith("RunTask") && mains.has(`${one.pid}/${one.tid}`));
  const most = (key) => Math.round(Math.max(0, ...tasks.map((one) => one[key] || 0)) / 1000);
  if (!tasks.length) throw new Error("the trace has no tasks");
  return [most("dur"), most("tdur")];
}

export async function strike() {
  await browser?.close();
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
