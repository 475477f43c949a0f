// What a full page costs, as a table; each number the worst of three runs.

import { laden, load, many } from "./load.mjs";
import { share, strike, up } from "./stage.mjs";

const RUNS = 3;
const LIMIT = 100;
let slow = 0;
try {
  const crowd = await up("crowd", ["--share", share("crowd-share", many(10_000))]);
  const a = await laden();
  const runs = [];
  for (let run = 0; run < RUNS; run += 1) runs.push(await load(a, crowd));
  console.log("| what happens | longest task, ms | longest in processor time, ms | rows in the page | elements | heap, MiB |\n|---|---|---|---|---|---|");
  for (const [n, { what }] of runs[0].entries()) {
    const worst = (key) => Math.max(...runs.map((run) => Number(run[n][key])));
    slow = Math.max(slow, worst("processor"));
    console.log(`| ${what} | ${worst("longest")} | ${worst("processor")} | ${worst("rows")} | ${worst("elements")} | ${worst("heap")} |`);
  }
} finally {
  await strike();
}
if (slow >= LIMIT) { console.error(`bench-page: a task took ${slow} ms of processor time, ${LIMIT} is the limit`); process.exit(1); }
