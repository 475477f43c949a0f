// A picture of each view, into docs/pictures/ (or PICTURES), and with ALL=1 each of them wide and narrow, light and dark.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { noise, share, strike, until, up, window_ } from "./stage.mjs";

const into = process.env.PICTURES || "docs/pictures";
const all = Boolean(process.env.ALL);
mkdirSync(into, { recursive: true });
const text = (words) => Buffer.from(words);

try {
  const names = ["Blue Train.flac", "Moment's Notice.flac", "Locomotion.flac", "I'm Old Fashioned.flac", "Lazy Bird.flac"];
  const album = Object.fromEntries(names.map((name, n) => [name, noise((9 + n * 4) << 20, 11 + n)]));
  const attic = await up("attic", ["--share", share("attic-share", album)]);
  const studio = await up("studio", ["--share", share("studio-share", { [names[0]]: album[names[0]], [names[2]]: album[names[2]], "Blue Train (liner notes).pdf": noise(480_000, 31), "Blue Train - cover.jpg": noise(230_000, 32) })]);
  const garden = await up("garden", ["--connect", attic.listen, "--share", share("garden-share", { "Train journey, blue hour.mp4": noise(40 << 20, 41), "blue train timetable.txt": text("08:15"), [names[0]]: album[names[0]] })]);
  const barn = await up("barn", ["--only-listed", "--connect", studio.listen]);
  for (const servent of [attic, studio, garden]) await servent.hashed();
  const mine = share("Pictures/Hazel walks", { "october.jpg": noise(900_000, 51), "map of the grove.pdf": noise(300_000, 52), "notes.txt": text("squirrels"), "id_rsa.bak": text("x"), ".thumbs": text("x"), "film.mkv": noise(60 << 20, 53) });
  const me = await up("me", ["--only-listed", "--connect", attic.listen, "--connect", studio.listen, "--connect", barn.listen, "--share", mine]);
  await me.hashed();
  await until("linked", async () => (await me.call("GET", "/api/v1/status")).neighbours >= 3);
  await me.call("PUT", "/api/v1/limits", { down: "1200K", turtle_down: "200K", turtle_up: "50K" });
  await attic.call("PUT", "/api/v1/limits", { up: "900K" });

  const page = await window_({ deviceScaleFactor: 1 });
  await page.goto(me.page);
  await page.locator("#words").fill("blue train");
  await page.keyboard.press("Enter");
  await page.getByText(/in \d+ hits, /).waitFor();
  const row = (name) => page.locator(".list-row", { hasText: name });
  for (const name of [names[0], "Train journey", "cover.jpg"]) await row(name).getByRole("button", { name: "Get" }).click();
  const sky = (await me.call("GET", "/api/v1/searches/1/hits")).find((hit) => hit.name.includes("liner notes"));
  await me.call("POST", "/api/v1/transfers", { what: `magnet:?xt=urn:sha1:AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH&dn=A%20rare%20recording.flac&xl=31000000` });
  const paused = await me.call("POST", "/api/v1/transfers", { what: sky.urn, name: "liner notes.pdf" });
  await me.call("POST", `/api/v1/transfers/${paused.id}/pause`).catch(() => {});
  await barn.call("POST", "/api/v1/transfers", { what: `http://${me.listen}/uri-res/N2R?${await film()}` }).catch(() => {});
  async function film() {
    const browsed = await me.call("POST", "/api/v1/browse", { host: me.listen, keep_numbers: true });
    await new Promise((go) => setTimeout(go, 1500));
    return (await me.call("GET", `/api/v1/searches/${browsed.id}/hits`)).find((hit) => hit.name === "film.mkv").urn;
  }
  for (let n = 0; n < 14; n += 1) await page.waitForTimeout(500);

  const shots = [
    ["search", async () => { await row(names[0]).getByRole("button", { name: "Sources of" }).click(); await page.locator(".detail").waitFor(); }],
    ["transfers", async () => { await page.locator(".transfer", { hasText: names[0] }).getByRole("button", { name: "Parts and sources" }).click(); await page.locator("canvas.map[aria-label]").waitFor(); }],
    ["shares", async () => { await page.getByLabel("Folder", { exact: true }).fill(join(mine, "..")); await page.getByRole("button", { name: "Preview", exact: true }).click(); await page.locator(".preview, .alarm.box").first().waitFor(); }],
    ["peers", async () => { await page.locator("line.link.answered").first().waitFor({ state: "attached" }); }],
    ["strangers", async () => { await page.getByText("read over the wire").waitFor(); }],
    ["settings", async () => { await page.locator(".findings .ok").first().waitFor(); }],
    ["help", async () => {}],
  ];
  for (const [width, height] of [[1280, 800], [360, 740]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      for (const [view, prepare] of shots) {
        await page.locator(`nav a[href="#/${view === "help" ? "settings" : "help"}"]`).click();
        await page.locator(`nav a[href="#/${view}"]`).click();
        await prepare();
        for (const close of await page.locator(".toast [aria-label=Close]").all()) await close.click({ timeout: 500 }).catch(() => {});
        await page.mouse.move(0, 0);
        await page.waitForTimeout(400);
        const kept = width === 1280 ? colorScheme === "light" || view === "transfers" : (view === "search" && colorScheme === "light") || (view === "transfers" && colorScheme === "dark");
        if (all || kept) await page.screenshot({ path: join(into, `${view}-${width}-${colorScheme}.png`) });
      }
    }
  }
  const stranger = await window_({ viewport: { width: 1280, height: 800 } });
  await stranger.goto(me.api);
  await stranger.getByLabel("Token").waitFor();
  if (all) await stranger.screenshot({ path: join(into, "gate-1280-light.png") });
} finally {
  await strike();
}
