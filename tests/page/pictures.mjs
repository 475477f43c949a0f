// A picture of each view, wide and narrow, light and dark, into target/pictures/ (or PICTURES).

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { noise, share, strike, until, up, window_ } from "./stage.mjs";

const into = process.env.PICTURES || "target/pictures";
mkdirSync(into, { recursive: true });
const text = (words) => Buffer.from(words);

try {
  const names = ["Blue train at dawn.flac", "The train is late.flac", "Night mail in the rain.flac", "A blue heron.flac", "Hazel wood in May.flac"];
  const album = Object.fromEntries(names.map((name, n) => [name, noise((9 + n * 4) << 20, 11 + n)]));
  const attic = await up("attic", ["--share", share("attic-share", album)]);
  const studio = await up("studio", ["--share", share("studio-share", { [names[0]]: album[names[0]], [names[2]]: album[names[2]], "Blue train, a walk (notes).pdf": noise(480_000, 31), "Blue train on the viaduct.jpg": noise(230_000, 32) })]);
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
  for (const name of [names[0], "Train journey", "viaduct.jpg"]) await row(name).getByRole("button", { name: "Get" }).click();
  const sky = (await me.call("GET", "/api/v1/searches/1/hits")).find((hit) => hit.name.includes("(notes)"));
  await me.call("POST", "/api/v1/transfers", { what: `magnet:?xt=urn:sha1:AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH&dn=A%20rare%20recording.flac&xl=31000000` });
  const paused = await me.call("POST", "/api/v1/transfers", { what: sky.urn, name: "a walk.pdf" });
  await me.call("POST", `/api/v1/transfers/${paused.id}/pause`).catch(() => {});
  await barn.call("POST", "/api/v1/transfers", { what: `http://${me.listen}/uri-res/N2R?${await film()}` }).catch(() => {});
  async function film() {
    const browsed = await me.call("POST", "/api/v1/browse", { host: me.listen, keep_numbers: true });
    await new Promise((go) => setTimeout(go, 1500));
    return (await me.call("GET", `/api/v1/searches/${browsed.id}/hits`)).find((hit) => hit.name === "film.mkv").urn;
  }
  await me.call("POST", "/api/v1/watches", { query: "heron ext:flac" });
  await me.call("POST", "/api/v1/watches", { query: "a rare recording", get: true, max: "500M" });
  for (let n = 0; n < 14; n += 1) await page.waitForTimeout(500);

  const shots = [
    ["search", async () => { await row(names[0]).getByRole("button", { name: "Sources of" }).click(); await page.locator(".detail").waitFor(); }],
    ["watches", async () => { await page.locator(".card", { hasText: "found" }).first().waitFor(); const show = page.getByRole("button", { name: "Show them" }).first(); if (await show.isVisible()) await show.click(); await page.locator(".found li").first().waitFor(); }],
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
        await page.screenshot({ path: join(into, `${view}-${width}-${colorScheme}.png`) });
      }
    }
  }
  // What is shown where there is nothing yet, and with much contrast.
  const alone = await up("alone");
  const first = await window_();
  await first.goto(alone.page);
  await first.locator("#words").waitFor();
  for (const view of ["search", "watches", "transfers", "shares", "peers", "strangers"]) {
    await first.locator(`nav a[href="#/${view}"]`).click();
    await first.waitForTimeout(700);
    await first.screenshot({ path: join(into, `${view}-nothing.png`) });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.evaluate(() => { document.documentElement.dataset.theme = "contrast"; location.hash = "#/transfers"; });
  await page.waitForTimeout(700);
  await page.screenshot({ path: join(into, "transfers-contrast.png") });
  const stranger = await window_({ viewport: { width: 1280, height: 800 } });
  await stranger.goto(me.api);
  await stranger.getByLabel("Token").waitFor();
  await stranger.screenshot({ path: join(into, "gate-1280-light.png") });
} finally {
  await strike();
}
