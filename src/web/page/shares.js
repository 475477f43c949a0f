// Shares: what you offer, a preview before it, and what strangers see of it.

import { follow, get, on, post, remove } from "./api.js";
import { List } from "./list.js";
import { button, count, empty, h, icon, kindOf, number, put, say, size, span, text, toast, trouble } from "./ui.js";

export function view(main, known) {
  const path = h("input", { type: "text", id: "folder", name: "folder", placeholder: "/home/you/Music", autocomplete: "off", spellcheck: "false" });
  const without = h("input", { type: "text", id: "without", placeholder: "*.iso drafts/**", autocomplete: "off", spellcheck: "false" });
  const chooser = h("div.chooser", { hidden: true });
  const preview = h("div", { "aria-live": "polite" });
  const cards = h("div.cards");
  const form = h("form.panel", { onsubmit: (event) => { event.preventDefault(); look(false); } },
    h("h2", "Share a folder"),
    h("p.dim", "First you see what it would mean. Nothing is shared before you say so."),
    h("div.fields", h("div.field.wide", h("label", { for: "folder" }, "Folder"), h("div.row.tight", path, button("folder", "Choose", choose))),
      h("div.field", h("label", { for: "without" }, "Leave out (patterns)"), without)),
    chooser,
    h("div.row", h("button.main", { type: "submit" }, icon("eye"), h("span", "Preview"))), preview);
  put(main, h("div.head", h("h1", "Shares"), h("a.button", { href: "#/strangers" }, icon("eye"), "What strangers see")), cards, form);

  async function choose() {
    chooser.hidden = !chooser.hidden;
    if (!chooser.hidden) await into(path.value.trim());
  }
  async function into(where) {
    try {
      const here = await get(`/api/v1/folders${where ? `?path=${encodeURIComponent(where)}` : ""}`);
      path.value = here.path;
      const join = (name) => `${here.path === "/" ? "" : here.path}/${name}`;
      put(chooser, h("ul", { "aria-label": `Folders in ${here.path}` },
        here.parent && h("li", h("button.plain", { type: "button", onclick: () => into(here.parent) }, icon("up"), h("span", "One up"))),
        here.folders.map((name) => h("li", h("button.plain", { type: "button", onclick: () => into(join(name)) }, icon("folder"), h("span", name)))),
        here.folders.length ? null : h("li.dim", "No folders in it")));
    } catch (error) {
      if (where) await into(""); else trouble(error);
    }
  }

  const request = (meant) => ({ path: path.value.trim(), i_mean_it: meant, exclude: without.value.split(/\s+/).filter(Boolean) });
  async function look(meant) {
    if (!path.value.trim()) return path.focus();
    put(preview, h("div.waiting", h("span.pulse"), h("p", "Looking through it…")));
    try {
      const seen = await post("/api/v1/shares/preview", request(meant));
      const skipped = Object.values(seen.skipped).reduce((sum, n) => sum + n, 0);
      put(preview, h("div.preview",
        h("p.large", count(seen.files, "file"), ", ", size(seen.bytes)),
        h("p", "Everyone who connects can find and fetch them."),
        skipped ? h("p.dim", `${number(skipped)} left out: ${Object.entries(seen.skipped).map(([why, n]) => `${why} ${number(n)}`).join(", ")}.`) : null,
        seen.left_out.length ? h("details", h("summary", "Cannot be read"), h("ul", seen.left_out.map((one) => h("li", h("code", one.path), one.why ? ` ${one.why}` : "")))) : null,
        seen.looks_private.length ? h("div.alarm.box", icon("warn"), h("div", h("p", h("strong", "Looks private: "), seen.looks_private.slice(0, 8).join(", "), seen.looks_private.length > 8 ? ` and ${number(seen.looks_private.length - 8)} more` : ""), h("p.dim", "Leave them out by a pattern above, or choose another folder."))) : null,
        h("div.row", button("check", `Share ${seen.files ? count(seen.files, "file") : "it"}`, () => share(meant), { kind: "main" }), button("stop", "Do not share", () => put(preview)))));
      say(`${count(seen.files, "file")}, ${size(seen.bytes)}`);
    } catch (error) {
      put(preview, h("div.alarm.box", { role: "alert" }, icon("warn"), h("div", h("p", error.message), error.hint && h("p.dim", error.hint),
        error.code === "refused" && !meant && /i-mean-it|mean it/i.test(`${error.message} ${error.hint}`) ? h("div.row", button("eye", "I mean it: show the preview", () => look(true))) : null)));
    }
    return undefined;
  }
  async function share(meant) {
    try {
      const made = await post("/api/v1/shares", request(meant));
      put(preview);
      path.value = without.value = "";
      chooser.hidden = true;
      toast(`${made.path} is shared`, { hint: "It can be found at once, and is hashed in the background." });
      await fresh();
    } catch (error) { trouble(error); }
  }
  // Asked for, not waited for: what is undone within a second is no news to the servent.
  async function fresh() {
    known.folders = await get("/api/v1/shares");
    redraw();
  }
  async function unshare(folder) {
    try {
      await remove(`/api/v1/shares?path=${encodeURIComponent(folder.path)}`);
      known.folders = known.folders.filter((one) => one.path !== folder.path);
      redraw();
      toast(`${folder.path} is not shared any more`, { action: "Undo", act: async () => {
        try { await post("/api/v1/shares", { path: folder.path, exclude: folder.exclude, i_mean_it: true }); await fresh(); } catch (error) { trouble(error); }
      } });
    } catch (error) { trouble(error); }
  }

  const made = new Map();
  function redraw() {
    for (const [where, card] of made) if (!known.folders.some((folder) => folder.path === where)) { card.remove(); made.delete(where); }
    for (const folder of known.folders) {
      if (!made.has(folder.path)) { const fresh = cardOf(folder, unshare); made.set(folder.path, fresh); cards.append(fresh); }
      made.get(folder.path).show(folder);
    }
    if (!known.folders.length) put(cards, empty("shares", "You share nothing yet", "Choose a folder below. Only what you name is ever shared, and nothing outside of it can be read."));
    else cards.querySelector(".empty")?.remove();
  }
  fresh().catch(() => {});
  return on("folders", redraw);
}

function cardOf(first, unshare) {
  let now = first;
  const facts = h("p.large");
  const state = h("span.state");
  const bar = h("progress", { max: "1000", "aria-label": `Hashing of ${first.path}` });
  const notes = h("div");
  const card = h("article.card", h("div.head", h("h2.path", icon("folder"), h("span", first.path)), state), facts, bar, notes,
    h("div.row", button("stop", "Stop sharing", () => unshare(now))));
  let sign = "";
  card.show = (folder) => {
    now = folder;
    text(facts, `${count(folder.files, "file")}, ${size(folder.bytes)}`);
    const hashing = folder.state === "hashing";
    text(state, folder.state === "scanning" ? "scanning…" : hashing ? `hashing ${number(folder.hashed)} of ${number(folder.files)}${folder.eta_s ? `, ${span(folder.eta_s)} to go` : ""}` : folder.state + (folder.this_run_only ? ", this run only" : ""));
    bar.hidden = !hashing && folder.state !== "scanning";
    if (hashing) bar.value = folder.bytes ? Math.floor(((folder.bytes - folder.unhashed_bytes) / folder.bytes) * 1000) : 0; else bar.removeAttribute("value");
    const fresh = JSON.stringify([folder.skipped, folder.left_out, folder.looks_private, folder.exclude, folder.warnings]);
    if (fresh === sign) return;
    sign = fresh;
    const skipped = Object.values(folder.skipped).reduce((sum, n) => sum + n, 0);
    put(notes,
      folder.exclude.length ? h("p.dim", "Without ", h("code", folder.exclude.join(" "))) : null,
      skipped ? h("details", h("summary", `${number(skipped)} left out: ${Object.entries(folder.skipped).map(([why, n]) => `${why} ${number(n)}`).join(", ")}`),
        h("ul.files", folder.left_out.slice(0, 200).map((one) => h("li", h("code", one.path), h("span.dim", ` ${one.reason}${one.why ? `: ${one.why}` : ""}`))))) : null,
      folder.looks_private.length ? h("p.alarm", icon("warn"), ` Looks private: ${folder.looks_private.slice(0, 5).join(", ")}${folder.looks_private.length > 5 ? ` and ${number(folder.looks_private.length - 5)} more` : ""}`) : null,
      folder.warnings.map((warning) => h("p.alarm", icon("warn"), ` ${warning}`)));
  };
  return card;
}

/** What strangers see: the list that the servent gives to anybody, asked for over the wire. */
export function strangers(main, known) {
  const line = h("p.dim", { role: "status" }, "Asking ourselves as a stranger would…");
  const filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter the files", oninput: () => redraw() });
  const hidden = h("p.hidden-count");
  const place = h("div.fill");
  const hits = [];
  const abort = new AbortController();
  const list = new List({ label: "Files that strangers see", height: [56, 62], key: (hit) => hit.hit,
    make: (hit) => h("div.hit.stranger", h("span.kind." + kindOf(hit.name), { "aria-hidden": "true" }, (/\.([a-z0-9]{1,5})$/i.exec(hit.name)?.[1] || "file").toLowerCase()),
      h("div.what", h("span.name", { title: hit.name }, hit.name), h("span.dim.where", hit.urn || "not hashed yet: it can be fetched by its number only")), h("span.size", size(hit.size))), update: () => {} });
  put(main, h("div.head", h("h1", "What strangers see"), button("retry", "Look again", () => { location.hash = "#/strangers"; dispatchEvent(new HashChangeEvent("hashchange")); })),
    h("p", "This is the list that your servent gives to whoever connects and asks for it: read from outside, over the same wire, just now. Your address, ", h("code", own(known.status.listen)), ", your search words and these names are not secret."),
    line, h("div.tools", filter), hidden, place);
  function redraw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = words.length ? hits.filter((hit) => words.every((word) => hit.name.toLowerCase().includes(word))) : hits;
    hidden.hidden = shown.length === hits.length;
    text(hidden, `${number(hits.length - shown.length)} hidden by the filter`);
    list.set(shown);
    if (shown.length && list.root.parentNode !== place) put(place, list.root);
  }
  let timer = 0;
  (async () => {
    try {
      const began = await post("/api/v1/browse", { host: own(known.status.listen), keep_numbers: true });
      let bytes = 0;
      await follow(`/api/v1/searches/${began.id}/hits?follow=1`, (lines) => {
        for (const hit of lines) if (!hit.event) { hits.push(hit); bytes += hit.size; }
        text(line, `${count(hits.length, "file")}, ${size(bytes)}`);
        timer ||= setTimeout(() => { timer = 0; redraw(); }, 250);
      }, abort.signal);
      redraw();
      text(line, `${count(hits.length, "file")}, ${size(bytes)}, read over the wire at ${new Date().toLocaleTimeString()}`);
      if (!hits.length) put(place, empty("eye", "Nothing", "Nobody can see or fetch any file of yours, because you share none.", h("a.button.main", { href: "#/shares" }, "Share a folder")));
    } catch (error) {
      if (error.name === "AbortError") return;
      text(line, "");
      put(place, empty(error.code === "refused" ? "lock" : "warn", error.code === "refused" ? "Strangers get no list" : error.message,
        error.code === "refused" ? "Your servent does not show its list (browse = false). Single files can still be found by searching." : error.hint || "Look again in a moment."));
    }
  })();
  return () => { abort.abort(); clearTimeout(timer); list.leave(); };
}

/** Our own address as we can reach it. */
function own(listen) {
  return listen.replace(/^0\.0\.0\.0:/, "127.0.0.1:").replace(/^\[::\]:/, "127.0.0.1:");
}
