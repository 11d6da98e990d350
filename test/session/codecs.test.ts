// The codecs of the chat's log: whatever goes in comes out, and the fast paths agree with the plain ones.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChatEvent, Delta } from '../../src/session/events/chat-event.ts';
import { decodeEvent, decodeHidden, encodeEvent, publicJson, typeOf } from '../../src/session/events/chat-event.ts';
import { deltaHead, encodeDelta, isSamePart, mergeDeltas } from '../../src/session/events/delta-json.ts';
import { LengthList, decodeLengths } from '../../src/session/events/delta-mark.ts';

const anyText = fc.string({ unit: 'binary' });
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,30}$/);
const delta: fc.Arbitrary<Delta> = fc.record({
  type: fc.constant('delta' as const),
  runId: id,
  messageId: id,
  part: fc.nat(20),
  kind: fc.constantFrom('text' as const, 'reasoning' as const, 'tool-call' as const),
  at: fc.nat(),
  text: anyText,
});

describe('an event', () => {
  it('comes back from its record as it went in, hidden part apart', () => {
    fc.assert(
      fc.property(
        id,
        anyText,
        fc.option(fc.dictionary(fc.string(), fc.jsonValue()), { nil: undefined }),
        (messageId, content, hidden) => {
          const event: ChatEvent = {
            type: 'message.created',
            messageId,
            role: 'user',
            content,
            createdAt: 'now',
            user: 'u',
          };
          const { data, major } = encodeEvent(event, hidden);
          expect(major).toBe(true);
          expect(decodeEvent(data)).toEqual(event);
          expect(decodeHidden(data)).toEqual(hidden === undefined ? undefined : JSON.parse(JSON.stringify(hidden)));
          expect(publicJson(data, typeOf(data) ?? '')).not.toContain('\n');
        },
      ),
    );
  });

  it('of an unknown type or version is skipped, not misread', () => {
    expect(decodeEvent('1 run.invented {"runId":"r"}')).toBeUndefined();
    expect(decodeEvent('2 delta {"runId":"r"}')).toBeUndefined();
    expect(decodeEvent('')).toBeUndefined();
    expect(decodeEvent('1 constructor {}')).toBeUndefined();
  });
});

describe('a delta', () => {
  it('encoded fast is the record that the plain codec writes', () => {
    fc.assert(
      fc.property(delta, (event) => {
        const head = deltaHead(event.runId, event.messageId, event.part, event.kind);
        expect(encodeDelta(head, event.at, event.text)).toEqual(encodeEvent(event));
        expect(encodeDelta(head, event.at, event.text).data.isWellFormed()).toBe(true);
      }),
    );
  });

  it('merged with its neighbours is the one delta that says the same, without parsing any', () => {
    fc.assert(
      fc.property(delta, fc.array(anyText, { maxLength: 8 }), (first, more) => {
        let at = first.at + first.text.length;
        const rest = more.map((text) => {
          const next = { ...first, at, text };
          at += text.length;
          return next;
        });
        const jsons = [first, ...rest].map((event) => publicJson(encodeEvent(event).data, 'delta'));
        const merged = JSON.parse(mergeDeltas(jsons)) as object;
        expect({ type: 'delta', ...merged }).toEqual({ ...first, text: [first.text, ...more].join('') });
      }),
    );
  });

  it('is merged only with deltas of its own run, part and kind', () => {
    fc.assert(
      fc.property(delta, delta, (a, b) => {
        const same = a.runId === b.runId && a.messageId === b.messageId && a.part === b.part && a.kind === b.kind;
        expect(isSamePart(publicJson(encodeEvent(a).data, 'delta'), publicJson(encodeEvent(b).data, 'delta'))).toBe(
          same,
        );
      }),
    );
    const one = publicJson(
      encodeEvent({ type: 'delta', runId: 'r', messageId: 'm', part: 1, kind: 'text', at: 0, text: 'x' }).data,
      'delta',
    );
    const ten = publicJson(
      encodeEvent({ type: 'delta', runId: 'r', messageId: 'm', part: 10, kind: 'text', at: 0, text: 'x' }).data,
      'delta',
    );
    expect(isSamePart(one, ten)).toBe(false);
    expect(isSamePart(one, one)).toBe(true);
  });
});

describe('lengths', () => {
  it('come back from their marks', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300_000)), (lengths) => {
        const list = new LengthList();
        for (const length of lengths) list.push(length);
        expect(list.count).toBe(lengths.length);
        expect(decodeLengths(list.encode())).toEqual(lengths);
      }),
    );
  });
});
