// Loaded before a system's own code (`--import`): takes a CPU profile of a window of its life, when the lab asks for it over
// IPC. A profile of the whole life would be mostly its start.
//   {do: 'profile'} begins, and is answered; {do: 'keep', file} ends it, writes the file, and is answered.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';

/** µs between two samples. */
const INTERVAL_MICROS = 200;

export type ToProfiled = { readonly do: 'profile' } | { readonly do: 'keep'; readonly file: string };

const session = new Session();

process.on('message', (message: ToProfiled) => void take(message));

async function take(message: ToProfiled): Promise<void> {
  if (message.do === 'profile') {
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    await session.post('Profiler.start');
  } else {
    const { profile } = await session.post('Profiler.stop');
    writeFileSync(message.file, JSON.stringify(profile));
    session.disconnect();
  }
  process.send?.({ is: 'done' });
}
