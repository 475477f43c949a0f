// What a full page costs, as a table; each number the worst of three runs, unless it says otherwise.

import { laden, load, many } from "./load.mjs";
import { share, strike, up } from "./stage.mjs";

const RUNS = 3;
const LIMIT = 100;
const slow = [];
try {
  const crowd = await up("crowd", ["--share", share("crowd-share", many(10_000))]);
  const a = await laden();
  const runs = [];
  for (let run = 0; run < RUNS; run += 1) runs.push(await load(a, crowd));
  console.log("| what happens | longest task, ms | ... in the best run | longest in processor time, ms | rows in the page | elements | heap, MiB |\n|---|---|---|---|---|---|---|");
  for (const [n, { what }] of runs[0].entries()) {
    const each = (key) => runs.map((run) => Number(run[n][key]));
    const worst = (key) => Math.max(...each(key));
    const best = Math.min(...each("longest"));
    console.log(`| ${what} | ${worst("longest")} | ${best} | ${worst("processor")} | ${worst("rows")} | ${worst("elements")} | ${worst("heap")} |`);
    // By the clock a task is also long because the machine did something else meanwhile. That strikes now here, now there: what
    // takes long in each of the runs is the page's own. What it computes is its own in any run.
    if (best >= LIMIT) slow.push(`${what}: a task took ${best} ms and more in each of ${RUNS} runs`);
    if (worst("processor") >= LIMIT) slow.push(`${what}: a task took ${worst("processor")} ms of processor time`);
  }
} finally {
  await strike();
}
for (const words of slow) console.error(`bench-page: ${words}; ${LIMIT} is the limit`);
if (slow.length) process.exit(1);
