// Settings: limits and the turtle, how the page looks, whether all is well, and what the servent runs with.

import { change, get, on, post, remove } from "./api.js";
import { ask, button, copy, h, icon, put, rate, span, text, toast, trouble, typed } from "./ui.js";
import { look } from "./app.js";

const LIMITS = [["down", "All downloads", "down_bps"], ["up", "All uploads", "up_bps"], ["peer_up", "Uploads to one address", "peer_up_bps"],
  ["turtle_down", "Turtle: downloads", "turtle_down_bps"], ["turtle_up", "Turtle: uploads", "turtle_up_bps"]];

/** Words in which what is to be typed stands between backticks. */
const commands = (words) => words.split("`").map((part, at) => at % 2 ? h("code", part) : part);

export function view(main, known) {
  const fields = LIMITS.map(([name, label]) => [name, h("input", { type: "text", id: `limit-${name}`, name, autocomplete: "off", spellcheck: "false" }), label]);
  const turtle = h("input", { type: "checkbox", id: "limit-turtle" });
  const now = h("p.dim", { role: "status" });
  const form = h("form.panel", { onsubmit: save }, h("h2", "Limits"), h("p.dim", "Bytes a second: 500K, 1.5M, 64Ki. 0 is a pause, off is no limit. They hold at once, and for later runs unless a flag or ", h("code", "config.toml"), " says otherwise."),
    h("div.fields", fields.map(([name, field, label]) => h("div.field", h("label", { for: `limit-${name}` }, label), field))),
    h("label.check", { for: "limit-turtle" }, turtle, "The turtle is on"),
    now, h("div.row", h("button.main", { type: "submit" }, "Set limits")));
  const themes = h("select", { id: "theme", onchange: () => { localStorage.setItem("theme", themes.value); look(themes.value); } },
    [["system", "As the system"], ["light", "Light"], ["dark", "Dark"], ["contrast", "High contrast"]].map(([value, label]) => h("option", { value }, label)));
  themes.value = localStorage.getItem("theme") || "system";
  const findings = h("ul.findings");
  const rows = h("tbody");
  const words = h("input", { type: "search", placeholder: "Filter settings", "aria-label": "Filter settings", oninput: () => table() });
  const facts = h("dl.facts-list");
  put(main, h("div.head", h("h1", "Settings")),
    h("div.two", form, h("section.panel", { "aria-labelledby": "well" }, h("div.head", h("h2", { id: "well" }, "Is all well?"), button("retry", "Look again", doctor)), findings)),
    h("div.two", h("section.panel", { "aria-labelledby": "servent" }, h("h2", { id: "servent" }, "This servent"), facts,
      h("div.row", button("stop", "Stop the servent", stop, { kind: "danger" }))),
    h("section.panel", { "aria-labelledby": "looks" }, h("h2", { id: "looks" }, "This page"), h("div.field", h("label", { for: "theme" }, "Colours"), themes),
      h("p.dim", "The browser that came in once stays in for a month."), h("div.row", button("leave", "Leave", leave)))),
    h("section.panel", { "aria-labelledby": "config" }, h("div.head", h("h2", { id: "config" }, "Configuration"), words),
      h("p.dim", "What the servent was started with, and where each value comes from. Change one with ", h("code", "filbert config set KEY VALUE"), "; it holds from the next start on."),
      h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Table of settings" }, h("table", h("caption.visually-hidden", "Settings"), h("thead", h("tr", ["Setting", "Value", "From", h("span.visually-hidden", "Actions")].map((head) => h("th", { scope: "col" }, head)))), rows))));

  function show(limits) {
    if (!limits) return;
    fields.forEach(([, field], n) => { if (document.activeElement !== field) field.value = typed(limits[LIMITS[n][2]]); });
    turtle.checked = limits.turtle;
    const words = (bps) => (bps === null ? "no limit" : bps === 0 ? "paused" : rate(bps));
    text(now, `Now: downloads ${words(limits.down_now_bps)}, uploads ${words(limits.up_now_bps)}.`);
  }
  async function save(event) {
    event.preventDefault();
    try {
      const limits = await change("/api/v1/limits", { ...Object.fromEntries(fields.map(([name, field]) => [name, field.value.trim() || "off"])), turtle: turtle.checked });
      document.activeElement?.blur?.();
      show(limits);
      toast("The limits hold now");
    } catch (error) { trouble(error); }
  }
  let settings = [];
  function table() {
    const wanted = words.value.toLowerCase();
    put(rows, settings.filter((one) => one.key.includes(wanted)).map((one) => {
      const value = typeof one.value === "string" ? one.value : JSON.stringify(one.value);
      return h("tr", h("th", { scope: "row" }, h("code", one.key)), h("td", value === "" ? h("span.dim", "empty") : value), h("td", h("span.tag" + (one.origin === "default" ? ".quiet" : ""), one.origin)),
        h("td", h("button.link", { type: "button", onclick: () => copy(`filbert config set ${one.key} ${/[\s"]/.test(value) || !value ? `'${value}'` : value}`, "The command") }, "Copy command", h("span.visually-hidden", ` that changes ${one.key}`))));
    }));
  }
  async function doctor() {
    put(findings, h("li.dim", "Looking…"));
    try {
      put(findings, (await get("/api/v1/doctor")).map((one) => h("li." + one.state, icon(one.state === "ok" ? "check" : "warn"), h("div", h("p", h("strong", one.check), h("span.visually-hidden", ` (${one.state})`), `: ${one.what}`), one.fix && h("p.dim", ...commands(one.fix))))));
    } catch (error) { put(findings, h("li.problem", error.message)); }
  }
  async function stop() {
    if (!await ask("Stop the servent?", "Downloads go on at the next start. This page works again when you run filbert up.", "Stop it", { danger: true })) return;
    post("/api/v1/shutdown").catch(trouble);
  }
  async function leave() {
    try { await remove("/api/v1/session"); location.reload(); } catch (error) { trouble(error); }
  }
  function told(status) {
    if (document.activeElement?.form !== form) show(status.limits);
    const fact = (name, value) => (value ? [h("dt", name), h("dd", value)] : null);
    put(facts, fact("Version", status.version), fact("Listens at", h("code", status.listen)), fact("Role", status.role), fact("Others can connect", status.reachable), fact("Key", status.key && h("code", status.key)), fact("Runs for", span(status.uptime_s)));
  }
  told(known.status);
  get("/api/v1/config").then((all) => { settings = all; table(); }).catch(trouble);
  doctor();
  const stops = [on("status", told), on("limits", show)];
  return () => stops.forEach((end) => end());
}
