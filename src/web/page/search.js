// Search: words in, hits as they come, one line for each content.

import { follow, on, post, remove } from "./api.js";
import { List } from "./list.js";
import { ask, button, copy, count, empty, h, icon, kindOf, number, put, say, size, text, toast, trouble } from "./ui.js";
import { holding } from "./transfers.js";
import { save } from "./watches.js";

// What is shown outlives the view: who comes back finds it as it was.
const state = { id: null, query: "", groups: new Map(), done: null, words: "", kind: "", only: false, sort: "sources", abort: null, hits: 0 };

// Files of a folder at once.
const MOST = 500;

const SORTS = [["sources", "Most sources"], ["name", "Name"], ["size", "Largest first"], ["near", "Nearest first"], ["new", "Newest first"]];
const ORDER = {
  sources: (a, b) => b.hits.length - a.hits.length || a.first - b.first,
  name: (a, b) => (a.fold < b.fold ? -1 : a.fold > b.fold ? 1 : a.first - b.first),
  size: (a, b) => b.size - a.size || a.first - b.first,
  near: (a, b) => a.hops - b.hops || a.first - b.first,
  new: (a, b) => b.first - a.first,
};

/** The view, or the list of one host when `rest` is `browse/HOST`. */
export function view(main, known, rest) {
  const field = h("input", { id: "words", type: "search", name: "words", placeholder: "Words, \"a phrase\", -without, ext:flac, size:>10M, or a magnet link",
    value: state.query, autocomplete: "off", spellcheck: "false", "aria-label": "Search words", enterkeyhint: "search" });
  const filter = h("input", { type: "search", placeholder: "Filter what came", value: state.words, "aria-label": "Filter the hits", oninput: () => { state.words = filter.value; redraw(); } });
  const kinds = h("select", { "aria-label": "Kind of file", onchange: () => { state.kind = kinds.value; redraw(); } },
    ["", "audio", "video", "image", "document", "archive", "program", "other"].map((kind) => h("option", { value: kind }, kind ? kind[0].toUpperCase() + kind.slice(1) : "Any kind")));
  const sorts = h("select", { "aria-label": "Order", onchange: () => { state.sort = sorts.value; redraw(); } }, SORTS.map(([name, label]) => h("option", { value: name }, label)));
  const only = h("input", { type: "checkbox", id: "only", onchange: () => { state.only = only.checked; redraw(); } });
  kinds.value = state.kind; sorts.value = state.sort; only.checked = state.only;
  const line = h("p.dim", { role: "status" });
  const hidden = h("p.hidden-count");
  const place = h("div.fill");
  const earlier = h("div.pills", { role: "group", "aria-label": "Searches of this run" });
  const tools = h("div.tools", filter, kinds, sorts, h("label.check", { for: "only" }, only, "Free now"));
  const stop = button("stop", "Stop", () => state.id && remove(`/api/v1/searches/${state.id}`).catch(trouble), { kind: "plain" });

  const keep = button("bell", "Save this search", () => save(state.query), { kind: "plain", title: "Goes on looking, and tells what is new" });

  const list = new List({
    label: "Hits; arrow keys move, Enter fetches, Space shows sources", height: [58, 94], key: (group) => group.key,
    make: row, update: refresh, detail,
    onkey: (key, group) => (key === "Enter" ? fetchIt(group) : key === "m" ? magnet(group) : key === "b" ? browse(group.hits[0].source.addr) : false),
  });

  put(main, h("h1.visually-hidden", "Search"),
    h("form.ask", { role: "search", onsubmit: (event) => { event.preventDefault(); begin(field.value.trim()); } },
      icon("search"), field, h("button.main", { type: "submit" }, "Search")),
    earlier, h("div.line", line, h("div.row.tight", keep, stop)), tools, hidden, place);

  async function begin(query) {
    if (!query) return field.focus();
    if (/^(magnet:\?|https?:\/\/)/i.test(query)) {
      try {
        const transfer = await post("/api/v1/transfers", { what: query });
        toast(`Fetching ${transfer.name}`, { action: "Show", act: () => { location.hash = "#/transfers"; } });
        field.value = "";
      } catch (error) { trouble(error); }
      return undefined;
    }
    forget(query);
    redraw();
    text(line, "Asking the neighbours…");
    try { attach((await post("/api/v1/searches", { query })).id); } catch (error) {
      state.failed = error;
      say(error.message);
      redraw();
    }
    return undefined;
  }

  function attach(id) {
    state.id = id;
    state.abort?.abort();
    const abort = state.abort = new AbortController();
    follow(`/api/v1/searches/${id}/hits?follow=1`, (lines) => {
      if (state.id !== id || abort.signal.aborted) return;
      for (const hit of lines) if (hit.event === "done") { state.done = hit; } else { take(hit); }
      soon();
    }, abort.signal).then(() => redraw()).catch((error) => { if (error.name !== "AbortError" && error.status !== 401) { state.failed = error; redraw(); } });
  }

  async function browse(host) {
    forget(`browse ${host}`);
    field.value = "";
    redraw();
    text(line, `Asking ${host} for its list…`);
    try { attach((await post("/api/v1/browse", { host })).id); } catch (error) { state.failed = error; redraw(); }
  }

  // At most four times a second, however fast they come.
  let timer = 0;
  function soon() { timer ||= setTimeout(() => { timer = 0; redraw(); }, 250); }

  function redraw() {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    const lost = { words: 0, kind: 0, busy: 0 };
    const shown = [];
    for (const group of state.groups.values()) {
      if (words.some((word) => !group.fold.includes(word))) lost.words += 1;
      else if (state.kind && group.kind !== state.kind) lost.kind += 1;
      else if (state.only && !group.free) lost.busy += 1;
      else shown.push(group);
    }
    shown.sort(ORDER[state.sort]);
    const away = lost.words + lost.kind + lost.busy;
    put(hidden, away ? [`${number(away)} hidden: `, [[lost.words, "by the filter"], [lost.kind, "of another kind"], [lost.busy, "busy now"]].filter(([n]) => n).map(([n, why]) => `${number(n)} ${why}`).join(", "), " ",
      h("button.link", { type: "button", onclick: () => { state.words = filter.value = ""; state.kind = kinds.value = ""; state.only = only.checked = false; redraw(); filter.focus(); } }, "Show them")] : null);
    hidden.hidden = !away;
    tools.hidden = state.groups.size === 0;
    const running = state.id !== null && !state.done;
    stop.hidden = !running;
    keep.hidden = !state.query || state.id === null || state.query.startsWith("browse ") || known.watches.some((one) => one.query === state.query);
    if (state.done) {
      const { neighbours_asked: asked, hits, files, elapsed_ms: ms, explain } = state.done;
      const left = Object.values(explain.left_out || {}).reduce((sum, n) => sum + n, 0);
      text(line, `${count(files, "file")} in ${count(hits, "hit")}${explain.browsed ? ` at ${explain.browsed}` : `, ${count(asked, "neighbour")} asked`}, ${(ms / 1000).toFixed(1)} s${left ? `; ${number(left)} left out (${Object.entries(explain.left_out).map(([why, n]) => `${n} ${why.replaceAll("_", " ")}`).join(", ")})` : ""}${explain.cut_short ? `; cut short: ${explain.cut_short}` : ""}`);
    } else if (running) {
      text(line, state.groups.size ? `${count(state.groups.size, "file")} in ${count(state.hits, "hit")} so far…` : "Waiting for answers…");
    } else if (state.id === null && !state.query) text(line, "");
    list.set(shown);
    if (shown.length) { if (list.root.parentNode !== place) put(place, list.root); } else put(place, nothing(away, running));
    pills();
  }

  function nothing(away, running) {
    if (state.failed) {
      return empty("warn", state.failed.message, state.failed.hint || "Try again in a moment.", h("a.button.main", { href: "#/peers" }, "Add a neighbour"));
    }
    if (running) return h("div.waiting", h("span.pulse"), h("p", "Hits appear here as they arrive."));
    if (away) return empty("search", "All of it is hidden", "Your filters leave nothing over.");
    if (state.done) return empty("search", "Nothing found", "Nobody who was asked has it. Fewer or other words find more; so do more neighbours.", h("a.button", { href: "#/peers" }, "Add a neighbour"));
    const alone = known.status && known.status.neighbours + known.status.leaves === 0;
    return alone
      ? empty("peers", "No peers yet", "On the same network: run filbert there and wait a moment. Elsewhere: add a host by its address.", h("a.button.main", { href: "#/peers" }, "Add a neighbour"))
      : empty("search", "What are you looking for?", "Your neighbours are asked, and theirs. Files come straight from who has them. You can paste a magnet link anywhere on this page.");
  }

  function pills() {
    const past = known.searches.slice(-6).reverse();
    const sign = past.map((one) => `${one.id}/${one.hits}/${one.id === state.id}`).join();
    if (earlier.sign === sign) return;
    earlier.sign = sign;
    put(earlier, past.map((one) => h("button.pill", { type: "button", "aria-pressed": String(one.id === state.id), onclick: () => {
      forget(one.query); field.value = one.query.startsWith("browse ") ? "" : one.query; attach(one.id); redraw();
    } }, one.query, h("span.dim", number(one.hits)))));
  }

  function detail(group) {
    const urn = group.hits.find((hit) => hit.urn)?.urn;
    return h("div.detail",
      h("table", h("caption.visually-hidden", "Sources"), h("thead", h("tr", ["Source", "Program", "Distance", "Came by", "Slots", h("span.visually-hidden", "Actions")].map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", group.hits.slice(0, 50).map((hit) => h("tr", h("td", { "data-head": "Source" }, h("code", hit.source.addr)), h("td", { "data-head": "Program" }, hit.source.vendor || "–"),
          h("td", { "data-head": "Distance" }, hit.hops ? count(hit.hops, "hop") : "by UDP"), h("td", { "data-head": "Came by" }, hit.via ? h("code", hit.via) : "–"),
          h("td", { "data-head": "Slots" }, hit.source.busy ? "all taken" : "free", hit.source.push ? ", behind a firewall" : ""),
          h("td", hit.source.browse && !hit.source.push ? h("button.link", { type: "button", onclick: () => browse(hit.source.addr) }, "Browse them") : null))))),
      group.hits.length > 50 ? h("p.dim", `and ${number(group.hits.length - 50)} more`) : null,
      h("p.dim", urn ? ["Content ", h("code.urn", urn)] : "Its content has no name yet: only the size can be checked after fetching."),
      h("div.row", holding(urn) ? null : button("down", "Get", () => fetchIt(group), { kind: "main" }), urn ? button("magnet", "Copy magnet", () => magnet(group)) : null, group.folder ? button("folder", `Get the folder ${group.folder}`, () => fetchFolder(group.folder)) : null));
  }

  const stops = [on("searches", pills), on("transfer", () => list.draw()), on("status", () => { if (!state.id && !state.groups.size) redraw(); })];
  if (rest.startsWith("browse/")) { browse(rest.slice(7)); history.replaceState(null, "", "#/search"); } else if (state.id && !state.done) attach(state.id);
  redraw();
  if (matchMedia("(min-width: 721px)").matches && !rest) field.focus();
  return () => { stops.forEach((end) => end()); clearTimeout(timer); list.leave(); state.abort?.abort(); };
}

function forget(query) {
  state.abort?.abort();
  Object.assign(state, { id: null, query, groups: new Map(), done: null, failed: null, hits: 0 });
}

function take(hit) {
  const key = hit.sha1 || hit.urn || `${hit.name.toLowerCase()}/${hit.size}`;
  let group = state.groups.get(key);
  if (!group) {
    group = { key, name: hit.name, fold: `${hit.folder || ""}/${hit.name}`.toLowerCase(), folder: hit.folder || "", size: hit.size, kind: kindOf(hit.name), hits: [], hops: 99, first: hit.hit, free: false, id: state.id };
    state.groups.set(key, group);
  }
  // A stream that is attached to anew begins again at the first hit.
  if (group.hits.some((other) => other.hit === hit.hit)) return;
  group.hits.push(hit);
  group.hops = Math.min(group.hops, hit.hops);
  group.free ||= !hit.source.busy;
  state.hits += 1;
}

function row(group) {
  const get = button("down", "Get", () => fetchIt(group), { kind: "get" });
  const more = button("chevron", `Sources of ${group.name}`, (event) => event.target.closest(".list").owner.toggle(group), { quiet: true, kind: "plain" });
  const element = h("div.hit", more, h("span.kind." + group.kind, { "aria-hidden": "true" }, extension(group.name)),
    h("div.what", h("span.name", { title: group.name }, group.name), h("span.dim.where", h("span"), h("span"))), h("span.size", size(group.size)), h("span.many"), h("span.flag"), get);
  Object.assign(element, { more, get, where: element.querySelector(".where"), many: element.querySelector(".many"), flag: element.querySelector(".flag") });
  return element;
}

function refresh(element, group, open) {
  const nearest = group.hits[0];
  const [folder, source] = element.where.children;
  text(folder, group.folder ? `${group.folder} · ` : "");
  text(source, `${nearest.source.vendor || "?"} at ${nearest.source.addr}${group.hops < 99 ? `, ${group.hops ? count(group.hops, "hop") : "by UDP"}` : ""}${nearest.urn ? "" : ", not hashed yet"}`);
  text(element.many, count(group.hits.length, "source"));
  const held = holding(group.hits.find((hit) => hit.urn)?.urn);
  text(element.flag, held === "done" ? "You have it" : held ? held : group.free ? "" : "Busy");
  element.get.title = element.flag.textContent;
  element.get.disabled = Boolean(held) && held !== "failed" && held !== "cancelled";
  element.more.setAttribute("aria-expanded", String(open));
}

const extension = (name) => (/\.([a-z0-9]{1,5})$/i.exec(name)?.[1] || "file").toLowerCase();

async function fetchIt(group) {
  const hit = group.hits.find((one) => !one.source.busy) || group.hits[0];
  try {
    const transfer = await post("/api/v1/transfers", { what: String(hit.hit), search: group.id });
    toast(`Fetching ${transfer.name}`, { hint: transfer.reason, action: "Show", act: () => { location.hash = "#/transfers"; } });
  } catch (error) { trouble(error); }
  return true;
}

/** All of a folder, and of those in it, with the folders as they are there. */
async function fetchFolder(folder) {
  const inside = [...state.groups.values()].filter((group) => (group.folder === folder || group.folder.startsWith(`${folder}/`)) && !holding(group.hits.find((hit) => hit.urn)?.urn));
  const bytes = inside.reduce((sum, group) => sum + group.size, 0);
  if (inside.length > MOST) return toast(`${count(inside.length, "file")} are in ${folder}; ${number(MOST)} are fetched at once`, { bad: true, hint: `A folder in it may do, or: filbert get --folder "${folder}"` });
  if (!inside.length) return toast(`All of ${folder} is here or on its way`);
  if (!await ask("Get the whole folder?", `${count(inside.length, "file")}, ${size(bytes)}, from ${folder}.`, "Get it")) return undefined;
  let begun = 0;
  for (const group of inside) {
    try {
      await post("/api/v1/transfers", { what: String(group.hits[0].hit), search: group.id, template: "{dir}/{name}" });
      begun += 1;
    } catch (error) { trouble(error); if (!error.status) break; }
  }
  toast(`Fetching ${count(begun, "file")}`, { action: "Show", act: () => { location.hash = "#/transfers"; } });
  return undefined;
}

async function magnet(group) {
  const urn = group.hits.find((hit) => hit.urn)?.urn;
  if (!urn) return toast("It has no content name yet, so there is no magnet of it", { bad: true });
  const sources = group.hits.filter((hit) => !hit.source.push).slice(0, 4).map((hit) => `&xs=${encodeURIComponent(`${"http:"}//${hit.source.addr}/uri-res/N2R?${urn}`)}`).join("");
  await copy(`magnet:?xt=${urn}&dn=${encodeURIComponent(group.name)}&xl=${group.size}${sources}`, "The magnet link");
  return true;
}
