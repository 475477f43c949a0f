// Elements, icons, words and numbers. Text from strangers only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element: `h("p.note", {title: "x", onclick: f}, "text", child)`. */
export function h(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  if (attributes && (typeof attributes !== "object" || attributes instanceof Node || Array.isArray(attributes))) {
    children = [attributes, ...children];
    attributes = null;
  }
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "open") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Puts new children into an element. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets a text only where it differs, so that nothing is laid out for nothing. */
export function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

// Drawn by hand on a grid of 20, with a line of 1.6.
const ICONS = {
  search: "M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3zM13.500 13.500 17.500 17.500",
  transfers: "M6 3v12M3 12l3 3.500L9 12M14 17V5M11 8l3-3.500L17 8",
  shares: "M2.500 5.500v10h15v-8.500h-8L7.500 4.500h-5z",
  peers: "M10 3.500a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM4 12.500a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM16 12.500a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM9 7.300 5 12.700M11 7.300l4 5.400M6 14.500h8",
  eye: "M1.500 10S4.500 4.500 10 4.500 18.500 10 18.500 10 15.500 15.500 10 15.500 1.500 10 1.500 10zM10 7.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5z",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  help: "M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15zM7.800 8a2.200 2.200 0 1 1 3.300 1.900c-.8.5-1.100.9-1.100 1.800M10 14.200v.3",
  bell: "M10 3a4.500 4.500 0 0 0-4.500 4.500c0 4-1.500 5-1.500 6.500h12c0-1.500-1.500-2.500-1.500-6.500A4.500 4.500 0 0 0 10 3zM8.500 16.500a1.600 1.600 0 0 0 3 0",
  down: "M10 3v11M5.500 10 10 14.500 14.500 10M4 17h12",
  up: "M10 17V6M5.500 10 10 5.500 14.500 10M4 3h12",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  retry: "M16 10a6 6 0 1 1-2-4.500M16 3v4h-4",
  stop: "M5 5l10 10M15 5 5 15",
  plus: "M10 4v12M4 10h12",
  chevron: "M7.500 5l5 5-5 5",
  magnet: "M4 3v7a6 6 0 0 0 12 0V3h-4v7a2 2 0 0 1-4 0V3zM4 6h4M12 6h4",
  check: "M4 10.500 8 14.500 16 5.500",
  lock: "M5 9h10v8H5zM7 9V6.500a3 3 0 0 1 6 0V9",
  warn: "M10 3 2 17h16zM10 8v4.500M10 14.500v.3",
  turtle: "M3 13c0-4 2.500-6.500 6-6.500s6 2.500 6 6.500zM15 11c2.500-1 3.500.5 3 2h-3M5 13v2.500M13 13v2.500M9 6.500V13M6 9.500h6",
  folder: "M2.500 5.500v10h15v-8.500h-8L7.500 4.500h-5z",
  theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  leave: "M8 3H4v14h4M9 10h8M14 7l3 3-3 3",
};

/** An icon that says nothing by itself: the words beside it do. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}

/** The hazelnut. */
export function nut() {
  return h("img.nut", { src: "/icon.svg", alt: "", width: 28, height: 28 });
}

/** A button with an icon; `label` is shown unless it is for those who listen only. */
export function button(name, label, onclick, options = {}) {
  const quiet = options.quiet;
  return h("button" + (options.kind ? "." + options.kind : "") + (quiet ? ".only-icon" : ""), {
    type: options.type || "button", onclick, title: options.title || (quiet ? label : null), "aria-label": quiet ? label : null,
    "aria-pressed": options.pressed, disabled: options.disabled || false,
  }, name && icon(name), quiet ? null : h("span", label));
}

/** As it would be typed. */
export function typed(bytes) {
  if (bytes === null) return "off";
  for (const [unit, name] of [[1e9, "G"], [2 ** 30, "Gi"], [1e6, "M"], [2 ** 20, "Mi"], [1e3, "K"], [1024, "Ki"]]) if (bytes && bytes % unit === 0) return `${bytes / unit}${name}`;
  return String(bytes);
}

/** 1.4 MiB. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "size unknown";
  if (bytes < 1024) return `${bytes} B`;
  let unit = -1;
  let value = bytes;
  do { value /= 1024; unit += 1; } while (value >= 1023.95 && unit < 5);
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit]}`;
}

/** 1.4 MiB/s. */
export const rate = (bps) => `${size(bps)}/s`;

const numbers = new Intl.NumberFormat("en-GB");
/** 12,345. */
export const number = (n) => numbers.format(n);
/** 1 file, 2 files. */
export const count = (n, word, plural) => `${number(n)} ${n === 1 ? word : plural || word + "s"}`;

/** 3 s, 4 min, 2 h. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5940) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400 * 2) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const KINDS = [
  ["audio", /\.(mp3|flac|ogg|opus|wav|m4a|aac|wma|aiff|mid)$/i],
  ["video", /\.(mp4|mkv|avi|webm|mov|mpg|mpeg|wmv|m4v|ogv)$/i],
  ["image", /\.(jpe?g|png|gif|webp|svg|tiff?|bmp|heic|avif)$/i],
  ["document", /\.(pdf|txt|md|epub|odt|docx?|html?|ps|djvu|csv|tex|rtf)$/i],
  ["archive", /\.(zip|tar|gz|xz|bz2|zst|7z|rar|tgz)$/i],
  ["program", /\.(iso|exe|deb|rpm|apk|dmg|msi|appimage|img)$/i],
];
/** What kind of file a name says it is. */
export const kindOf = (name) => (KINDS.find(([, pattern]) => pattern.test(name)) || ["other"])[0];

/** Says something to those who listen. */
export function say(words) {
  document.getElementById("says").textContent = words;
}

let toasts;
/** Tells something in passing; with an action when it can be taken back or gone on with. */
export function toast(words, { bad = false, hint = "", action, act } = {}) {
  if (!toasts?.isConnected) document.body.append(toasts = h("div.toasts", { role: "region", "aria-label": "Messages" }));
  const close = () => { clearTimeout(timer); card.remove(); };
  const card = h("div.toast" + (bad ? ".bad" : ""), { role: bad ? "alert" : "status" },
    icon(bad ? "warn" : "check"),
    h("div", h("p", words), hint && h("p.dim", hint)),
    action && h("button.plain", { type: "button", onclick: () => { close(); act(); } }, action),
    button("stop", "Close", close, { quiet: true, kind: "plain" }));
  const timer = setTimeout(close, bad ? 12000 : 6000);
  toasts.append(card);
  while (toasts.children.length > 3) toasts.firstChild.remove();
}

/** An error of the servent, told. */
export const trouble = (error) => toast(error.message, { bad: true, hint: error.hint });

/** What to show where there is nothing yet: what it means, and the next step. */
export function empty(name, title, words, ...next) {
  return h("div.empty", icon(name), h("h2", title), h("p", words), next.length ? h("div.row", next) : null);
}

/** A dialogue with a question; resolves to true or false. */
export function ask(title, words, yes, { danger = false } = {}) {
  return new Promise((resolve) => {
    const answer = (value) => { box.close(); box.remove(); resolve(value); };
    const box = h("dialog", { "aria-labelledby": "ask-title" },
      h("h2", { id: "ask-title" }, title), h("p", words),
      h("div.row.end", h("button", { type: "button", onclick: () => answer(false) }, "No, go back"),
        h("button" + (danger ? ".danger" : ".main"), { type: "button", onclick: () => answer(true) }, yes)));
    box.addEventListener("cancel", (event) => { event.preventDefault(); answer(false); });
    document.body.append(box);
    box.showModal();
  });
}

/** Puts words on the clipboard, and says so. */
export async function copy(words, what) {
  try {
    await navigator.clipboard.writeText(words);
    toast(`${what} is on the clipboard`);
  } catch {
    toast("The browser does not let the page use the clipboard", { bad: true, hint: words });
  }
}
