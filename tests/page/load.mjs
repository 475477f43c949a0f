// A full page: a list of 10,000 hits that comes over the wire, 5,000 downloads, and two thousand events a second.
//
// The hits are what a host with 10,000 files tells. The downloads are the servent's own: 5,000 magnets that nobody has, waiting,
// and every third of them paused; 2,000 of the events are real too, of a thousand that are paused and go on. What no servent does,
// 2,000 events a second and 20,000 uploads that come and go, is made up here, in the browser, of what real events look like.

import { createHash } from "node:crypto";
import { traced, up, window_ } from "./stage.mjs";

/** So many small files, all different. */
export const many = (files) => Object.fromEntries(Array.from({ length: files }, (_, n) => [`part ${String(n % 100).padStart(2, "0")}/number ${n}.dat`, Buffer.from(`${n}`)]));

const DOWNLOADS = 5000;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** The magnet of a content that nobody has. */
function magnet(n) {
  const sha1 = createHash("sha1").update(`nobody has ${n}`).digest();
  const bits = [...sha1].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const name = bits.match(/.{5}/g).map((five) => BASE32[parseInt(five, 2)]).join("");
  return `magnet:?xt=urn:sha1:${name}&dn=${encodeURIComponent(`recording ${n}.flac`)}&xl=${5_000_000 + n}`;
}

/** Does it to each, 16 at a time. */
async function all(each, act) {
  const left = each.values();
  await Promise.all(Array.from({ length: 16 }, async () => { for (const one of left) await act(one); }));
}

/** A servent with 5,000 downloads that nobody can serve; every third is paused. It has no neighbour, so it asks nobody. */
export async function laden() {
  const it = await up("laden", ["--only-listed"]);
  await all(Array.from({ length: DOWNLOADS }, (_, n) => n), (n) => it.call("POST", "/api/v1/transfers", { what: magnet(n) }));
  const made = await it.call("GET", "/api/v1/transfers");
  if (made.length !== DOWNLOADS) throw new Error(`${made.length} downloads`);
  await all(made.filter((_, n) => n % 3 === 0), ({ id }) => it.call("POST", `/api/v1/transfers/${id}/pause`));
  return it;
}

/**
 * What happens in the page of `a`, which is laden, when it lists `crowd` and its 5,000 downloads: for each act the longest task of the
 * main thread in ms, by the clock and in processor time, rows and elements in the page, and MiB of the heap afterwards.
 */
export async function load(a, crowd) {
  await crowd.hashed();
  const busy = await window_();
  const made = (await a.call("GET", "/api/v1/transfers")).filter((one) => one.state !== "paused");
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
  await measure("5,000 downloads are shown", async () => {
    await busy.goto(`${a.api}/#/transfers`);
    await busy.locator(".transfer").first().waitFor();
    await busy.getByRole("button", { name: "All 5,000" }).waitFor();
  });
  await measure("... 1,000 are paused and go on (real events)", async () => {
    const some = made.slice(0, 1000);
    for (const act of ["pause", "resume"]) await all(some, ({ id }) => a.call("POST", `/api/v1/transfers/${id}/${act}`));
  });
  await measure("... 2,000 events a second", () => busy.evaluate(async (some) => {
    const { tell } = await import("/api.js");
    for (let round = 0; round < 40; round += 1) {
      for (const one of some) tell("transfer", { ...one, state: "downloading", done: round * 1000 });
      await new Promise((go) => setTimeout(go, 50));
    }
  }, made.slice(0, 100)));
  await measure("... are scrolled through", scroll);
  await measure("... 20,000 uploads come and go", () => busy.evaluate(async (one) => {
    const { tell } = await import("/api.js");
    for (let n = 0; n < 20_000; n += 1) {
      tell("transfer", { ...one, id: 1_000_000 + n, direction: "up", urn: null, state: "done", name: `upload ${n}.iso` });
      if (n % 200 === 0) await new Promise((go) => setTimeout(go, 10));
    }
  }, made[0]));
  await measure("... are filtered, key by key", () => busy.getByLabel("Filter").pressSequentially("recording 77"));
  if (busy.told.length) throw new Error(busy.told.join("; "));
  await busy.context().close();
  return seen;
}
