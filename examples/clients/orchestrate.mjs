// A small orchestrated job in Node.js (18 or newer, no packages): three parcels are weighed at the same time, and the
// scales fail once. It needs a server: orion server start
//
//   node examples/clients/orchestrate.mjs [http://127.0.0.1:4200/api]

import { setTimeout as sleep } from "node:timers/promises";

const API = process.argv[2] ?? process.env.ORION_API_URL ?? "http://127.0.0.1:4200/api";

/** The run is to be left alone: somebody else ended it, or took it over. */
class Aborted extends Error {}

async function post(path, body, headers = {}) {
  const answer = await fetch(API + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Propose a state until there is a verdict. The state that the run has afterwards may be another one. */
async function propose(runs, id, state) {
  for (;;) {
    // With an id of its own, a proposal whose answer was lost can be made again without doing it twice.
    const proposal = { "Orion-Proposal-Id": crypto.randomUUID() };
    const told = await post(`/${runs}/${id}/set_state`, { state }, proposal);
    switch (told.status) {
      case "ACCEPT":
        return told.state;
      case "REJECT":
        console.log(`  REJECT: ${told.details.reason}; now ${told.state.name}`);
        return told.state;
      case "WAIT":
        console.log(`  WAIT: asking again in ${told.details.delay_seconds} s`);
        await sleep(told.details.delay_seconds * 1000);
        break;
      case "ABORT":
        throw new Aborted(told.details.reason);
      default:
        throw new Error(`Not a verdict: ${told.status}`);
    }
  }
}

/** What somebody else does: the second parcel fails the first time. */
async function weigh(parcel, attempt) {
  await sleep(50);
  if (parcel === 2 && attempt === 1) throw new Error("The scales stuck.");
  return parcel * 1.5;
}

/** One task run, until it ends. */
async function work(flowRun, parcel) {
  const { id } = await post("/task_runs/", {
    flow_run_id: flowRun,
    task_key: "weigh",
    dynamic_key: String(parcel),
    name: `weigh-${parcel}`,
    empirical_policy: { retries: 1, retry_delay: 1 },
  });
  for (let attempt = 1; ; attempt += 1) {
    let state = await propose("task_runs", id, { type: "RUNNING" });
    if (state.type !== "RUNNING") return state;
    try {
      const kilograms = await weigh(parcel, attempt);
      return await propose("task_runs", id, { type: "COMPLETED", message: `${kilograms} kg` });
    } catch (error) {
      if (error instanceof Aborted) throw error;
      // With retries left, FAILED is rejected: the run awaits its retry, and RUNNING has to WAIT until then.
      state = await propose("task_runs", id, { type: "FAILED", message: error.message });
      if (state.type === "FAILED") return state;
    }
  }
}

const flow = await post("/flows/", { name: "parcels-by-node" });
const run = await post("/flow_runs/", { flow_id: flow.id, parameters: { parcels: 3 }, state: { type: "PENDING" } });
console.log(`Flow run ${run.id}`);
await propose("flow_runs", run.id, { type: "RUNNING" });

console.log("Somebody else wants to begin the same run:");
try {
  await propose("flow_runs", run.id, { type: "PENDING" });
} catch (error) {
  if (!(error instanceof Aborted)) throw error;
  console.log(`  ABORT: ${error.message}`);
}

const states = await Promise.all([1, 2, 3].map((parcel) => work(run.id, parcel)));
const type = states.every((state) => state.type === "COMPLETED") ? "COMPLETED" : "FAILED";
await propose("flow_runs", run.id, { type });
console.log(`Ended ${type}`);
process.exitCode = type === "COMPLETED" ? 0 : 1;
