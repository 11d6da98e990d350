// The codecs of a chat's records: decoding gives what was encoded, and the fast paths agree with the plain ones.
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
  it('is decoded from its record as it was encoded, without its hidden part', () => {
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

  it('is skipped when its type or version is unknown', () => {
    expect(decodeEvent('1 run.invented {"runId":"r"}')).toBeUndefined();
    expect(decodeEvent('2 delta {"runId":"r"}')).toBeUndefined();
    expect(decodeEvent('')).toBeUndefined();
    expect(decodeEvent('1 constructor {}')).toBeUndefined();
  });
});

describe('a delta', () => {
  it('is encoded by the fast path as the plain codec encodes it', () => {
    fc.assert(
      fc.property(delta, (event) => {
        const head = deltaHead(event.runId, event.messageId, event.part, event.kind);
        expect(encodeDelta(head, event.at, event.text)).toEqual(encodeEvent(event));
        expect(encodeDelta(head, event.at, event.text).data.isWellFormed()).toBe(true);
      }),
    );
  });

  it('is merged with its neighbours into one delta with the same text, and none of them is parsed', () => {
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

  it('is merged only with deltas of the same run, part and kind', () => {
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
  it('are decoded from their marks', () => {
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
