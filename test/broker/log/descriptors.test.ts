// A process with too few file descriptors is refused at its start, and a process that has used them up continues with
// the log.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { append, CHAT, minor, readLines } from '../contract/subject.ts';
import { FaultyFiles, SystemError } from './faulty-files.ts';
import { openLog, temporaryFolder } from './opened-log.ts';

test.skipIf(process.platform !== 'linux')('a start with 128 descriptors is refused in one line', async () => {
  const folder = await temporaryFolder();
  const child = join(import.meta.dirname, 'appending-child.ts');
  const { stdout, status } = spawnSync(
    'sh',
    ['-c', `ulimit -n 128 && exec "$0" --import tsx "$1" "$2"`, process.execPath, child, folder],
    { encoding: 'utf8' },
  );
  expect([status, stdout]).toEqual([
    2,
    expect.stringMatching(
      /^refused invalid-config: this process may open only 128 files and connections, and needs at least 256: raise it with `ulimit -n`/,
    ),
  ]);
});

test('the log begins its next segment when no descriptor is free', async () => {
  const files = new FaultyFiles();
  const { broker, fatal } = await openLog({ files, limits: { segmentBytes: 1000 } });
  await append(broker, CHAT, minor('a'.repeat(900)));
  // Each open fails except those for which the engine has released a descriptor.
  const really = files.open.bind(files);
  let isRefused = false;
  files.open = async (path, mode) => {
    if (mode === 'create' && !isRefused) {
      isRefused = true;
      throw new SystemError('EMFILE');
    }
    return really(path, mode);
  };
  await append(broker, CHAT, minor('b'.repeat(900)));
  expect([isRefused, fatal]).toEqual([true, []]);
  expect((await readLines(broker, CHAT)).length).toBe(2);
});
