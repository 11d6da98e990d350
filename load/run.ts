// The load lab: every measurement once, on this machine, the client on the other core. Writes one JSON file with
// what the machine is, and prints it. `npm run load`; half an hour; leave the machine alone meanwhile.
import { cancel } from './cancel.ts';
import { http } from './http.ts';
import { idle } from './idle.ts';
import { redis } from './redis.ts';
import { describeRun, keepResults } from './results.ts';
import { resume } from './resume.ts';
import { stream } from './stream.ts';
import { turns } from './turns.ts';

const RUNS = 1000;
const RATE = 20;
const SECONDS = 20;

const results = {
  ...describeRun(),
  stream: await stream(RUNS, RATE, SECONDS),
  resume: await resume(5000, 200),
  turns: await turns(200, 30),
  http: await http(10, 50),
  idle: [await idle('sse', 10_000, 30), await idle('ws', 10_000, 30)],
  redis: await redis(),
  cancel: await cancel(300),
};
console.log(keepResults(results));
