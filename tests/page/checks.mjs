// Every view in a real browser, from the first visit to the loss of the servent. Prints a line for each check.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { laden, load, many } from "./load.mjs";
import { axe, folder, noise, setPassword, share, strike, until, up, window_ } from "./stage.mjs";

// Those whose name contains this, after the first visit.
const only = process.argv[2];
let passed = 0;
let page;
const failures = [];
async function check(name, act) {
  if (only && !name.includes(only) && !name.startsWith("the first visit")) return;
  try {
    const measured = await act();
    passed += 1;
    console.log(`PASS  ${name}${measured ? `: ${measured}` : ""}`);
  } catch (error) {
    failures.push(name);
    await page?.screenshot({ path: join(process.env.PAGE_TOOLS, `failed-${failures.length}.png`) }).catch(() => {});
    console.log(`FAIL  ${name}\n      ${String(error.stack || error).split("\n").slice(0, 6).join("\n      ")}`);
  }
}
const assert = (so, words) => { if (!so) throw new Error(words); };
const equal = (got, wanted, words = "") => assert(JSON.stringify(got) === JSON.stringify(wanted), `${words} got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);

const VIEWS = ["search", "watches", "transfers", "shares", "peers", "strangers", "settings", "help"];
const song = noise(6 << 20, 7);

try {
  const b = await up("b", ["--share", share("music", { "Blue Train.flac": song, "Blue Sky.mp3": noise(300_000, 2), "blue notes.txt": Buffer.from("notes") })]);
  const c = await up("c", ["--share", share("more", { "Blue Train.flac": song, "Kind of Blue.flac": noise(200_000, 3), "box/list.txt": Buffer.from("one tape"), "box/left/tape 1.ogg": noise(60_000, 5) })]);
  const crowd = await up("crowd", ["--share", share("crowd-share", many(10_000))]);
  const mine = share("mine", { "Hazel.txt": Buffer.from("hazel"), "Nut.ogg": noise(50_000, 4), ".hidden": Buffer.from("x"), "id_rsa": Buffer.from("not a key") });
  let a = await up("a", ["--only-listed", "--connect", b.listen]);
  await b.hashed();
  await c.hashed();

  page = await window_({ permissions: ["clipboard-read", "clipboard-write"] });
  const seen = (words) => page.getByText(words).first().waitFor();
  const goto = async (view) => { await page.locator(`nav a[href="#/${view}"]`).click(); await page.locator(`nav a[href="#/${view}"][aria-current=page]`).waitFor(); };
  // What waits for an animation frame is drawn in the first, and stands when the second begins.
  const drawn = () => page.evaluate(() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go))));
  // Nothing is waited for, and nothing moves.
  const settled = () => until("the view stands still", () => page.evaluate(() => !document.querySelector("main .pulse")
    && !document.getAnimations().some((one) => one.playState === "running" && one.effect.getComputedTiming().iterations !== Infinity)));
  const toastless = async () => { for (const close of await page.locator(".toast [aria-label=Close]").all()) await close.click({ timeout: 500 }).catch(() => {}); };

  await check("without a token the page asks for it, and says that a wrong one is wrong", async () => {
    await page.goto(a.api);
    await page.getByLabel("Token").fill("0".repeat(64));
    await page.getByRole("button", { name: "Come in" }).click();
    await seen("That token is not the one of this servent");
    await page.goto(`${a.api}/#t=${"1".repeat(64)}`);
    await page.reload();
    await page.getByLabel("Token").waitFor();
  });

  await check("the first visit: the token in the fragment becomes a cookie and is gone from the address", async () => {
    await page.goto("about:blank");
    await page.goto(a.page);
    await page.locator("#words").waitFor();
    assert(!page.url().includes(a.token), page.url());
    const [cookie] = await page.context().cookies();
    assert(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.name.endsWith(a.api.split(":").pop()) && cookie.value !== a.token, JSON.stringify(cookie));
    equal(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ["", 0, 0]);
    await page.reload();
    await page.locator("#words").waitFor();
  });

  await check("a neighbour is added, and drawn", async () => {
    await goto("peers");
    await page.getByLabel("Address of a host").fill(c.listen);
    await page.getByRole("button", { name: "Add neighbour" }).click();
    await page.locator("td", { hasText: c.listen }).waitFor();
    await until("two are drawn", async () => (await page.locator(".picture circle.peer").count()) === 2);
    await page.getByLabel("Address of a host").fill("127.0.0.1:1");
    await page.getByRole("button", { name: "Add neighbour" }).click();
    await page.locator(".toast.bad").waitFor();
    await toastless();
  });

  await check("a limit is changed, and the servent keeps to it", async () => {
    await goto("settings");
    await page.getByLabel("All downloads").fill("1M");
    await page.getByRole("button", { name: "Set limits" }).click();
    await seen("Now: downloads 977 KiB/s, uploads no limit.");
    equal((await a.call("GET", "/api/v1/limits")).down_bps, 1_000_000);
    await page.getByLabel("All uploads").fill("nonsense");
    await page.getByRole("button", { name: "Set limits" }).click();
    await seen("is no speed");
    await toastless();
    await page.locator("h1").click();
    await page.keyboard.press("t");
    await page.locator("header button[aria-pressed=true]").waitFor();
    await page.keyboard.press("t");
    await page.locator("header button[aria-pressed=false]").waitFor();
    await toastless();
  });

  await check("a search: hits come live, one line for one content, and filters count what they hide", async () => {
    await goto("search");
    await page.locator("#words").fill("blue");
    await page.keyboard.press("Enter");
    const rows = page.locator(".list-row");
    await until("four contents", async () => (await rows.count()) === 4);
    await rows.filter({ hasText: "Blue Train.flac" }).getByText("2 sources").waitFor();
    await page.getByLabel("Filter the hits").fill("train");
    await seen("3 hidden: 3 by the filter");
    await page.getByRole("button", { name: "Show them" }).click();
    await page.getByLabel("Kind of file").selectOption("document");
    await seen("3 hidden: 3 of another kind");
    await page.getByLabel("Kind of file").selectOption("");
    await rows.filter({ hasText: "Blue Train.flac" }).getByRole("button", { name: "Sources of" }).click();
    await page.locator(".detail td", { hasText: b.listen }).first().waitFor();
    await rows.filter({ hasText: "Blue Train.flac" }).getByRole("button", { name: "Sources of" }).click();
  });

  await check("a download: got, paused, resumed, its parts seen, done", async () => {
    // Half a minute's worth: also a slow machine finds the time to pause it.
    await a.call("PUT", "/api/v1/limits", { down: "200K" });
    await page.locator(".list-row", { hasText: "Blue Train.flac" }).getByRole("button", { name: "Get" }).click();
    await page.locator(".toast", { hasText: "Fetching Blue Train.flac" }).getByRole("button", { name: "Show" }).click();
    const row = page.locator(".transfer", { hasText: "Blue Train.flac" });
    await row.getByRole("button", { name: "Pause" }).click();
    await row.locator(".state", { hasText: "paused" }).waitFor();
    await row.getByRole("button", { name: "Parts and sources" }).click();
    await page.locator("canvas.map[aria-label*='of 6 stored']").waitFor();
    await row.getByRole("button", { name: "Resume" }).click();
    await row.locator(".state", { hasText: "downloading" }).waitFor();
    await a.call("PUT", "/api/v1/limits", { down: "off" });
    await row.locator(".state", { hasText: "done" }).waitFor();
    await page.locator("canvas.map[aria-label^='6 parts of 6 stored']").waitFor();
    const [transfer] = await a.call("GET", "/api/v1/transfers");
    assert(readFileSync(transfer.path).equals(song), "the bytes are those that were shared");
    await goto("search");
    await page.locator(".list-row", { hasText: "Blue Train.flac" }).getByText("You have it").waitFor();
    await toastless();
  });

  await check("a magnet pasted anywhere is a download", async () => {
    const hit = (await a.call("GET", "/api/v1/searches/1/hits")).find((one) => one.name === "Blue Sky.mp3");
    await page.locator("h1").first().evaluate((element) => element.focus());
    await page.evaluate((words) => {
      const data = new DataTransfer();
      data.setData("text", words);
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    }, `magnet:?xt=${hit.urn}&dn=sky.mp3`);
    await page.locator(".toast", { hasText: "Fetching sky.mp3" }).waitFor();
    await until("it is there", async () => (await a.call("GET", "/api/v1/transfers")).some((one) => one.name === "sky.mp3" && one.state === "done"));
    await toastless();
  });

  await check("a folder is shared after a preview, found, seen as strangers see it, and unshared", async () => {
    await goto("shares");
    await page.getByLabel("Folder", { exact: true }).fill("/");
    await page.getByRole("button", { name: "Preview", exact: true }).click();
    await page.locator(".preview, .alarm.box").first().waitFor();
    await page.getByLabel("Folder", { exact: true }).fill(folder);
    await page.getByRole("button", { name: "Choose" }).click();
    await page.locator(".chooser button", { hasText: "mine" }).click();
    await until("it is chosen", async () => (await page.getByLabel("Folder", { exact: true }).inputValue()) === mine);
    await page.getByRole("button", { name: "Preview", exact: true }).click();
    await seen("Looks private:");
    await page.locator(".preview").getByText("id_rsa").waitFor();
    await page.getByLabel("Leave out").fill("id_rsa");
    await page.getByRole("button", { name: "Preview", exact: true }).click();
    await page.getByRole("button", { name: "Share 2 files" }).click();
    await page.locator(".card", { hasText: "2 files" }).waitFor();
    await until("hashed", async () => (await a.call("GET", "/api/v1/status")).hashed === 2);
    await goto("strangers");
    await seen("read over the wire at");
    // Rows are drawn with the frame after the words.
    await until("both are drawn", async () => (await page.locator(".stranger .name").count()) === 2);
    equal((await page.locator(".stranger .name").allTextContents()).sort(), ["Hazel.txt", "Nut.ogg"]);
    await toastless();
    await goto("shares");
    await page.getByRole("button", { name: "Stop sharing" }).click();
    await seen("You share nothing yet");
    await page.locator(".toast").getByRole("button", { name: "Undo" }).click();
    await page.locator(".card", { hasText: "2 files" }).waitFor();
    await toastless();
  });

  await check("the picture of the neighbourhood shows by whom the last query was answered", async () => {
    await goto("peers");
    await page.locator("line.link.answered").first().waitFor({ state: "attached" });
    await seen("Last query “blue”: 2 neighbours asked");
  });

  await check("keyboard only: search, move, get, pause, help", async () => {
    await page.locator("main").focus();
    await page.keyboard.press("/");
    await until("the field has the focus", () => page.evaluate(() => document.activeElement?.id === "words"));
    await page.keyboard.press("Control+a");
    await page.keyboard.type("kind of blue");
    await page.keyboard.press("Enter");
    await page.locator(".list-row", { hasText: "Kind of Blue" }).waitFor();
    await until("the list has the focus", async () => { await page.keyboard.press("Tab"); return page.evaluate(() => document.activeElement?.classList.contains("list")); });
    await page.keyboard.press("Home");
    await page.keyboard.press("Space");
    await page.locator(".detail").waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".toast", { hasText: "Fetching Kind of Blue" }).waitFor();
    await page.keyboard.press("?");
    await page.locator("h2", { hasText: "Keys" }).waitFor();
    await page.keyboard.press("3");
    await page.locator("h1", { hasText: "Transfers" }).waitFor();
    await toastless();
  });

  await check("a search is saved, asked again, its hits looked at and fetched, paused, removed and brought back", async () => {
    await goto("search");
    await page.locator("#words").fill("notes");
    await page.keyboard.press("Enter");
    await page.locator(".list-row", { hasText: "blue notes" }).waitFor();
    await page.getByRole("button", { name: "Save this search" }).click();
    await page.locator(".toast", { hasText: "“notes” is saved" }).getByRole("button", { name: "Show" }).click();
    const card = page.locator(".card", { hasText: "notes" });
    await card.getByText("1 found, 1 new").waitFor();
    await page.locator('nav a[href="#/watches"] .badge', { hasText: "1" }).waitFor();
    await card.getByRole("button", { name: "Show them" }).click();
    await card.getByRole("button", { name: "Get blue notes.txt" }).click();
    await card.getByText("you have it").waitFor();
    await card.getByText("1 found", { exact: true }).waitFor();
    await page.locator('nav a[href="#/watches"] .badge').waitFor({ state: "hidden" });
    await card.getByRole("button", { name: "Pause" }).click();
    await card.getByText("paused").waitFor();
    await card.getByRole("button", { name: "Remove" }).click();
    await seen("No search is saved");
    await toastless();
    await page.getByLabel("Words", { exact: true }).fill("walnut ext:ogg");
    await page.getByLabel("Fetch what it finds").check();
    await page.getByLabel("Fetch files up to").fill("5M");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.locator(".card", { hasText: "fetches what it finds up to 5M" }).waitFor();
    await page.getByRole("button", { name: "Remove" }).click();
    await page.locator(".toast", { hasText: "saved no more" }).getByRole("button", { name: "Undo" }).click();
    await page.locator(".card", { hasText: "fetches what it finds up to 5M" }).waitFor();
    await toastless();
  });

  await check("what a saved search finds is told on the desktop, for who wants that and looks elsewhere", async () => {
    // The browser's own notifications, with the permission given; only noted as they are made.
    const told = await window_({ permissions: ["notifications"] });
    await told.addInitScript(() => {
      window.made = [];
      window.shown = [];
      const Own = window.Notification;
      window.Notification = class extends Own {
        constructor(title, options) {
          super(title, options);
          window.made.push(title);
          this.addEventListener("show", () => window.shown.push(title));
          this.addEventListener("error", () => window.shown.push(`not shown: ${title}`));
        }
      };
    });
    await told.goto(`${a.page}`);
    await told.locator('nav a[href="#/watches"]').click();
    // The toast and the desktop's note are made in one go: once there is the toast, there is all that will be.
    const find = async (hidden) => {
      await told.evaluate(async (away) => {
        Object.defineProperty(document, "hidden", { value: away, configurable: true });
        document.querySelectorAll(".toast").forEach((toast) => toast.remove());
        const { tell } = await import("/api.js");
        for (let n = 0; n < 3; n += 1) tell("watch_hit", { watch: 1, query: "walnut", found: { name: `walnut ${n}.ogg`, size: 5 }, getting: false });
      }, hidden);
      await told.locator(".toast", { hasText: "3 new files" }).waitFor();
      return told.evaluate(() => window.made);
    };
    equal(await find(true), [], "nobody asked for it");
    await told.getByRole("button", { name: "Notify me" }).click();
    await told.getByRole("button", { name: "Notifications are on" }).waitFor();
    equal(await find(false), [], "who looks at the page is told in the page");
    const once = ["“walnut” found 3 new files"];
    equal(await find(true), once);
    await until("it is shown", async () => (await told.evaluate(() => window.shown.length)) > 0);
    equal(await told.evaluate(() => window.shown), once);
    await told.getByRole("button", { name: "Notifications are on" }).click();
    await told.getByRole("button", { name: "Notify me" }).waitFor();
    equal(await find(true), once);
    await told.context().close();
  });

  await check("a folder of a host's list is fetched with the folders in it; a player gets an address", async () => {
    await page.goto(`${a.api}/#/search/browse%2F${c.listen}`);
    const row = page.locator(".list-row", { hasText: "tape 1.ogg" });
    await row.getByText("box/left").waitFor();
    await page.getByLabel("Filter the hits").fill("box");
    await until("two are left", async () => (await page.locator(".list-row").count()) === 2);
    await page.locator(".list-row", { hasText: "list.txt" }).getByRole("button", { name: "Sources of" }).click();
    await page.getByRole("button", { name: "Get the folder box" }).click();
    await page.getByText("2 files").first().waitFor();
    await page.getByRole("button", { name: "Get it" }).click();
    const got = await until("both are there", async () => { const all = (await a.call("GET", "/api/v1/transfers")).filter((one) => /box/.test(one.path || "") && one.state === "done"); return all.length === 2 && all; });
    assert(got.some((one) => one.path.endsWith("box/left/tape 1.ogg")), JSON.stringify(got.map((one) => one.path)));
    await page.getByLabel("Filter the hits").fill("");
    await toastless();
    await goto("transfers");
    await page.locator(".transfer", { hasText: "tape 1.ogg" }).getByRole("button", { name: "Parts and sources" }).click();
    await page.getByRole("button", { name: "Copy address for a player" }).click();
    await page.locator(".toast", { hasText: "is on the clipboard" }).waitFor();
    const address = await page.evaluate(() => navigator.clipboard.readText());
    equal((await (await fetch(address)).arrayBuffer()).byteLength, 60_000);
    await toastless();
  });

  await check("hidden text of a stranger stays text", async () => {
    await goto("transfers");
    await page.evaluate(async () => {
      const { tell } = await import("/api.js");
      tell("transfer", { id: 999_999, direction: "up", name: "<img src=x onerror=alert(1)>.txt", urn: null, state: "uploading", done: 1, size: 2, rate_bps: 1, sources: 0, reason: "to <b>you</b>", eta_s: 1, next_try_s: null, path: null, verified: null, error: null, elapsed_ms: 1, peer: "x" });
    });
    await page.locator(".name", { hasText: "<img src=x" }).waitFor();
    equal(await page.locator(".list img").count(), 0);
  });

  for (const look of ["light", "dark", "contrast"]) {
    for (const width of look === "contrast" ? [1280] : [1280, 360]) {
      await check(`accessible (axe), no sideways scrolling: ${look}, ${width} px`, async () => {
        await page.emulateMedia({ colorScheme: look === "dark" ? "dark" : "light" });
        await page.evaluate((theme) => { if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme; }, look === "contrast" ? look : "");
        await page.setViewportSize({ width, height: 780 });
        const wrong = [];
        for (const view of VIEWS) {
          await goto(view);
          await settled();
          await drawn();
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
          wrong.push(...violations.map((one) => `${view}: ${one.id} ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message || ""}`).join(" | ")}`));
          const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth - innerWidth, document.querySelector("main").scrollWidth - document.querySelector("main").clientWidth));
          if (wide > 0) wrong.push(`${view}: ${wide} px too wide`);
        }
        equal(wrong, []);
      });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.evaluate(() => { delete document.documentElement.dataset.theme; });
  await page.setViewportSize({ width: 1280, height: 800 });

  await check("the servent is lost, and the page goes on when it is back", async () => {
    await a.kill();
    await page.locator(".lost").waitFor();
    a = await a.again();
    await page.locator(".lost").waitFor({ state: "hidden" });
    await goto("transfers");
    await page.locator(".transfer", { hasText: "Blue Train.flac" }).waitFor();
  });

  await check("other origins and other names get nothing, whoever's cookie comes along", async () => {
    const port = a.api.split(":").pop();
    const { createServer } = await import("node:http");
    const foreign = createServer((_, answer) => answer.setHeader("content-type", "text/html").end("<p>elsewhere"));
    await new Promise((ready) => foreign.listen(0, "127.0.0.1", ready));
    try {
      const evil = await page.context().newPage();
      await evil.goto(`http://127.0.0.1:${foreign.address().port}/`);
      const tried = await evil.evaluate(async (api) => {
        const attempt = (path, options) => fetch(api + path, options).then((answer) => answer.status, () => "kept away");
        return [await attempt("/api/v1/status", { credentials: "include" }), await attempt("/api/v1/shutdown", { method: "POST", credentials: "include" }),
          await attempt("/api/v1/shutdown", { method: "POST", credentials: "include", mode: "no-cors", body: "{}" }).then((status) => (status === 0 ? "sent blindly" : status))];
      }, a.api);
      equal(tried.slice(0, 2), ["kept away", "kept away"]);
      await evil.close();
      await a.call("GET", "/api/v1/status");
    } finally { foreign.close(); }
    const { request } = await import("node:http");
    const asked = (headers) => new Promise((told) => request({ host: "127.0.0.1", port, path: "/", headers }, (answer) => { answer.resume(); told(answer.statusCode); }).end());
    equal([await asked({ host: `evil.example:${port}` }), await asked({ host: `127.0.0.1:${port}`, origin: "http://evil.example" }), await asked({ host: `127.0.0.1:${port}` })], [421, 403, 200]);
  });

  await check("10,000 hits and 5,000 downloads: the page answers, and holds few rows", async () => {
    const seen = await load(await laden(), crowd);
    for (const { what, rows, elements } of seen) assert(rows < 60 && elements < 2500, `${what}: ${rows} rows, ${elements} elements`);
    return seen.map(({ what, longest, processor, heap }) => `${what}: ${longest} ms (${processor} of the processor), ${heap} MiB`).join("; ");
  });

  await check("nothing was asked of any other host, and no error told", async () => {
    equal(page.elsewhere, []);
    equal(page.told, []);
  });

  await check("what is to be typed is set apart in what the doctor says", async () => {
    await goto("settings");
    await page.locator(".findings code", { hasText: "up --listen" }).waitFor();
    equal((await page.locator(".findings").innerText()).includes("`"), false);
  });

  await check("leaving takes the cookie back", async () => {
    await goto("settings");
    await page.getByRole("button", { name: "Leave", exact: true }).click();
    await page.getByLabel("Token").waitFor();
    equal(await page.context().cookies(), []);
  });
  await check("from another machine: the password opens, a wrong one is told, and too many have to wait", async () => {
    const at = process.env.AWAY || "127.0.0.1";
    equal(setPassword("away", "correct horse battery"), 0);
    const away = await up("away", ["--api-remote"], at === "127.0.0.1" ? `${at}:0` : "0.0.0.0:0");
    const url = `http://${at}:${away.api.split(":").pop()}`;
    const far = await window_();
    await far.goto(url);
    const field = far.getByLabel("Password", { exact: true });
    await field.waitFor();
    equal([await field.getAttribute("type"), await field.getAttribute("autocomplete")], ["password", "current-password"]);
    await far.evaluate(axe);
    equal((await far.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }))).violations.map((one) => one.id), []);
    const guess = async (words, says) => {
      await field.fill(words);
      await far.keyboard.press("Enter");
      await far.getByRole("alert").filter({ hasText: says }).waitFor();
      await until("it may be tried again", () => field.inputValue().then((left) => left === ""));
    };
    await guess("wrong horse", "That is not the password of this servent");
    await far.getByRole("button", { name: "Use the token instead" }).click();
    await far.getByLabel("Token").waitFor();
    await far.getByRole("button", { name: "Use the password instead" }).click();
    await field.fill("correct horse battery");
    await far.getByRole("button", { name: "Come in" }).click();
    await far.locator("#words").waitFor();
    const [cookie] = await far.context().cookies();
    assert(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes("horse"), JSON.stringify(cookie));
    equal(await far.evaluate(() => [document.cookie, sessionStorage.length, location.href.includes("horse")]), ["", 0, false]);
    // What changes something needs our own Origin, and events come.
    await far.getByRole("button", { name: "Turtle" }).click();
    await far.locator("header button[aria-pressed=true]").waitFor();
    await far.reload();
    await far.locator("#words").waitFor();
    equal(setPassword("away", "another horse altogether"), 0);
    await field.waitFor();
    for (let n = 0; n < 4; n += 1) await guess("correct horse battery", "That is not the password");
    await guess("another horse altogether", "Try again in");
    // Without TLS the browser says of one header that it passes over it.
    equal(far.told.filter((words) => !words.startsWith("The Cross-Origin-Opener-Policy header has been ignored")), []);
    await far.close();
    await away.kill();
  });
} catch (error) {
  failures.push("the stage");
  console.log(`FAIL  the stage: ${error.stack}`);
} finally {
  await strike();
}
console.log(`\n${passed} passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
