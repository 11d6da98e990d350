// A child process on a data folder, for tests that kill it. It appends as fast as it can and prints each acknowledged
// append as one line on its standard output (which is synchronous on a pipe). It ends only when it is killed.
import { parseLiteTopicName } from '../../../src/broker/lite-topic.ts';
import { openBroker } from '../../../src/broker/open-broker.ts';

const [folder = '', mode = 'always', run = '0', topics = '1'] = process.argv.slice(2);

async function main(): Promise<void> {
  const fsync = mode === 'os' ? ({ mode } as const) : ({ mode: 'always' } as const);
  const limits = { segmentBytes: 64 * 1024, checkpointBytes: 40_000, commitIntervalMs: 1 };
  const broker = await openBroker({
    engine: 'log',
    folder,
    fsync,
    limits,
    onFatal: (error) => process.exit(error.message.length > 0 ? 3 : 4),
  });
  process.stdout.write('open\n');
  for (let i = 0; ;) {
    const racing = Array.from({ length: 50 }, async () => {
      const text = `${run}.${i}`;
      const topic = parseLiteTopicName(`chat/t${i++ % Number(topics)}`);
      const [appended] = await broker.append([
        {
          topic,
          expect: { create: true },
          records: [
            { major: false, data: text },
            { major: false, data: `${text}'` },
          ],
        },
      ]);
      if (appended !== undefined) process.stdout.write(`${topic} ${appended.epoch} ${appended.first} ${text}\n`);
    });
    await Promise.all(racing);
  }
}

main().catch((error: unknown) => {
  process.stdout.write(`refused ${error instanceof Error ? error.message : ''}\n`);
  process.exit(2);
});
