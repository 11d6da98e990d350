// A process that is killed in the middle of declaring damage leaves a folder in which the damage is declared, or is
// declared by the next read; and everything else is whole.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { append, infoOf, minor, readLines, topicName } from '../contract/subject.ts';
import { Child } from '../../support/child.ts';
import { owned } from '../../support/owned-child.ts';
import { crashCopy, openLog, segmentPath } from './opened-log.ts';

const [A, B] = [topicName('chat/a'), topicName('chat/b')];
const TEXTS = Array.from({ length: 6 }, (_, i) => `text ${i} `.repeat(40));
/** The points at which the child stops; each in a folder of its own. */
const POINTS = 4;
/** At these points the declaration is not whole in the log. */
const UNDECLARED = 2;

async function flipBit(folder: string, text: string): Promise<void> {
  const path = segmentPath(folder);
  const bytes = await readFile(path);
  const at = bytes.indexOf(text);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

test('a kill in the middle of a declaration loses no other record, and the damage is declared once', async () => {
  const limits = { segmentBytes: 2048, recentBytes: 0 };
  const { broker, folder } = await openLog({ limits });
  for (const text of TEXTS) for (const chat of [A, B]) await append(broker, chat, minor(text));
  const { epoch } = await infoOf(broker, A);
  await broker.close();
  await flipBit(folder, TEXTS[1] ?? '');
  const copies = await Promise.all(Array.from({ length: POINTS }, () => crashCopy(folder)));
  const script = join(import.meta.dirname, 'declaring-child.ts');
  const child = owned(new Child(process.execPath, ['--import', 'tsx', script, A, ...copies]));
  await child.line(/^declaring$/);
  expect(await child.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
  expect(child.lines).not.toContain('answered');
  const lines = TEXTS.map((text, i) => `${i}m:${text}`);
  for (const [i, copy] of copies.entries()) {
    const after = await openLog({ folder: copy, limits });
    expect((await infoOf(after.broker, A)).epoch).toBe(i < UNDECLARED ? epoch : `${epoch}_1`);
    for (let read = 0; read < 2; read++)
      expect(await readLines(after.broker, A)).toEqual([lines[0], '1-1 lost', ...lines.slice(2)]);
    expect(await infoOf(after.broker, A)).toMatchObject({ epoch: `${epoch}_1`, next: TEXTS.length });
    expect(await readLines(after.broker, B)).toEqual(lines);
    expect(after.broker.damaged?.()).toMatchObject([{ topic: A, records: 1 }]);
  }
});
