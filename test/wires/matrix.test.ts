// The wires against each other, each with its real client: a run that was started over one is watched and read over
// any other, a native run is stopped over each, and all viewers have the same text.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tableRows } from '../support/markdown-pages.ts';
import { eventually } from '../support/wait-for.ts';
import { MATRIX, startGateway, type Watching, type WireOfMatrix } from './matrix-wires.ts';

const starts = MATRIX.filter((wire) => wire.start !== undefined);
const watches = MATRIX.filter((wire) => wire.watch !== undefined);
const stops = MATRIX.filter((wire) => wire.stop !== undefined);

const idOf = ({ name }: WireOfMatrix): string => name.replaceAll(' ', '-').toLowerCase();

async function hasText(watching: Watching | undefined, text: string): Promise<void> {
  if (watching !== undefined) await eventually(() => watching.text() === text);
}

describe.each(starts)('a run that was started over $name', (first) => {
  it('is watched over every wire that streams, and read over every wire at its end', async () => {
    const gateway = await startGateway();
    const session = `from-${idOf(first)}`;
    const own = await first.start?.(gateway, session);
    const worker = await gateway.work(session);
    const { runId } = worker.run;
    await worker.say('one ');
    await hasText(own, 'one ');
    // Whoever started it leaves, which stops nothing.
    own?.close();
    const viewers: [string, Watching][] = [];
    for (const wire of watches) if (wire.watch) viewers.push([wire.name, await wire.watch(gateway, session, runId)]);
    for (const [, viewer] of viewers) await hasText(viewer, 'one ');
    await worker.say('two ', '🌍');
    await worker.complete();
    for (const [name, viewer] of viewers) {
      await viewer.ended;
      expect([name, viewer.text()]).toEqual([name, 'one two 🌍']);
    }
    for (const wire of MATRIX) {
      if (wire.read) expect([wire.name, await wire.read(gateway, session, runId)]).toEqual([wire.name, 'one two 🌍']);
    }
  });
});

describe.each(stops)('Stop over $name', (stop) => {
  it('ends the run for the viewers on every wire, with the text so far', async () => {
    const gateway = await startGateway();
    const session = `stopped-by-${idOf(stop)}`;
    const [first] = starts;
    await first?.start?.(gateway, session);
    const worker = await gateway.work(session);
    const { runId } = worker.run;
    await worker.say('half');
    const viewers: [string, Watching][] = [];
    for (const wire of watches) if (wire.watch) viewers.push([wire.name, await wire.watch(gateway, session, runId)]);
    for (const [, viewer] of viewers) await hasText(viewer, 'half');
    const stopping = stop.stop?.(gateway, session, runId);
    const ref = { tenant: 'default', sessionId: session };
    await eventually(async () => (await gateway.h.commandLog.load(ref))?.state.runs[0]?.state === 'cancelling');
    await worker.cancelled('ann');
    await stopping;
    for (const [name, viewer] of viewers) {
      await viewer.ended;
      expect([name, viewer.text()]).toEqual([name, 'half']);
    }
  });
});

describe('docs/clients/README.md', () => {
  it('says of each wire whether it starts, watches, reads and stops runs', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/clients/README.md'), 'utf8');
    const mark = (can: unknown): string => (can === undefined ? '–' : 'yes');
    expect(tableRows(page, 'a run of any wire is')).toEqual(
      MATRIX.map(({ name, start, watch, read, stop }) => [name, mark(start), mark(watch), mark(read), mark(stop)]),
    );
  });
});
