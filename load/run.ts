// The load lab: every measurement once, on this machine, the client on the other core. Writes one JSON file with
// what the machine is, and prints it. `npm run load`; half an hour; leave the machine alone meanwhile.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { cancel } from './cancel.ts';
import { http } from './http.ts';
import { idle } from './idle.ts';
import { redis } from './redis.ts';
import { resume } from './resume.ts';
import { stream } from './stream.ts';
import { turns } from './turns.ts';

const RUNS = 1000;
const RATE = 20;
const SECONDS = 20;

const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const machine = {
  node: process.version,
  cores: cpus().length,
  cpu: cpus()[0]?.model ?? '',
  memoryGb: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
};
const results = {
  date: new Date().toISOString().slice(0, 10),
  commit,
  machine,
  stream: await stream(RUNS, RATE, SECONDS),
  resume: await resume(5000, 200),
  turns: await turns(200, 30),
  http: await http(10, 50),
  idle: [await idle('sse', 10_000, 30), await idle('ws', 10_000, 30)],
  redis: await redis(),
  cancel: await cancel(300),
};
const text = JSON.stringify(results, null, 2);
writeFileSync(new URL(`../../load/results/${results.date}-${commit}.json`, import.meta.url), `${text}\n`);
console.log(text);
