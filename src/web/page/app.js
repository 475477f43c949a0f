// The frame: who may come in, where one is, the head of the page, keys, magnets from the clipboard.

import { change, get, hush, listen, login, on, post, tell, unlock } from "./api.js";
import { button, h, icon, nut, put, rate, s, say, size, text, toast, trouble, count } from "./ui.js";
import * as search from "./search.js";
import * as transfers from "./transfers.js";
import * as shares from "./shares.js";
import * as watches from "./watches.js";
import * as peers from "./peers.js";
import * as settings from "./settings.js";
import * as help from "./help.js";

/** What is known of the servent, kept up to date by its events. */
export const known = { status: null, peers: [], folders: [], searches: [], watches: [], watchesAt: Date.now(), rates: Array.from({ length: 60 }, () => [0, 0]) };

const VIEWS = [
  ["search", "Search", "search", search.view],
  ["watches", "Saved searches", "bell", watches.view],
  ["transfers", "Transfers", "transfers", transfers.view],
  ["shares", "Shares", "shares", shares.view],
  ["peers", "Peers", "peers", peers.view],
  ["strangers", "What strangers see", "eye", shares.strangers],
  ["settings", "Settings", "settings", settings.view],
  ["help", "Help", "help", help.view],
];

// Where there is little room.
const SHORT = { watches: "Saved", strangers: "Strangers" };

// How one comes in.
const WRONG = "That token is not the one of this servent.";
const WAYS = {
  token: {
    label: "Token or address with token", note: "The token is in the file that filbert up names.", field: { autocomplete: "off" },
    words: ["This is the page of your own servent. To come in, run ", h("code", "filbert web"), " in a terminal, or paste the token here."],
    open: (typed) => unlock((/[0-9a-f]{64}/i.exec(typed) || ["none"])[0]), wrong: () => WRONG,
  },
  password: {
    label: "Password", note: "It was set with filbert password, on the servent's machine.", field: { autocomplete: "current-password" },
    words: ["This is the page of your own servent. To come in from another machine, type its password."],
    open: login, wrong: () => "That is not the password of this servent.",
  },
};

const page = document.getElementById("page");
let leave = null;
let parts = null;

start();

async function start() {
  look(localStorage.getItem("theme"));
  const given = /^#t=([0-9a-f]{64})$/i.exec(location.hash);
  if (location.hash.startsWith("#t=")) history.replaceState(null, "", "/#/search");
  try {
    if (given) await unlock(given[1]);
    known.status = await get("/api/v1/status");
  } catch (error) {
    if (error.code === "log_in") return gate("password", given && [WRONG]);
    return error.status === 401 ? gate("token", given && [WRONG]) : gate("token", [`${error.message}. ${error.hint}`]);
  }
  enter();
}

/** Asks for the token, or where a password opens for that. */
function gate(way, trouble, choice = way === "password") {
  hush();
  leave?.();
  leave = parts = null;
  const { label, note: usual, field: kind, words, open, wrong } = WAYS[way];
  const field = h("input", { type: "password", spellcheck: "false", required: true, name: way, id: way, "aria-describedby": "gate-note", ...kind });
  const note = h("p.note", { id: "gate-note", role: trouble ? "alert" : null });
  put(note, trouble ? [icon("warn"), ...trouble] : usual);
  const other = way === "token" ? "password" : "token";
  const enterNow = h("button.main", { type: "submit" }, "Come in");
  const form = h("form.gate", { onsubmit: async (event) => {
    event.preventDefault();
    enterNow.disabled = true;
    try {
      await open(field.value);
      known.status = await get("/api/v1/status");
      enter();
    } catch (problem) {
      // What opens may have changed meanwhile.
      if (problem.code === "no_login") return gate("token", [`${problem.message}.`]);
      gate(way, [problem.status === 401 ? wrong() : `${problem.message}. ${problem.hint}`], choice);
    }
  } },
    nut(), h("h1", "filbert"), h("p", words),
    way === "password" && h("input", { type: "text", hidden: true, name: "username", autocomplete: "username", value: "filbert" }),
    h("label", { for: way }, label), field, note, enterNow,
    choice && h("button", { type: "button", onclick: () => gate(other, null, true) }, `Use the ${other} instead`));
  put(page, h("main", { id: "main" }, form));
  document.title = "filbert";
  field.focus();
}

/** Builds the frame and shows the first view. */
function enter() {
  const links = VIEWS.map(([name, label, image]) => h("a", { href: `#/${name}` }, icon(image), h("span.word", { "data-short": SHORT[name] || label }, label), h("b.badge", { hidden: true })));
  parts = {
    links,
    main: h("main", { id: "main", tabindex: "-1" }),
    neighbours: h("a.fact", { href: "#/peers" }),
    down: h("span.rate.down"), up: h("span.rate.up"),
    line: s("svg", { class: "spark", viewBox: "0 0 120 28", preserveAspectRatio: "none", role: "img", "aria-label": "Rates of the last minute" }),
    turtle: button("turtle", "Turtle", toggleTurtle, { pressed: "false", kind: "fact", title: "Slow mode (t)" }),
    reach: h("a.fact.reach", { href: "#/settings" }),
    lost: h("div.lost", { role: "alert", hidden: true }, icon("warn"), h("span", "The servent does not answer. Trying again; if you stopped it, start it with filbert up.")),
  };
  put(page,
    h("header.top",
      h("a.brand", { href: "#/search", "aria-label": "filbert" }, nut(), h("span", "filbert")),
      h("div.facts", { role: "group", "aria-label": "The servent now" }, parts.neighbours, parts.reach,
        h("span.rates", { role: "group", "aria-label": "Rates" }, parts.line, parts.down, parts.up), parts.turtle)),
    parts.lost,
    h("div.body", h("nav", { "aria-label": "Views" }, links), parts.main));
  window.onhashchange = show;
  listen();
  told(known.status);
  show();
}

function show() {
  if (!parts) return;
  const [, name, rest] = /^#\/(\w+)(?:\/(.*))?$/.exec(location.hash) || [];
  const found = VIEWS.find((view) => view[0] === name) || VIEWS[0];
  VIEWS.forEach((view, n) => {
    if (view === found) parts.links[n].setAttribute("aria-current", "page");
    else parts.links[n].removeAttribute("aria-current");
  });
  leave?.();
  parts.view = found[0];
  put(parts.main);
  leave = found[3](parts.main, known, rest ? decodeURIComponent(rest) : "") || null;
  title();
  if (parts.shown) { parts.main.focus({ preventScroll: true }); say(found[1]); }
  parts.shown = true;
}

function title() {
  const found = VIEWS.find((view) => view[0] === parts?.view);
  const done = transfers.overall();
  document.title = `${done === null ? "" : `${done}% · `}${found ? found[1] : "filbert"} · filbert`;
}

/** The servent told how it is. */
function told(status) {
  known.status = status;
  if (!parts) return;
  text(parts.neighbours, status.neighbours + status.leaves === 0 ? "No peers yet" : count(status.neighbours + status.leaves, "peer"));
  parts.neighbours.classList.toggle("alarm", status.neighbours + status.leaves === 0);
  text(parts.reach, { yes: "Reachable", no: "Behind a firewall" }[status.reachable] || "Reach not known yet");
  const { limits } = status;
  parts.turtle.setAttribute("aria-pressed", String(Boolean(limits?.turtle)));
  badge("peers", status.warnings.length ? "!" : "");
}

function badge(name, words) {
  const at = VIEWS.findIndex((view) => view[0] === name);
  const mark = parts.links[at].querySelector(".badge");
  mark.hidden = !words;
  text(mark, String(words));
}

/** The last minute, a point each second. */
function spark() {
  const { status } = known;
  known.rates.push([status?.down_bps || 0, status?.up_bps || 0]);
  known.rates.shift();
  if (!parts || document.hidden) return;
  text(parts.down, `↓ ${rate(status?.down_bps || 0)}`);
  text(parts.up, `↑ ${rate(status?.up_bps || 0)}`);
  const most = Math.max(1024, ...known.rates.flat());
  const line = (which) => known.rates.map((pair, n) => `${n ? "L" : "M"}${(120 - (known.rates.length - 1 - n) * (120 / 59)).toFixed(1)} ${(27 - (pair[which] / most) * 26).toFixed(1)}`).join("");
  put(parts.line, s("path", { d: line(0), class: "down" }), s("path", { d: line(1), class: "up" }));
  title();
}
setInterval(spark, 1000);

async function toggleTurtle() {
  try {
    const limits = await change("/api/v1/limits", { turtle: !known.status?.limits?.turtle });
    known.status.limits = limits;
    told(known.status);
    tell("limits", limits);
    toast(limits.turtle ? `Turtle: at most ${limits.down_now_bps === null ? "any rate" : rate(limits.down_now_bps)} down, ${limits.up_now_bps === null ? "any rate" : rate(limits.up_now_bps)} up` : "Full speed again");
  } catch (error) { trouble(error); }
}

on("status", told);
on("peers", ({ peers }) => { known.peers = peers; });
on("folders", ({ folders }) => { known.folders = folders; });
on("searches", ({ searches }) => { known.searches = searches.filter((one) => !isOwnList(one)); });
on("watches", (told) => {
  known.watches = told.watches;
  known.watchesAt = Date.now();
  if (parts) badge("watches", known.watches.reduce((sum, one) => sum + one.new, 0) || "");
});
on("watch_hit", watches.announce);
on("warning", ({ message }) => toast(message, { bad: true }));
on("link", (state) => {
  if (!parts) return;
  parts.lost.hidden = state === "up";
  document.body.classList.toggle("is-lost", state !== "up");
  if (state === "up") say("The servent answers");
});
window.addEventListener("locked", ({ detail }) => { if (parts) gate(detail === "log_in" ? "password" : "token"); });

/** Light, dark, high contrast, or as the system is. */
export function look(theme) {
  if (theme && theme !== "system") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** Whether it is the list of ourselves, which is no search of anybody. */
const isOwnList = (one) => one.query === `browse ${known.status?.listen.replace(/^(0\.0\.0\.0|\[::\]):/, "127.0.0.1:")}`;

// A magnet or a urn, pasted or dropped anywhere, is a download.
const isLink = (words) => /^(magnet:\?|urn:)/i.test(words.trim());
async function take(words) {
  try {
    const transfer = await post("/api/v1/transfers", { what: words.trim() });
    toast(`Fetching ${transfer.name}`, { hint: transfer.reason, action: "Show", act: () => { location.hash = "#/transfers"; } });
  } catch (error) { trouble(error); }
}
document.addEventListener("paste", (event) => {
  const words = event.clipboardData?.getData("text") || "";
  if (!parts || !isLink(words) || event.target.matches?.("#token")) return;
  event.preventDefault();
  take(words);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const words = event.dataTransfer?.getData("text") || "";
  if (parts && isLink(words)) take(words);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, textarea, select") || document.querySelector("dialog[open]");
  if (!parts || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = { "/": "search", "?": "help", g: null }[event.key];
  if (event.key === "/") {
    event.preventDefault();
    if (parts.view !== "search") location.hash = "#/search";
    setTimeout(() => document.getElementById("words")?.focus());
  } else if (to) {
    event.preventDefault();
    location.hash = `#/${to}`;
  } else if (event.key === "t") {
    toggleTurtle();
  } else if (/^[1-8]$/.test(event.key)) {
    location.hash = `#/${VIEWS[event.key - 1][0]}`;
  }
});

export { size };
