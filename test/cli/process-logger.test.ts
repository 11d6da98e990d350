// A log whose output fails: the process continues, and the lines are there when the output works again.
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { processLogger } from '../../src/cli/process-logger.ts';
import { mountSmallDisk } from '../process/small-disk.ts';

test('a log on a full disk does not hold the process, and is complete when there is room again', async (context) => {
  const disk = await mountSmallDisk(context, 1);
  const path = join(disk.folder, 'server.log');
  const fd = openSync(path, 'w');
  onTestFinished(() => closeSync(fd));
  const logger = processLogger('info', fd);
  logger.info('begun');
  await disk.fill();
  const long = 'x'.repeat(8192);
  logger.info(long);
  logger.fatal('on a full disk');
  expect(readFileSync(path, 'utf8')).not.toContain('on a full disk');
  await disk.free();
  logger.info('there is room');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(messages).toEqual(['begun', long, 'on a full disk', 'there is room']);
});
