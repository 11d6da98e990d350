// Runs that wait for a human, across the wires, each with its real client: asked over one, shown and answered over any
// other, for each kind of input.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tableRows } from '../support/markdown-pages.ts';
import { eventually } from '../support/wait-for.ts';
import { textOfReply, WAITS, type Kind, type Reply, type WireOfWaits } from './matrix-waits.ts';
import { MATRIX, startGateway, type WireOfMatrix } from './matrix-wires.ts';
import { ask, clockOfToday, eventsOf, finish, readAll, STAYS_OPEN } from './waiting-runs.ts';

const KINDS: readonly Kind[] = ['approval', 'question', 'tool'];
const REPLIES: Readonly<Record<Kind, Reply>> = { approval: true, question: 'large', tool: { seen: 'a chair' } };

/** As the agent gets a reply. */
function givenOf(kind: Kind, { givesText }: WireOfWaits): Readonly<Record<string, unknown>> {
  const reply = REPLIES[kind];
  if (kind === 'approval') return { approved: reply };
  return kind === 'question' ? { value: reply } : { result: givesText === true ? textOfReply(reply) : reply };
}

const starts = MATRIX.filter((wire) => wire.start !== undefined);

const idOf = ({ name }: { readonly name: string }): string => name.replaceAll(' ', '-').toLowerCase();

const allReading = (text: string): [string, string][] =>
  MATRIX.filter((wire) => wire.read !== undefined).map(({ name }) => [name, text]);

describe.each(starts)('a wait of a run that was started over $name', (first) => {
  it.each(WAITS)(
    'is shown and answered over $name, and the answer has the same text over every wire',
    async (second) => {
      const gateway = await startGateway({ clock: clockOfToday() });
      for (const kind of KINDS) {
        const waiting = await ask(gateway, first, `${idOf(first)}-${idOf(second)}-${kind}`, kind);
        const { own, session } = waiting;
        if (own !== undefined && !STAYS_OPEN.includes(first.name)) await own.ended;
        if (own !== undefined) await eventually(() => own.text() === 'one ');
        const { without } = second;
        if (without?.kind === kind) {
          await expect(second.open(gateway, session, waiting.runId)).rejects.toThrow(without.refusal);
          continue;
        }
        const asked = await second.open(gateway, session, waiting.runId);
        expect(asked.kind).toBe(kind);
        const answered = asked.answer(REPLIES[kind]);
        await finish(gateway, waiting, answered);
        expect([kind, await answered]).toEqual([kind, 'one two']);
        const answers = (await eventsOf(gateway, session)).filter(({ type }) => type === 'input.answered');
        expect(answers).toMatchObject([{ ...givenOf(kind, second), by: 'ann' }]);
        if (own !== undefined && STAYS_OPEN.includes(first.name)) {
          await own.ended;
          expect(own.text()).toBe('one two');
        }
        expect(await readAll(gateway, waiting)).toEqual(allReading('one two'));
      }
    },
  );
});

describe('docs/clients/README.md', () => {
  it('says of each wire whether it answers waits, and what becomes of its stream', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/clients/README.md'), 'utf8');
    const streamOf = ({ name, watch, start }: WireOfMatrix): string =>
      watch === undefined && (start === undefined || name === 'MCP')
        ? '–'
        : STAYS_OPEN.includes(name)
          ? 'stays open'
          : 'ends';
    const answerOf = ({ name }: WireOfMatrix): string => {
      const wire = WAITS.find((one) => one.name === name);
      if (wire === undefined) return '–';
      return wire.without === undefined ? 'yes' : `all but an ${wire.without.kind}`;
    };
    expect(tableRows(page, 'a run that waits is')).toEqual(
      MATRIX.map((wire) => [wire.name, answerOf(wire), streamOf(wire)]),
    );
  });
});
