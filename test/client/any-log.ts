// Generates any log that a chat could have, and any way in which a server may send it, for the property tests. The
// texts have characters of every length, so that an offset counted in anything but UTF-16 units fails.
import fc from 'fast-check';
import type { WireFrame } from '../../src/client/protocol/wire-events.ts';
import { mergeDeltas } from './scripted-chat.ts';
import type { NumberedEvent } from './scripted-chat.ts';

const piece = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 6 }), fc.constantFrom('', '😀', 'é', '\n\n# ', '漢字'));
const kinds = ['text', 'reasoning', 'tool-call'] as const;

/** One step of a run: more of the open part, a new part, a restart at an earlier place, or a tool's result. */
const step = fc.oneof(
  { weight: 6, arbitrary: piece.map((text) => ({ act: 'write', text }) as const) },
  { weight: 2, arbitrary: fc.constantFrom(...kinds).map((kind) => ({ act: 'part', kind }) as const) },
  { weight: 1, arbitrary: fc.nat({ max: 1_000 }).map((cut) => ({ act: 'restart', cut }) as const) },
  { weight: 1, arbitrary: fc.constant({ act: 'result' } as const) },
  { weight: 1, arbitrary: fc.constant({ act: 'unknown' } as const) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const turn = fc.record({
  steps: fc.array(step, { maxLength: 25 }),
  end: fc.constantFrom('run.completed', 'run.failed', 'run.cancelled', 'open'),
});

export const anyLog: fc.Arbitrary<readonly NumberedEvent[]> = fc
  .array(turn, { minLength: 1, maxLength: 4 })
  .map((turns) =>
    turns
      .flatMap(({ steps, end }, index) => writeTurn(String(index), steps, end))
      .map((item, offset) => ({ ...item, offset })),
  );

type Unnumbered = Omit<NumberedEvent, 'offset'>;

function writeTurn(name: string, steps: readonly Step[], end: string): Unnumbered[] {
  const runId = `r${name}`;
  const messageId = `a${name}`;
  let parts: { kind: (typeof kinds)[number]; text: string }[] = [];
  let attempt = 1;
  const events: Unnumbered[] = [
    { event: 'message.created', data: { messageId: `p${name}`, role: 'user', content: `prompt ${name}` } },
    { event: 'run.queued', data: { runId, messageId: `p${name}`, agent: 'default' } },
    { event: 'run.started', data: { runId, messageId, attempt } },
  ];
  const openPart = (kind: (typeof kinds)[number]): void => {
    const part = parts.push({ kind, text: '' }) - 1;
    const names = kind === 'tool-call' ? { toolCallId: `c${part}`, toolName: 'look' } : {};
    events.push({ event: 'part.started', data: { runId, part, kind, ...names } });
  };
  for (const item of steps) {
    if (item.act === 'part') openPart(item.kind);
    if (item.act === 'write') {
      if (parts.length === 0) openPart('text');
      const part = parts.length - 1;
      const last = parts.at(-1) ?? { kind: 'text', text: '' };
      events.push({
        event: 'delta',
        data: { runId, messageId, part, kind: last.kind, at: last.text.length, text: item.text },
      });
      last.text += item.text;
    }
    if (item.act === 'restart') {
      attempt += 1;
      const part = item.cut % Math.max(1, parts.length);
      const kept = parts[part]?.text ?? '';
      const at = item.cut % (kept.length + 1);
      events.push({ event: 'run.restarted', data: { runId, attempt, part, at } });
      parts =
        at === 0
          ? parts.slice(0, part)
          : [...parts.slice(0, part), { kind: parts[part]?.kind ?? 'text', text: kept.slice(0, at) }];
    }
    if (item.act === 'result')
      events.push({ event: 'tool.result', data: { runId, toolCallId: 'c0', result: { ok: true } } });
    if (item.act === 'unknown') events.push({ event: 'run.pondered', data: { runId, depth: 3 } });
  }
  if (end !== 'open')
    events.push({ event: end, data: { runId, messageId, error: { code: 'x', message: 'x', retryable: false } } });
  return events;
}

/** What a server sends after that offset; `mayMerge` decides which neighbours are merged. */
export function serve(
  log: readonly NumberedEvent[],
  afterOffset: number,
  mayMerge: () => boolean,
): readonly WireFrame[] {
  return mergeDeltas(log.slice(afterOffset + 1), mayMerge).map((item) => ({
    id: `e.${item.offset}`,
    event: item.event,
    data: item.data,
  }));
}
