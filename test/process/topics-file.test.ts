// The file of topics: what it may and may not contain, with the place of every fault.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConfig } from '../../src/cli/config/config.ts';
import { configFaults } from './config-faults.ts';

const DAY = 24 * 60 * 60 * 1000;

function topicsFile(content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-topics-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'topics.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const faultsOf = (content: unknown): string[] => configFaults({ HOLDLINE_TOPICS: topicsFile(content) });
const ofChats = (ttl: object): object => ({ topics: { 'chat/*': { ttl } } });

describe('the file of topics', () => {
  it('is read into the policies of chats', () => {
    const content = {
      topics: {
        'chat/*': { ttl: { mode: 'reader', default: '7d', min: '1h', max: '90d', hardMax: '730d' } },
        'chat/acme:*': { perTenant: { chats: 5, bytes: 1000, chatsPerSecond: 0.5 } },
      },
    };
    const { topics } = readConfig({ HOLDLINE_TOPICS: topicsFile(content) });
    expect(Object.fromEntries(topics ?? [])).toEqual({
      'chat/*': { ttl: { mode: 'reader', ms: 7 * DAY, min: DAY / 24, max: 90 * DAY, hardMax: 730 * DAY } },
      'chat/acme:*': {
        ttl: {},
        quota: { topics: 5, bytes: 1000, creations: { perSecond: 0.5, burst: 1 } },
      },
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['is not JSON', '{"topics": x}', /topics\.json:1:12: not JSON/],
    ['has no topics', {}, /the file: must have required properties topics$/],
    [
      'has a pattern of other topics',
      { topics: { 'request/*': {} } },
      /topics\.request\/\*: is not a pattern of chats/,
    ],
    ['has a pattern of one chat', { topics: { 'chat/acme:s': {} } }, /is not a pattern of chats/],
    ['has a misspelled field', ofChats({ hardmax: '9d' }), /ttl\.hardmax: is not a field .* do you mean hardMax\?$/],
    ['has no such mode', ofChats({ mode: 'never' }), /ttl\.mode: must be one of idle, reader, absolute$/],
    ['has a number for a time', ofChats({ default: 60 }), /ttl\.default: must be string$/],
    ['has a time in another form', ofChats({ default: '1 day' }), /ttl\.default: must match pattern/],
    ['has a TTL below a minute', ofChats({ min: '59s' }), /ttl\.min: is from 60s to 365d$/],
    ['has a TTL above a year', ofChats({ max: '366d' }), /ttl\.max: is from 60s to 365d$/],
    ['has a hard maximum that ends runs', ofChats({ hardMax: '6d' }), /ttl\.hardMax: is from 604800s to 3650d$/],
    ['has a hard maximum of a thousand years', ofChats({ hardMax: '365000d' }), /ttl\.hardMax: is from/],
    ['has a floor above its ceiling', ofChats({ min: '2h', max: '1h' }), /ttl\.min: is above max$/],
    ['has a ceiling above its hard maximum', ofChats({ max: '9d', hardMax: '8d' }), /ttl\.max: is above hardMax$/],
    ['has a burst without a rate', { topics: { 'chat/*': { perTenant: { chatsBurst: 5 } } } }, /needs chatsPerSecond$/],
    ['has a misspelled quota', { topics: { 'chat/*': { perTenant: { chat: 5 } } } }, /do you mean chats\?$/],
    ['has a negative quota', { topics: { 'chat/*': { perTenant: { bytes: -1 } } } }, /perTenant\.bytes: must be >= 0$/],
  ])('is refused when it %s', (_, content, fault) => {
    expect(faultsOf(content)).toEqual([expect.stringMatching(fault)]);
  });

  it('reports every fault at once, and must be there', () => {
    expect(faultsOf(ofChats({ min: '1s', max: '999d', hardMax: '1d' }))).toHaveLength(3);
    expect(configFaults({ HOLDLINE_TOPICS: '/no/such/file' })).toEqual([
      expect.stringMatching(/^HOLDLINE_TOPICS: ENOENT/),
    ]);
  });
});
