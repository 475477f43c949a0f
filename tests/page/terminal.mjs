// Pictures of a terminal, from real ones: tmux gives the terminal, filbert runs in it on real servents, and what
// `capture-pane -e` tells becomes an SVG. Into target/pictures/ (or PICTURES).

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { noise, share, strike, until, up } from "./stage.mjs";

const into = process.env.PICTURES || "target/pictures";
mkdirSync(into, { recursive: true });
const [CELL, LINE, EDGE] = [8.4, 18, 14];
const COLOURS = { 31: "#f2777a", 32: "#7bc275", 33: "#e0b050", 34: "#6fa8dc", 35: "#c792ea", 36: "#5fc3c3" };
const [INK, PAPER] = ["#d7dbe0", "#15181d"];

try {
  execFileSync("tmux", ["-V"], { stdio: "ignore" });
} catch {
  console.error("SKIPPED: there is no tmux here, so no pictures of the terminal");
  process.exit(0);
}

/** A terminal of that size in which a shell runs; `filbert` in it is ours, and its home is that of a servent. */
function open(name, home, [width, height]) {
  // Not in the stage's folder, whose path may be too long for a socket.
  const dir = mkdtempSync(join(tmpdir(), "filbert-tty-"));
  symlinkSync(resolve(process.env.FILBERT), join(dir, "filbert"));
  const socket = join(dir, "socket");
  const env = { ...process.env, TERM: "xterm-256color", PATH: `${dir}:${process.env.PATH}`, FILBERT_HOME: home, FILBERT_LAN: "false", FILBERT_PORTMAP: "off" };
  delete env.NO_COLOR;
  delete env.TMUX;
  const tmux = (...args) => execFileSync("tmux", ["-u", "-f", "/dev/null", "-S", socket, ...args], { env, encoding: "utf8" });
  tmux("new-session", "-d", "-x", String(width), "-y", String(height), "PS1='$ ' exec bash --norc --noprofile");
  return {
    keys: (...keys) => tmux("send-keys", ...keys),
    type: (words) => tmux("send-keys", "-l", words),
    shows: (words) => until(words, () => tmux("capture-pane", "-p").includes(words), 20_000).catch((error) => {
      throw new Error(`${error.message}; ${name} shows\n${tmux("capture-pane", "-p")}`);
    }),
    ready: () => tmux("capture-pane", "-p").trimEnd().split("\n").at(-1) === "$",
    picture: () => writeFileSync(join(into, `${name}.svg`), svg(tmux("capture-pane", "-p", "-e"), width)),
    close: () => tmux("kill-server"),
  };
}

/** How many columns a character takes: enough for what is in these pictures. */
function columns(c) {
  const code = c.codePointAt(0);
  return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300 ? 2 : 1;
}

/** The runs of one style in a line: text, where it begins, how wide it is. Styles go on over lines. */
function runs(line, style) {
  const found = [];
  let at = 0;
  for (const part of line.split(/(\x1b\[[0-9;]*m|\x1b[()].|\x0f|\x0e)/)) {
    const codes = /^\x1b\[([0-9;]*)m$/.exec(part);
    if (codes) {
      for (const code of codes[1].split(";").map(Number)) {
        if (code === 0) Object.assign(style, { bold: false, dim: false, under: false, turned: false, colour: null });
        else if (code === 1) style.bold = true;
        else if (code === 2) style.dim = true;
        else if (code === 4) style.under = true;
        else if (code === 7) style.turned = true;
        else if (code === 22) style.bold = style.dim = false;
        else if (code === 24) style.under = false;
        else if (code === 27) style.turned = false;
        else if (code === 39) style.colour = null;
        else if (COLOURS[code]) style.colour = COLOURS[code];
      }
    } else if (part && !part.startsWith("\x1b") && part !== "\x0f" && part !== "\x0e") {
      const width = [...part].reduce((sum, c) => sum + columns(c), 0);
      found.push({ text: part, at, width, ...style });
      at += width;
    }
  }
  return found;
}

/** A picture of what the terminal showed. */
function svg(screen, width) {
  const lines = screen.replace(/\n+$/, "").split("\n");
  const safe = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const n = (x) => String(Math.round(x * 10) / 10);
  const [w, h] = [width * CELL + 2 * EDGE, lines.length * LINE + 2 * EDGE];
  const style = {};
  const out = [];
  lines.forEach((line, row) => {
    const [y, top] = [EDGE + row * LINE + 13, EDGE + row * LINE];
    for (const run of runs(line, style)) {
      const ink = run.colour || INK;
      const x = EDGE + run.at * CELL;
      if (run.turned) out.push(`<rect x="${n(x)}" y="${top}" width="${n(run.width * CELL)}" height="${LINE}" fill="${ink}"/>`);
      const marks = [`fill="${run.turned ? PAPER : ink}"`, run.bold && 'font-weight="700"', run.dim && 'opacity=".65"'].filter(Boolean).join(" ");
      if (run.under) out.push(`<rect x="${n(x)}" y="${top + LINE - 2}" width="${n(run.width * CELL)}" height="1" fill="${ink}"/>`);
      // Words one by one: each stands in its column, whatever the font of who looks.
      let at = 0;
      for (const word of run.text.split(/( +)/)) {
        const wide = [...word].reduce((sum, c) => sum + columns(c), 0);
        if (word.trim()) out.push(`<text x="${n(x + at * CELL)}" y="${y}" textLength="${n(wide * CELL)}" lengthAdjust="spacingAndGlyphs" ${marks}>${safe(word)}</text>`);
        at += wide;
      }
    }
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${n(w)} ${h}" width="${n(w)}" height="${h}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" xml:space="preserve"><rect width="100%" height="100%" rx="8" fill="${PAPER}"/>\n${out.join("\n")}\n</svg>\n`;
}

const terminals = [];
try {
  const names = ["Blue train at dawn.flac", "Night mail, blue hour.flac", "A blue heron.flac", "Café, blue train.flac"];
  const album = Object.fromEntries(names.map((name, at) => [name, noise((5 + at * 3) << 20, 11 + at)]));
  const attic = await up("attic", ["--share", share("attic-share", album)]);
  const studio = await up("studio", ["--connect", attic.listen, "--share", share("studio-share", { [names[0]]: album[names[0]], "Blue train, a walk.pdf": noise(480_000, 31), "Blue train on the viaduct.jpg": noise(230_000, 32) })]);
  for (const servent of [attic, studio]) await servent.hashed();
  const me = await up("me", ["--connect", attic.listen, "--connect", studio.listen, "--only-listed"]);
  await until("linked", async () => (await me.call("GET", "/api/v1/status")).neighbours >= 2);

  const shell = open("terminal", me.home, [92, 22]);
  terminals.push(shell);
  await shell.shows("$");
  for (const [words, shows] of [["filbert search blue train", "asked 2 peers"], ["filbert get 1", "dawn.flac\n$"], ["filbert status", "peers"]]) {
    shell.type(words);
    shell.keys("Enter");
    await shell.shows(shows);
    // The prompt is there again.
    await until(`${words} is over`, () => shell.ready());
  }
  shell.picture();

  const face = open("tui", me.home, [100, 16]);
  terminals.push(face);
  face.type("exec filbert tui");
  face.keys("Enter");
  await face.shows("2 peers");
  face.keys("/");
  face.type("blue");
  face.keys("Enter");
  await face.shows("peers asked");
  face.keys("o", "Down");
  await face.shows("most sources first");
  await new Promise((go) => setTimeout(go, 1200));
  face.picture();
} finally {
  terminals.forEach((terminal) => terminal.close());
  await strike();
}
