// Transfers: what comes and goes, how far it is, and why it waits.

import { get, on, post, remove } from "./api.js";
import { List } from "./list.js";
import { ask, button, copy, count, empty, h, icon, kindOf, number, put, rate, size, span, text, toast, trouble } from "./ui.js";

const all = new Map();
const byUrn = new Map();
const state = { loaded: false, show: "all", words: "" };
const OVER = new Set(["done", "failed", "cancelled"]);
const RUNNING = new Set(["downloading", "uploading", "verifying", "connecting"]);
const WORDS = { waiting: "waiting for source" };
const RANK = { downloading: 0, uploading: 0, verifying: 1, connecting: 2, queued: 3, waiting: 4, paused: 5, failed: 6, done: 7, cancelled: 8 };

// Of what is over, so many are kept: the servent keeps fewer, and a page may be open for weeks.
const KEPT = 1000;
const over = new Set();

function keep(transfer) {
  all.set(transfer.id, transfer);
  if (transfer.urn && transfer.direction === "down") byUrn.set(transfer.urn, transfer);
  if (!OVER.has(transfer.state)) over.delete(transfer.id);
  else if (over.add(transfer.id).size > KEPT) forget(over.values().next().value);
}

function forget(id) {
  const gone = all.get(id);
  over.delete(id);
  all.delete(id);
  if (gone && byUrn.get(gone.urn) === gone) byUrn.delete(gone.urn);
}

async function load() {
  const transfers = await get("/api/v1/transfers");
  all.clear();
  byUrn.clear();
  over.clear();
  transfers.forEach(keep);
  state.loaded = true;
}

// The stream begins anew after a loss, or when too much happened at once: then what was missed is fetched.
on("link", (link) => { if (link === "up") load().then(redrawAll).catch(() => {}); });
on("missed", () => load().then(redrawAll).catch(() => {}));
on("transfer", (transfer) => {
  const before = all.get(transfer.id);
  keep(transfer);
  if (transfer.direction === "down" && transfer.state === "done" && before && before.state !== "done") {
    toast(`${transfer.name} is here`, { hint: transfer.path || "" });
  } else if (transfer.state === "failed" && before && before.state !== "failed") {
    toast(`${transfer.name} failed`, { bad: true, hint: transfer.reason });
  }
  redrawAll();
});
let redraws = new Set();
let timer = 0;
function redrawAll() { timer ||= setTimeout(() => { timer = 0; redraws.forEach((redraw) => redraw()); }, 200); }

/** The state of the download of that content, if there is one. */
export function holding(urn) {
  const transfer = urn && byUrn.get(urn);
  return transfer ? (transfer.state === "cancelled" ? "" : transfer.state) : "";
}

/** How far all downloads that go on are, in per cent; null when there is none. */
export function overall() {
  let done = 0;
  let of = 0;
  for (const transfer of byUrn.values()) if (!OVER.has(transfer.state) && transfer.state !== "paused" && transfer.size) { done += transfer.done; of += transfer.size; }
  return of ? Math.floor((done / of) * 100) : null;
}

const SHOWS = [["all", "All", () => true], ["down", "Downloads", (t) => t.direction === "down"], ["up", "Uploads", (t) => t.direction === "up"],
  ["now", "Under way", (t) => !OVER.has(t.state)], ["over", "Finished", (t) => OVER.has(t.state)]];

export function view(main) {
  const filter = h("input", { type: "search", placeholder: "Filter by name", value: state.words, "aria-label": "Filter transfers", oninput: () => { state.words = filter.value; redraw(); } });
  const tabs = SHOWS.map(([name, label]) => h("button.pill", { type: "button", onclick: () => { state.show = name; redraw(); } }, label, h("span.dim")));
  const hidden = h("p.hidden-count");
  const place = h("div.fill");
  const pauseAll = button("pause", "Pause all", () => each("pause"));
  const resumeAll = button("play", "Resume all", () => each("resume"));
  const list = new List({
    label: "Transfers; arrow keys move, Space shows parts and sources, p pauses", height: [76, 104], key: (transfer) => transfer.id,
    make: row, update: refresh, detail: (transfer) => parts(transfer.id),
    onkey: (key, transfer) => (key === "p" ? pause(transfer) : key === "m" ? magnet(transfer) : key === "Enter" ? (list.toggle(transfer), true) : false),
  });
  put(main, h("div.head", h("h1", "Transfers"), h("div.row", pauseAll, resumeAll)),
    h("div.tools", h("div.pills", { role: "group", "aria-label": "Which" }, tabs), filter), hidden, place);

  function redraw() {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    const test = SHOWS.find(([name]) => name === state.show)[2];
    const counts = SHOWS.map(() => 0);
    const shown = [];
    let away = 0;
    let [paused, runs] = [false, false];
    for (const transfer of all.values()) {
      SHOWS.forEach(([, , is], n) => { if (is(transfer)) counts[n] += 1; });
      if (transfer.direction === "down") { if (transfer.state === "paused") paused = true; else if (!OVER.has(transfer.state)) runs = true; }
      if (!test(transfer)) continue;
      const fold = transfer.name.toLowerCase();
      if (words.every((word) => fold.includes(word))) shown.push(transfer); else away += 1;
    }
    shown.sort((a, b) => RANK[a.state] - RANK[b.state] || b.id - a.id);
    tabs.forEach((tab, n) => { tab.setAttribute("aria-pressed", String(SHOWS[n][0] === state.show)); text(tab.lastChild, number(counts[n])); });
    pauseAll.disabled = !runs;
    resumeAll.disabled = !paused;
    hidden.hidden = !away;
    put(hidden, away ? [`${number(away)} hidden by the filter `, h("button.link", { type: "button", onclick: () => { state.words = filter.value = ""; redraw(); } }, "Show them")] : null);
    list.set(shown);
    if (shown.length) { if (list.root.parentNode !== place) put(place, list.root); } else {
      put(place, !state.loaded ? h("div.waiting", h("span.pulse")) : state.show === "up"
        ? empty("up", "Nobody fetches from you now", "What others take from your shares shows here.", h("a.button", { href: "#/shares" }, "Share a folder"))
        : empty("transfers", all.size ? "None of that kind" : "No transfers yet", "Find something and press Get, or paste a magnet link anywhere on this page.", h("a.button.main", { href: "#/search" }, "Search")));
    }
  }

  redraws.add(redraw);
  load().then(redraw).catch(() => {});
  redraw();
  return () => { redraws.delete(redraw); list.leave(); };
}

async function each(act) {
  const wanted = [...all.values()].filter((t) => t.direction === "down" && (act === "pause" ? !OVER.has(t.state) && t.state !== "paused" : t.state === "paused"));
  let n = 0;
  const left = wanted.values();
  // A few at a time: the servent writes them down together.
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (const transfer of left) { try { keep(await post(`/api/v1/transfers/${transfer.id}/${act}`)); n += 1; } catch (error) { if (!error.status) { trouble(error); return; } } }
  }));
  redrawAll();
  toast(`${act === "pause" ? "Paused" : "Resumed"} ${count(n, "download")}`, act === "pause" && n ? { action: "Undo", act: () => each("resume") } : {});
}

function row(transfer) {
  const more = button("chevron", `Parts and sources of ${transfer.name}`, (event) => event.target.closest(".list").owner.toggle(all.get(transfer.id)), { quiet: true, kind: "plain" });
  const bar = h("progress", { max: "1000", "aria-label": `Progress of ${transfer.name}` });
  const toggle = button("pause", "Pause", () => pause(all.get(transfer.id)), { quiet: true });
  const again = button("retry", "Try now", () => act(transfer.id, "retry"), { quiet: true });
  const drop = button("stop", "Cancel", () => cancel(all.get(transfer.id)), { quiet: true });
  const element = h("div.transfer", more, h("span.way", { title: transfer.direction === "up" ? "Upload" : "Download" }, icon(transfer.direction === "up" ? "up" : "down"), h("span.visually-hidden", transfer.direction === "up" ? "Upload" : "Download")),
    h("div.what", h("span.name", { title: transfer.name }, transfer.name), bar, h("span.dim.reason")),
    h("div.numbers", h("span.state"), h("span.amount"), h("span.dim.speed")), h("div.acts", toggle, again, drop));
  for (const part of ["reason", "state", "amount", "speed"]) element[part] = element.querySelector(`.${part}`);
  return Object.assign(element, { more, bar, toggle, again, drop });
}

function refresh(element, transfer, open) {
  const { size: of, done, state: now, direction } = transfer;
  const share = of ? Math.min(1000, Math.floor((done / of) * 1000)) : now === "done" ? 1000 : 0;
  if (element.bar.value !== share) element.bar.value = share;
  if (element.now !== now) { element.dataset.state = now; element.now = now; }
  text(element.state, WORDS[now] || now);
  text(element.reason, transfer.reason || "");
  text(element.amount, of ? `${Math.floor(share / 10)}% of ${size(of)}` : size(done));
  const eta = transfer.eta_s !== null ? `, ${span(transfer.eta_s)} left` : "";
  const next = transfer.next_try_s ? `next try in ${span(transfer.next_try_s)}` : "";
  const average = OVER.has(now) && transfer.elapsed_ms > 0 && done ? `⌀ ${rate(Math.round((done * 1000) / transfer.elapsed_ms))}` : "";
  text(element.speed, transfer.rate_bps ? `${rate(transfer.rate_bps)}${eta}` : next || average || (direction === "down" && !OVER.has(now) ? count(transfer.sources, "source") : ""));
  const over = OVER.has(now);
  const up = direction === "up";
  element.toggle.hidden = over || up;
  element.again.hidden = up || !(now === "failed" || now === "waiting" || now === "cancelled");
  element.drop.hidden = over || up;
  const paused = now === "paused";
  if (element.paused !== paused) {
    element.paused = paused;
    element.toggle.setAttribute("aria-label", paused ? "Resume" : "Pause");
    element.toggle.title = paused ? "Resume" : "Pause";
    put(element.toggle, icon(paused ? "play" : "pause"));
  }
  element.more.setAttribute("aria-expanded", String(open));
}

async function act(id, what) {
  try { keep(await post(`/api/v1/transfers/${id}/${what}`)); redrawAll(); } catch (error) { trouble(error); }
  return true;
}

function pause(transfer) {
  if (transfer.direction === "up" || OVER.has(transfer.state)) return false;
  act(transfer.id, transfer.state === "paused" ? "resume" : "pause");
  return true;
}

async function cancel(transfer) {
  if (transfer.done && !await ask("Cancel this download?", `${size(transfer.done)} of ${transfer.name} are here already; they are deleted.`, "Cancel it", { danger: true })) return;
  try { keep(await remove(`/api/v1/transfers/${transfer.id}`)); redrawAll(); } catch (error) { trouble(error); }
}

async function magnet(transfer) {
  try { await copy((await get(`/api/v1/magnet?transfer=${transfer.id}`)).magnet, "The magnet link"); } catch (error) { trouble(error); }
  return true;
}

// What a player can begin with before all of it is here.
const PLAYED = new Set(["audio", "video"]);

/** The address where a player finds a file, also while it comes; from then on it comes front first. */
async function play(id) {
  try { await copy((await post(`/api/v1/transfers/${id}/play`)).url, "The address for a player"); } catch (error) { trouble(error); }
}

/** What an open row shows: where it lies, the map of its parts, its sources. */
function parts(id) {
  const map = h("canvas.map", { role: "img" });
  const legend = h("p.legend.dim");
  const sources = h("tbody");
  const facts = h("dl.facts-list");
  const transfer = all.get(id);
  const down = transfer.direction === "down";
  const level = h("select", { "aria-label": "Priority", onchange: () => post(`/api/v1/transfers/${id}/priority`, { priority: level.value }).then(keep).catch(trouble) },
    ["high", "normal", "low"].map((name) => h("option", { value: name }, `${name[0].toUpperCase()}${name.slice(1)} priority`)));
  level.value = transfer.priority || "normal";
  const root = h("div.detail", facts,
    down ? [map, legend, h("table", h("caption.visually-hidden", "Sources"), h("thead", h("tr", ["Source", "State", "Brought", "Rate"].map((head) => h("th", { scope: "col" }, head)))), sources),
      h("div.row", button("magnet", "Copy magnet", () => magnet(all.get(id))), PLAYED.has(kindOf(transfer.name)) && !["failed", "cancelled"].includes(transfer.state) ? button("play", "Copy address for a player", () => play(id)) : null, OVER.has(transfer.state) ? null : level)]
      : h("div.row", h("a.button", { href: `#/search/browse%2F${encodeURIComponent(transfer.peer || "")}` }, icon("eye"), "Browse them")));
  let busy = false;
  let last = 0;
  let later = 0;
  async function redraw() {
    if (!root.isConnected && last) return stop();
    const now = all.get(id);
    if (!now) return undefined;
    // At most once a second; what comes in between is drawn after it.
    if (busy || Date.now() - last < 900) { later ||= setTimeout(() => { later = 0; redraw(); }, 950); return undefined; }
    busy = true;
    last = Date.now();
    const fact = (name, value) => (value ? [h("dt", name), h("dd", value)] : null);
    put(facts, fact(down ? "Where" : "To", down ? h("code", now.path || "") : h("code", now.peer || "")), fact("Content", now.urn && h("code.urn", now.urn)),
      fact("Checked", now.verified && (now.verified === "none" ? "only its size could be checked" : `by its ${now.verified.toUpperCase()}`)), fact("Took", OVER.has(now.state) && span(now.elapsed_ms / 1000)));
    if (down) {
      try {
        const blocks = await get(`/api/v1/transfers/${id}/blocks`);
        draw(map, legend, blocks);
        const brought = new Map((now.from || []).map((from) => [from.addr, from]));
        put(sources, blocks.sources.map((source, n) => h("tr", h("td", { "data-head": "Source" }, h("span.swatch", { "data-n": n % 6 }), h("code", source.addr)),
          h("td", { "data-head": "State" }, source.banned ? "banned: it lied" : source.words), h("td", { "data-head": "Brought" }, brought.has(source.addr) ? size(brought.get(source.addr).bytes) : "–"), h("td", { "data-head": "Rate" }, source.rate_bps ? rate(source.rate_bps) : "–"))));
      } catch { /* It is gone, or the servent is: the row says so. */ }
    }
    busy = false;
    return undefined;
  }
  const stop = on("transfer", (changed) => { if (changed.id === id) redraw(); });
  redraw();
  return root;
}

/** Draws the blocks in as many cells as there is room for, large ones if they are few; a cell is as full as its blocks are. */
function draw(canvas, legend, { blocks, runs, block_size: unit }) {
  const room = Math.max(200, canvas.parentElement?.clientWidth - 2 || 600);
  const cells = Math.min(blocks || 1, Math.floor(room / 9) * 6);
  const wide = Math.max(9, Math.min(48, Math.floor(room / cells)));
  const tall = Math.max(12, Math.min(26, wide));
  const across = Math.max(1, Math.min(cells, Math.floor(room / wide)));
  const down = Math.ceil(cells / across);
  const scale = window.devicePixelRatio || 1;
  canvas.width = across * wide * scale;
  canvas.height = down * tall * scale;
  canvas.style.width = `${across * wide}px`;
  canvas.style.height = `${down * tall}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  const tints = { missing: colour("--block"), stored: colour("--good"), filling: colour("--accent") };
  const total = { stored: 0, filling: 0, asked: 0, missing: 0 };
  const cover = Array.from({ length: cells }, () => ({ stored: 0, filling: 0, asked: 0, missing: 0, source: null }));
  let at = 0;
  for (const run of runs) {
    total[run.state] += run.blocks;
    for (let n = at; n < at + run.blocks; n += 1) {
      const cell = cover[Math.min(cells - 1, Math.floor((n * cells) / blocks))];
      cell[run.state] += 1;
      if (run.source !== null) cell.source = run.source;
    }
    at += run.blocks;
  }
  cover.forEach((cell, n) => {
    const x = (n % across) * wide;
    const y = Math.floor(n / across) * tall;
    const [w, height] = wide > 12 ? [wide - 3, tall - 3] : [8, 10];
    pen.fillStyle = tints.missing;
    pen.fillRect(x, y, w, height);
    const have = cell.stored / Math.max(1, cell.stored + cell.filling + cell.asked + cell.missing);
    if (cell.source !== null || cell.filling) {
      pen.fillStyle = cell.source === null ? tints.filling : colour(`--source-${cell.source % 6}`);
      const lit = height * (cell.filling ? .7 : .2);
      pen.fillRect(x, y + height - lit, w, lit);
    }
    pen.fillStyle = tints.stored;
    pen.fillRect(x, y + height * (1 - have), w, height * have);
  });
  const words = `${count(total.stored, "part")} of ${number(blocks)} stored, ${number(total.filling)} coming in, ${number(total.asked)} asked for, ${number(total.missing)} missing`;
  canvas.setAttribute("aria-label", words);
  text(legend, `${words}; a part is ${size(unit)}`);
}
