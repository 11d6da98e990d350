// Parallel tool calls whose deltas alternate, from the chunks of a model server through the log to every reader.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChatEvent } from '../../src/client/protocol/wire-codec.ts';
import { foldEvent } from '../../src/client/state/chat-fold.ts';
import { EMPTY_CHAT, type ChatState } from '../../src/client/state/chat-state.ts';
import { ToolCallDeltas, type ToolCallEvent } from '../../src/worker/providers/openai/tool-call-deltas.ts';
import { ChatRig, joinAnswer, type SeenEvent } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

/** The chunks of a server that sends the arguments of its calls piece by piece, in any order of the calls. */
function chunksOf(texts: readonly string[], order: readonly number[]): unknown[] {
  const left = [...texts];
  const begin = texts.map((_, index) => ({
    index,
    id: `c${index}`,
    function: { name: `tool${index}`, arguments: '' },
  }));
  const pieces = order.map((which) => {
    const index = which % texts.length;
    const piece = left[index]?.slice(0, 3) ?? '';
    left[index] = left[index]?.slice(3) ?? '';
    return { index, function: { arguments: piece } };
  });
  return [...begin, ...pieces, ...left.map((text, index) => ({ index, function: { arguments: text } }))];
}

function folded(events: readonly SeenEvent[]): ChatState {
  return events.reduce<ChatState>((state, { offset, type, data }) => {
    const event = parseChatEvent({ id: `e.${offset}`, event: type, data });
    const next = event === undefined ? state : foldEvent(state, event);
    if (next === undefined) throw new Error(`${type} at ${offset} does not join`);
    return next;
  }, EMPTY_CHAT);
}

describe('parallel tool calls', () => {
  it('keep their arguments apart, in the log, on pages, in the client, live and once the answer has ended', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.dictionary(fc.constantFrom('a', 'b'), fc.string()), { minLength: 2, maxLength: 4 }),
        fc.array(fc.nat(3), { maxLength: 30 }),
        async (values, order) => {
          const rig = new ChatRig();
          try {
            rig.startWorker();
            const texts = values.map((value) => JSON.stringify(value).toWellFormed());
            const { runId } = await rig.prompt('x');
            const call = await rig.model.call(0);
            const deltas = new ToolCallDeltas();
            for (const chunk of chunksOf(texts, order)) {
              const events: ToolCallEvent[] = [];
              deltas.read([chunk], events);
              call.say(...events);
            }
            const hasAll = async (): Promise<boolean> => joinAnswer(await rig.seen(), runId) === texts.join('\n');
            await eventually(hasAll);
            const live = await rig.seen();
            call.finish();
            await eventually(async () => (await rig.seen()).at(-1)?.type === 'run.completed');
            const after = await rig.seen();
            const wanted = texts.map((text, i) => ({
              kind: 'tool-call',
              text,
              toolCallId: `c${i}`,
              toolName: `tool${i}`,
            }));
            for (const events of [live, after]) expect(folded(events).messages[1]?.parts).toMatchObject(wanted);
            const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
            expect(messages[1]?.parts).toMatchObject(wanted);
          } finally {
            await rig.close();
          }
        },
      ),
      { numRuns: 15 },
    );
  });
});
