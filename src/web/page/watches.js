// Saved searches: asked again politely for as long as they are there, each content told once.

import { get, on, post, remove } from "./api.js";
import { button, count, empty, h, icon, kindOf, number, put, size, span, text, toast, trouble, typed } from "./ui.js";
import { holding } from "./transfers.js";

const TOLD = "notify";
const TOGETHER = 1000;
const canTell = "Notification" in window;
const tells = () => canTell && Notification.permission === "granted" && localStorage.getItem(TOLD) === "on";

/** Saves a search, and says so. */
export async function save(query, options = {}) {
  try {
    const watch = await post("/api/v1/watches", { query, ...options });
    toast(`“${watch.query}” is saved`, { hint: "It is asked again from time to time, and what is new is told.", action: "Show", act: () => { location.hash = "#/watches"; } });
    return watch;
  } catch (error) {
    trouble(error);
    return null;
  }
}

const waiting = new Map();

/**
 * Tells of what a saved search found: in the page, and on the desktop for who wants that and looks elsewhere. What comes
 * within a second is told at once.
 */
export function announce({ query, found, getting }) {
  const news = waiting.get(query);
  if (news) { news.files += 1; return; }
  waiting.set(query, { files: 1 });
  setTimeout(() => {
    const { files } = waiting.get(query);
    waiting.delete(query);
    const words = files > 1 ? `“${query}” found ${count(files, "new file")}` : `“${query}” found ${found.name}`;
    const hint = getting ? "Being fetched." : files > 1 ? `${found.name} and others` : size(found.size);
    const show = () => { location.hash = "#/watches"; };
    toast(words, { hint, action: "Show", act: show });
    if (!tells() || !document.hidden) return;
    const note = new Notification(words, { body: hint, icon: "/icon.svg", tag: `filbert-${query}` });
    note.onclick = () => { window.focus(); show(); note.close(); };
  }, TOGETHER);
}

export function view(main, known) {
  const words = h("input", { type: "text", id: "watch-words", placeholder: "kind of blue ext:flac", autocomplete: "off", spellcheck: "false", required: true });
  const most = h("input", { type: "text", id: "watch-most", placeholder: "100M", autocomplete: "off", spellcheck: "false", disabled: true });
  const fetch = h("input", { type: "checkbox", id: "watch-get", onchange: () => { most.disabled = !fetch.checked; } });
  const cards = h("div.cards");
  const telling = h("div");
  put(main, h("div.head", h("h1", "Saved searches"), telling), cards,
    h("form.panel", { onsubmit: add }, h("h2", "Save a search"),
      h("p.dim", "It is asked again from time to time, also while this page is closed. Each file is told once."),
      h("div.fields", h("div.field.wide", h("label", { for: "watch-words" }, "Words"), words), h("div.field", h("label", { for: "watch-most" }, "Fetch files up to"), most)),
      h("label.check", { for: "watch-get" }, fetch, "Fetch what it finds"),
      h("div.row", h("button.main", { type: "submit" }, icon("plus"), h("span", "Save")))));

  async function add(event) {
    event.preventDefault();
    const max = most.value.trim();
    if (!await save(words.value.trim(), { get: fetch.checked, ...(fetch.checked && max ? { max } : {}) })) return;
    words.value = most.value = "";
    fetch.checked = false;
    most.disabled = true;
    fresh().catch(trouble);
  }
  async function fresh() {
    known.watches = await get("/api/v1/watches");
    known.watchesAt = Date.now();
    redraw();
  }
  async function act(watch, what) {
    try { await post(`/api/v1/watches/${watch.id}/${what}`); await fresh(); } catch (error) { trouble(error); }
  }
  async function drop(watch) {
    try {
      await remove(`/api/v1/watches/${watch.id}`);
      await fresh();
      toast(`“${watch.query}” is saved no more`, { action: "Undo", act: async () => {
        try { await post("/api/v1/watches", { query: watch.query, get: watch.get, max: watch.max === null ? null : String(watch.max) }); await fresh(); } catch (error) { trouble(error); }
      } });
    } catch (error) { trouble(error); }
  }

  function permission() {
    if (!canTell || Notification.permission === "denied") return put(telling);
    const asked = tells();
    return put(telling, button("bell", asked ? "Notifications are on" : "Notify me", async () => {
      if (asked) localStorage.removeItem(TOLD);
      else if (await Notification.requestPermission() === "granted") localStorage.setItem(TOLD, "on");
      else toast("The browser does not let the page notify you", { bad: true, hint: "New hits are told in the page all the same." });
      permission();
    }, { pressed: String(asked), title: "By the desktop, while you look at something else" }));
  }

  const made = new Map();
  function redraw() {
    for (const [id, card] of made) if (!known.watches.some((watch) => watch.id === id)) { card.remove(); made.delete(id); }
    for (const watch of known.watches) {
      if (!made.has(watch.id)) { const card = cardOf(act, drop); made.set(watch.id, card); cards.append(card); }
      made.get(watch.id).show(watch, (Date.now() - known.watchesAt) / 1000);
    }
    if (!known.watches.length) put(cards, empty("bell", "No search is saved", "Save one, and filbert goes on looking: for what is rare, or not shared yet."));
    else cards.querySelector(".empty")?.remove();
  }
  permission();
  if (known.watches.length) redraw();
  fresh().catch(() => {});
  const stops = [on("watches", redraw), on("transfer", () => made.forEach((card) => card.hold()))];
  const clock = setInterval(redraw, 10_000);
  return () => { stops.forEach((stop) => stop()); clearInterval(clock); };
}

function cardOf(act, drop) {
  let now;
  let opened = -1;
  let rows = [];
  const name = h("span");
  const state = h("p.state");
  const facts = h("p.large");
  const found = h("ul.found", { hidden: true });
  const hits = button("chevron", "Show them", look);
  const pause = button("pause", "Pause", () => act(now, now.paused ? "resume" : "pause"));
  const card = h("article.card", h("div.head", h("h2.path", icon("bell"), name)), facts, state, found, h("div.row", hits, pause, button("stop", "Remove", () => drop(now))));
  hits.setAttribute("aria-expanded", "false");

  async function look() {
    found.hidden = !found.hidden;
    hits.setAttribute("aria-expanded", String(!found.hidden));
    text(hits.querySelector("span"), found.hidden ? "Show them" : "Hide them");
    if (!found.hidden) { await load(); if (now.new) act(now, "read"); }
  }
  async function load() {
    opened = now.hits;
    try {
      const all = await get(`/api/v1/watches/${now.id}/hits`);
      rows = all.reverse().slice(0, 100).map((hit) => {
        const fetch = button("down", "Get", async () => {
          try {
            const transfer = await post("/api/v1/transfers", { what: hit.urn, name: hit.name });
            toast(`Fetching ${transfer.name}`, { action: "Show", act: () => { location.hash = "#/transfers"; } });
          } catch (error) { trouble(error); }
        }, { kind: "get" });
        fetch.setAttribute("aria-label", `Get ${hit.name}`);
        const flag = h("span.flag");
        return Object.assign(h("li", h("span.kind." + kindOf(hit.name), { "aria-hidden": "true" }, (/\.([a-z0-9]{1,5})$/i.exec(hit.name)?.[1] || "file").toLowerCase()),
          h("div.what", h("span.name", { title: hit.name }, hit.name), h("span.dim", size(hit.size), " ", flag)), fetch), { hit, fetch, flag });
      });
      put(found, rows.length ? rows : h("li.dim", "Nothing yet."));
      card.hold();
    } catch (error) { trouble(error); }
  }
  card.hold = () => rows.forEach(({ hit, fetch, flag }) => {
    const held = holding(hit.urn);
    text(flag, held === "done" ? "· you have it" : held ? `· ${held}` : hit.urn ? "" : "· not hashed yet");
    fetch.disabled = !hit.urn || (Boolean(held) && held !== "failed" && held !== "cancelled");
  });
  card.show = (watch, since) => {
    now = watch;
    text(name, watch.query);
    text(facts, watch.hits ? `${number(watch.hits)} found${watch.new ? `, ${number(watch.new)} new` : ""}` : "Nothing found yet");
    const asked = watch.asked_ago_s === null ? "not asked yet" : `asked ${span(watch.asked_ago_s + since)} ago`;
    const next = watch.paused ? "paused" : watch.next_s === null || watch.next_s <= since ? "its turn comes next" : `again in ${span(watch.next_s - since)}`;
    const fetches = watch.get ? `; fetches what it finds${watch.max === null ? "" : ` up to ${typed(watch.max)}`}${watch.fetched ? `, ${count(watch.fetched, "file")} so far` : ""}` : "";
    text(state, `${asked}; ${next}${fetches}`);
    const label = watch.paused ? "Resume" : "Pause";
    if (pause.querySelector("span").textContent !== label) put(pause, icon(watch.paused ? "play" : "pause"), h("span", label));
    hits.disabled = !watch.hits;
    if (!found.hidden && watch.hits !== opened) load();
  };
  return card;
}
