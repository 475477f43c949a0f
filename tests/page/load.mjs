// A full page: a list of 10,000 hits that comes over the wire, 5,000 transfers, and two thousand events a second.
//
// The hits are real: they are what a host with 10,000 files tells. The transfers are made up here, in the browser, of
// what `GET /api/v1/transfers` and its events look like.

import { traced, window_ } from "./stage.mjs";

/** So many small files, all different. */
export const many = (files) => Object.fromEntries(Array.from({ length: files }, (_, n) => [`part ${String(n % 100).padStart(2, "0")}/number ${n}.dat`, Buffer.from(`${n}`)]));

const STATES = ["downloading", "queued", "paused", "waiting"];
const transfer = (n) => ({ id: n + 1, direction: n % 3 ? "down" : "up", priority: "normal", name: `file ${n}.iso`, urn: `urn:sha1:${String(n).padStart(32, "A")}`, state: n % 50 ? STATES[n % 4] : n % 100 ? "failed" : "done", done: n * 1000, size: 5_000_000, rate_bps: n % 5 ? 0 : 1000, sources: 2, reason: "source 10.0.0.7:6346 is to be asked", eta_s: null, next_try_s: null, path: "/tmp", verified: null, error: null, elapsed_ms: 1000, peer: null, from: [], players: 0 });

/**
 * What happens in `a`'s page when it lists `crowd`, and when it has 5,000 transfers: for each act the longest task of the
 * main thread in ms, by the clock and in processor time, rows and elements in the page, and MiB of the heap afterwards.
 */
export async function load(a, crowd) {
  await crowd.hashed();
  const busy = await window_();
  const body = JSON.stringify(Array.from({ length: 5000 }, (_, n) => transfer(n)));
  await busy.route("**/api/v1/transfers", (route) => route.fulfill({ body, contentType: "application/json" }));
  await busy.goto(a.page);
  await busy.locator("#words").waitFor();
  const browser = await busy.context().newCDPSession(busy);
  const seen = [];
  const measure = async (what, act) => {
    const [longest, processor] = await traced(busy, async () => { await act(); await busy.waitForTimeout(300); });
    const [rows, elements] = await busy.evaluate(() => [document.querySelectorAll(".list-row").length, document.querySelectorAll("*").length]);
    await browser.send("HeapProfiler.collectGarbage");
    const { usedSize } = await browser.send("Runtime.getHeapUsage");
    seen.push({ what, longest, processor, rows, elements, heap: (usedSize / 2 ** 20).toFixed(1) });
  };
  const scroll = () => busy.evaluate(async () => {
    const list = document.querySelector(".list");
    for (let n = 0; n < 60; n += 1) { list.scrollTop = (list.scrollHeight * n) / 60; await new Promise(requestAnimationFrame); }
  });
  const order = (by) => busy.getByLabel("Order").selectOption(by);
  await measure("10,000 hits come", async () => {
    await busy.goto(`${a.api}/#/search/browse%2F${crowd.listen}`);
    await busy.getByText("10,000 files in 10,000 hits").waitFor({ timeout: 60_000 });
  });
  await measure("... are scrolled through", scroll);
  await measure("... are put in another order", () => order("name"));
  await measure("... are filtered, key by key", () => busy.getByLabel("Filter the hits").pressSequentially("number 77"));
  await measure("5,000 transfers are shown", async () => {
    await busy.goto(`${a.api}/#/transfers`);
    await busy.locator(".transfer").first().waitFor();
    await busy.getByRole("button", { name: "All 5,000" }).waitFor();
  });
  await measure("... 2,000 events a second", () => busy.evaluate(async (one) => {
    const { tell } = await import("/api.js");
    for (let round = 0; round < 40; round += 1) {
      for (let n = 0; n < 100; n += 1) tell("transfer", { ...one, id: 1 + n * 5, name: `file ${n * 5}.iso`, done: round * 1000 });
      await new Promise((go) => setTimeout(go, 50));
    }
  }, transfer(0)));
  await measure("... are scrolled through", scroll);
  await measure("... 20,000 uploads come and go", () => busy.evaluate(async (one) => {
    const { tell } = await import("/api.js");
    for (let n = 0; n < 20_000; n += 1) {
      tell("transfer", { ...one, id: 10_000 + n, direction: "up", urn: null, state: "done", name: `upload ${n}.iso` });
      if (n % 200 === 0) await new Promise((go) => setTimeout(go, 10));
    }
  }, transfer(0)));
  await measure("... are filtered, key by key", () => busy.getByLabel("Filter").pressSequentially("file 77"));
  if (busy.told.length) throw new Error(busy.told.join("; "));
  await busy.context().close();
  return seen;
}
