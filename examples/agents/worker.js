// @ts-check
// A worker of its own that serves all five agents from Redis. Start as many as you like, anywhere.
import { createWorker } from 'holdline/worker';
import { agent as food } from './food.js';
import { agent as mailer } from './mailer.js';
import { agent as sights } from './sights.js';
import { agent as supervisor } from './supervisor.js';
import { agent as weather } from './weather.js';

const worker = createWorker({
  broker: process.env['HOLDLINE_BROKER'] ?? 'redis://127.0.0.1:6379',
  agents: { default: supervisor, sights, food, weather, mailer },
  // After so long others take over from a worker that was killed.
  leaseMs: Number(process.env['HOLDLINE_LEASE_MS'] ?? 5_000),
});

try {
  await worker.start();
} catch (error) {
  console.error(`the worker cannot start: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(75);
}
console.log('the agents are at work');
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void worker.close());
