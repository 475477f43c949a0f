// The way to the servent: calls, streams of lines, events.

/** An error with the servent's words. */
export class Trouble extends Error {
  constructor(status, code, message, hint) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint || "";
  }
}

const LOST = ["lost", "The servent does not answer", "Start it again: filbert up"];

/** One call; the answer's JSON. */
export async function call(method, path, body, headers = {}) {
  const answer = await send(method, path, body, headers);
  return answer.json();
}

async function send(method, path, body, headers, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, cache: "no-store", credentials: "same-origin",
      headers: body === undefined ? headers : { ...headers, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, ...LOST);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const { code = "failed", message = `The servent answered ${answer.status}`, hint = "" } = told.error || {};
  if (answer.status === 401) window.dispatchEvent(new CustomEvent("locked", { detail: code }));
  throw new Trouble(answer.status, code, message, hint);
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const change = (path, body) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);

/** Exchanges the token for a cookie. The token stays nowhere. */
export const unlock = (token) => call("POST", "/api/v1/session", {}, { authorization: `Bearer ${token}` });

/** Exchanges the password for one, where the servent is open to other machines. It stays nowhere either. */
export const login = (password) => call("POST", "/api/v1/login", { password });

/** Lets the browser do what else there is to do. */
const breath = () => globalThis.scheduler?.yield?.() ?? new Promise((go) => setTimeout(go));
/** So many ms may go by, and so many lines be read, before that. Time is the clock's: who has to wait for a processor works less at a time. */
const STINT = 8;
const LINES = 50;

/** Follows a stream of JSON lines, in batches as they come. */
export async function follow(path, batch, signal) {
  const answer = await send("GET", path, undefined, {}, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let since = performance.now();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    // Long bursts are taken in pieces, so that the page answers in between. What has come already is read without a pause, all of it in
    // one task, unless we make one.
    for (let at = 0; at < lines.length; at += LINES) {
      batch(lines.slice(at, at + LINES).filter(Boolean).map((line) => JSON.parse(line)));
      if (performance.now() - since < STINT) continue;
      await breath();
      since = performance.now();
    }
  }
}

const SNAPSHOTS = "status,peers,shares,searches,watches";
const listeners = new Map();
let source = null;
let again = 500;
let timer;

/** Hears of events of a kind; returns how to stop that. */
export function on(kind, hear) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(hear);
  return () => listeners.get(kind).delete(hear);
}

export function tell(kind, value) {
  for (const hear of listeners.get(kind) || []) hear(value);
}

/** Opens the stream of events, and opens it again whenever it is lost. */
export function listen() {
  clearTimeout(timer);
  if (source) return;
  const mine = source = new EventSource(`/api/v1/events?with=${SNAPSHOTS}`);
  mine.onopen = () => { again = 500; tell("link", "up"); };
  mine.onerror = async () => {
    if (source !== mine) return;
    hush();
    tell("link", "lost");
    // An EventSource does not say why: a 401 asks for the token, anything else is tried again.
    try { await get("/api/v1/status"); } catch { /* told by `send` where it matters */ }
    clearTimeout(timer);
    timer = setTimeout(listen, again);
    again = Math.min(again * 2, 5000);
  };
  for (const kind of ["status", "peers", "folders", "searches", "watches", "watch_hit", "transfer", "shares", "query", "neighbour_up", "neighbour_down", "role_changed", "warning", "missed"]) {
    mine.addEventListener(kind, (event) => tell(kind, JSON.parse(event.data)));
  }
}

/** Closes it. */
export function hush() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

// Browsers open six connections to a host, tabs together: of the tabs that nobody sees only one listens on.
let release;
document.addEventListener("visibilitychange", () => {
  release?.();
  release = null;
  if (document.visibilityState === "visible") {
    if (listeners.size) listen();
  } else if (source && navigator.locks) {
    navigator.locks.request("filbert-hidden", { ifAvailable: true }, (lock) => {
      if (document.visibilityState === "visible") return undefined;
      if (!lock) return hush();
      return new Promise((done) => { release = done; });
    });
  }
});
