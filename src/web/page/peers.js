// Peers: who is linked, a picture of the neighbourhood, and where the last query travelled.

import { change, get, on, post, remove } from "./api.js";
import { button, count, empty, h, icon, number, put, rate, s, span, text, toast, trouble } from "./ui.js";

let before = new Map();

export function view(main, known) {
  const host = h("input", { type: "text", id: "host", name: "host", placeholder: "attic.local or 192.168.1.20:6346", autocomplete: "off", spellcheck: "false", required: true });
  const add = h("button.main", { type: "submit" }, icon("plus"), h("span", "Add neighbour"));
  const body = h("tbody");
  const table = h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Table of peers" }, h("table.cards-when-narrow", h("caption.visually-hidden", "Connected peers"), h("thead", h("tr", ["Address", "Program", "Role", "Traffic", "Queries", "Dropped", "Linked", h("span.visually-hidden", "Actions")].map((head) => h("th", { scope: "col" }, head)))), body));
  const picture = h("div.picture");
  const trail = h("p.dim");
  const warnings = h("div");
  const size = h("input", { type: "number", min: "0", max: "1000", id: "neighbours", value: String(known.wanted || ""), placeholder: "8" });
  put(main, h("div.head", h("h1", "Peers")), warnings,
    h("div.two", h("section.panel", { "aria-labelledby": "picture" }, h("h2", { id: "picture" }, "Your neighbourhood"), picture, trail),
      h("section.panel", { "aria-labelledby": "more" }, h("h2", { id: "more" }, "Add a neighbour"),
        h("form", { onsubmit: connect }, h("div.field", h("label", { for: "host" }, "Address of a host"), host), h("div.row", add)),
        h("form", { onsubmit: resize }, h("div.field", h("label", { for: "neighbours" }, "Neighbours to keep by ourselves"), h("div.row.tight", size, h("button", { type: "submit" }, "Set")))),
        h("p.dim", "On the same network filberts find each other. From elsewhere, say the address of one; it tells of others."))),
    h("section.panel", { "aria-labelledby": "linked" }, h("h2", { id: "linked" }, "Linked now"), table));

  async function connect(event) {
    event.preventDefault();
    add.disabled = true;
    try {
      const peer = await post("/api/v1/peers", { host: host.value.trim() });
      toast(`Linked to ${peer.addr}`, { hint: peer.vendor });
      host.value = "";
    } catch (error) { trouble(error); }
    add.disabled = false;
  }
  async function resize(event) {
    event.preventDefault();
    try { toast(`We keep ${count((await fetchSize(Number(size.value))).neighbours, "neighbour")} from now on`); } catch (error) { trouble(error); }
  }
  async function fetchSize(neighbours) {
    known.wanted = neighbours;
    return change("/api/v1/neighbours", { neighbours });
  }
  async function disconnect(peer) {
    try {
      await remove(`/api/v1/peers/${encodeURIComponent(peer.addr)}`);
      toast(`Unlinked from ${peer.addr}`, { action: "Undo", act: () => post("/api/v1/peers", { host: peer.addr }).catch(trouble) });
    } catch (error) { trouble(error); }
  }

  let search = null;
  let vias = new Map();
  const rows = new Map();
  function redraw() {
    const { peers } = known;
    for (const [addr, row] of rows) if (!peers.some((peer) => peer.addr === addr)) { row.remove(); rows.delete(addr); }
    for (const peer of peers) {
      if (!rows.has(peer.addr)) {
        const row = h("tr", ["Address", "Program", "Role", "Traffic", "Queries", "Dropped", "Linked"].map((head) => h("td", { "data-head": head })), h("td", h("div.row.tight", button("eye", `Browse ${peer.addr}`, () => { location.hash = `#/search/browse%2F${encodeURIComponent(peer.addr)}`; }, { quiet: true, kind: "plain" }), button("stop", `Disconnect ${peer.addr}`, () => disconnect(peer), { quiet: true, kind: "plain" }))));
        put(row.children[0], h("code", peer.addr), peer.encrypted ? [" ", h("span.tag", { title: `Its key: ${peer.key}` }, icon("lock"), "encrypted")] : null);
        rows.set(peer.addr, row);
        body.append(row);
      }
      const cells = rows.get(peer.addr).children;
      const then = before.get(peer.addr);
      const seconds = then ? (Date.now() - then.at) / 1000 : 0;
      const pace = (way) => (seconds > 0.5 ? rate(Math.max(0, (peer[way].bytes - then[way]) / seconds)) : null);
      const [inwards, outwards] = [pace("in"), pace("out")];
      text(cells[1], peer.vendor);
      text(cells[2], `${peer.role}, ${peer.direction === "in" ? "it called" : "we called"}`);
      if (inwards) text(cells[3], `↓ ${inwards} ↑ ${outwards}`);
      else if (!cells[3].textContent) text(cells[3], `↓ ${number(peer.in.msgs)} ↑ ${number(peer.out.msgs)} messages`);
      text(cells[4], `${number(peer.queries_in)} in, ${number(peer.queries_out)} out`);
      const drops = Object.entries(peer.drops).map(([why, n]) => `${number(n)} ${why.replaceAll("_", " ")}`);
      text(cells[5], drops.join(", ") || "nothing");
      text(cells[6], span(peer.since_s));
      if (!then || seconds > 0.9) before.set(peer.addr, { at: Date.now(), in: peer.in.bytes, out: peer.out.bytes });
    }
    table.parentNode.hidden = !peers.length;
    put(warnings, (known.status?.warnings || []).map((warning) => h("div.alarm.box", icon("warn"), h("p", warning))));
    put(picture, peers.length ? neighbourhood(peers, search, vias) : empty("peers", "No peers yet", "On the same network: run filbert there. Elsewhere: say the address of a host."));
    const answered = [...vias.values()].reduce((sum, via) => sum + via.hits, 0);
    text(trail, search ? `Last query “${search.query}”: ${count(search.neighbours_asked, "neighbour")} asked, ${count(search.hits, "hit")}${answered ? `; they came back by ${count(vias.size, "neighbour")}, from ${new Intl.ListFormat("en-GB").format([...new Set([...vias.values()].flatMap((via) => [...via.hops.keys()]))].sort((a, b) => a - b).map((hop) => (hop ? `${hop}` : "?")))} ${[...vias.values()].every((via) => [...via.hops.keys()].every((hop) => hop === 1)) ? "hop" : "hops"} away` : ""}.` : "No query of yours yet. After a search this shows by whom the answers came back, and from how far.");
  }

  // By whom the hits of the latest search came back, and from how far.
  async function travelled() {
    const latest = known.searches.filter((one) => one.guid).at(-1) || null;
    if (!latest) return;
    const known_already = search && search.id === latest.id && search.hits === latest.hits;
    search = latest;
    if (known_already) return;
    try {
      const fresh = new Map();
      for (const hit of await get(`/api/v1/searches/${latest.id}/hits`)) {
        const via = hit.via || hit.source.addr;
        if (!fresh.has(via)) fresh.set(via, { hits: 0, hops: new Map(), direct: !hit.via });
        const one = fresh.get(via);
        one.hits += 1;
        one.hops.set(hit.hops, (one.hops.get(hit.hops) || 0) + 1);
      }
      vias = fresh;
      redraw();
    } catch { /* The next snapshot tries again. */ }
  }
  const refresh = () => { redraw(); travelled(); };
  get("/api/v1/peers").then((peers) => { known.peers = peers; refresh(); }).catch(() => {});
  redraw();
  const stops = [on("peers", redraw), on("searches", travelled)];
  return () => { stops.forEach((stop) => stop()); before = new Map(); };
}

/** Us in the middle, peers around, behind them the distances from which hits came back by them. */
function neighbourhood(peers, search, vias) {
  const shown = peers.slice(0, 24);
  const drawn = s("svg", { viewBox: "0 0 420 320", role: "img", "aria-label": `${count(peers.length, "peer")} around us${search ? `; the last query, ${search.query}, was answered by way of ${count(vias.size, "neighbour")}` : ""}` });
  const [cx, cy] = [210, 160];
  for (const ring of [62, 98, 130, 155]) drawn.append(s("ellipse", { cx, cy, rx: ring * 1.25, ry: ring, class: "ring" }));
  const most = Math.max(1, ...[...vias.values()].map((via) => via.hits));
  const labels = [];
  shown.forEach((peer, n) => {
    const turn = (n / shown.length) * Math.PI * 2 - Math.PI / 2;
    const at = (distance) => [cx + Math.cos(turn) * distance * 1.25, cy + Math.sin(turn) * distance];
    const [x, y] = at(62);
    const via = vias.get(peer.addr);
    drawn.append(s("line", { x1: cx, y1: cy, x2: x, y2: y, class: `link${via ? " answered" : ""}`, "stroke-width": via ? 1.5 + (via.hits / most) * 4 : 1.2 }));
    if (via) {
      for (const [hop, hits] of via.hops) {
        const [hx, hy] = at([62, 62, 98, 130, 155][Math.min(hop || 1, 4)]);
        if (hop > 1) drawn.append(s("line", { x1: x, y1: y, x2: hx, y2: hy, class: "trail" }));
        drawn.append(s("circle", { cx: hx, cy: hy, r: hop > 1 ? 4 + (hits / most) * 5 : 12, class: "source" }, s("title", {}, `${count(hits, "hit")} from ${count(hop, "hop")} away, by ${peer.addr}`)));
      }
    }
    drawn.append(s("circle", { cx: x, cy: y, r: 9, class: `peer ${peer.role}` }, s("title", {}, `${peer.addr}, ${peer.vendor}, ${peer.role}`)));
    if (shown.length <= 10) labels.push(s("text", { x, y: y + (Math.sin(turn) < -0.1 ? -14 : 22), class: "label" }, peer.addr.length > 22 ? `${peer.addr.slice(0, 21)}…` : peer.addr));
  });
  // Above all lines.
  drawn.append(...labels, s("circle", { cx, cy, r: 16, class: "us" }), s("text", { x: cx, y: cy + 4, class: "label us" }, "you"));
  return [drawn, h("ul.key", h("li", h("i.peer"), "neighbour"), h("li", h("i.leaf"), "leaf"), h("li", h("i.source"), "answers of the last query, further out: more hops")),
    peers.length > shown.length ? h("p.dim", `and ${number(peers.length - shown.length)} more`) : null];
}
