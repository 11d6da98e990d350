// Finds the servers that are exposed: on other machines, without a password and without TLS.
import { expect, it } from 'vitest';
import { openServers, parseRedisUrl } from '../../../src/broker/redis/connection/redis-url.ts';

it.each([
  ['redis://127.0.0.1:6379', []],
  ['redis://127.1.2.3', []],
  ['redis://localhost:6379/2', []],
  ['redis://[::1]:6379', []],
  ['redis://10.0.0.7:6379', ['10.0.0.7:6379']],
  ['redis://127.evil.example:6379', ['127.evil.example:6379']],
  ['redis://user@redis:6379', ['redis:6379']],
  ['redis://:secret@redis:6379', []],
  ['rediss://redis:6379', []],
  ['redis-cluster://127.0.0.1:7000,node:7001', ['node:7001']],
  ['redis-cluster://:secret@one:7000,two:7001', []],
  ['redis-sentinel://one:26379,two:26379/main', ['one:26379', 'two:26379']],
] as const)('%s is open at %j', (url, servers) => {
  expect(openServers(parseRedisUrl(url))).toEqual(servers);
});
