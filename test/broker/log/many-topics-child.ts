// A child process that changes more topics than any checkpoint has seen, prints a line, and waits to be killed.
import { parseLiteTopicName } from '../../../src/broker/lite-topic.ts';
import { openBroker } from '../../../src/broker/open-broker.ts';

const [folder = '', count = '0'] = process.argv.slice(2);
const TOPICS_AN_APPEND = 8;
const APPENDS_AT_ONCE = 1000;

async function main(): Promise<void> {
  // No checkpoint comes before the kill, as on a server whose device had no room for a checkpoint, or whose writers
  // were faster than it.
  const limits = { dirtyTopicsMax: 10_000_000, checkpointIntervalMs: 86_400_000, checkpointBytes: 1024 ** 3 };
  const broker = await openBroker({
    engine: 'log',
    folder,
    fsync: { mode: 'os' },
    limits,
    onFatal: () => process.exit(3),
  });
  const appends = Number(count) / TOPICS_AN_APPEND;
  for (let begun = 0; begun < appends; begun += APPENDS_AT_ONCE) {
    const racing = Array.from({ length: Math.min(APPENDS_AT_ONCE, appends - begun) }, async (_, i) => {
      const names = Array.from({ length: TOPICS_AN_APPEND }, (_name, kind) =>
        parseLiteTopicName(`kind${kind}/t${begun + i}`),
      );
      await broker.append(
        names.map((topic) => ({ topic, expect: { create: true }, records: [{ major: true, data: topic }] })),
      );
    });
    await Promise.all(racing);
  }
  process.stdout.write('written\n');
  // Only the test ends it.
  setInterval(() => undefined, 60_000);
}

void main();
