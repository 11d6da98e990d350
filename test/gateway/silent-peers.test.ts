// An event stream whose network goes silent, without a packet from either side.
import { execFileSync, spawn } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { canonicalAddress, silentPeers } from '../../src/gateway/connections/tcp-table.ts';
import { PULSE_MS } from '../../src/gateway/connections/connections.ts';
import { LOOK_MS } from '../../src/gateway/connections/silent-peers.ts';
import { eventually } from '../support/wait-for.ts';
import { startHarness } from '../support/gateway-harness.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

describe("the kernel's table", () => {
  it.each<[string, string, readonly string[]]>([
    [
      'a connection at rest',
      '   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100',
      [],
    ],
    [
      'one that waits for its first answer',
      '   0: 0100007F:1F90 0200000A:C350 01 00000003:00000000 01:00000014 00000000     0        0 12345 2 0 100',
      [],
    ],
    [
      'one that was sent the same six times',
      '   0: 0100007F:1F90 0200000A:C350 01 00000003:00000000 01:00000014 00000006     0        0 12345 2 0 100',
      [],
    ],
    [
      'one that was sent the same seven times',
      '   0: 0100007F:1F90 0200000A:C350 01 00000003:00000000 01:00000014 00000007     0        0 12345 2 0 100',
      ['10.0.0.2 50000 8080'],
    ],
    [
      'a reader that is slow and answers',
      '  12: 0100007F:1F90 0200000A:C350 01 00010000:00000000 04:00000014 00000000     0        0 12345 2 0 100',
      [],
    ],
    [
      'a reader that was slow and answers no more',
      '  12: 0100007F:1F90 0200000A:C350 01 00010000:00000000 04:00000014 00000000     0        9 12345 2 0 100',
      ['10.0.0.2 50000 8080'],
    ],
    [
      'one that is kept alive',
      '   0: 0100007F:1F90 0200000A:C350 01 00000000:00000000 02:00000014 00000000     0        0 12345 2 0 100',
      [],
    ],
    [
      'one that is ending',
      '   0: 0100007F:1F90 0200000A:C350 04 00000003:00000000 01:00000014 0000000A     0        0 12345 2 0 100',
      [],
    ],
    [
      'one of many',
      '54321: 0100007F:1F90 0200000A:C350 01 00000003:00000000 01:00000014 0000000F  1000        0 12345 2 0 100',
      ['10.0.0.2 50000 8080'],
    ],
    [
      'IPv4 within IPv6',
      '   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000200000A:C350 01 00000003:00000000 01:00000014 00000008     0        0 12345 2 0 100',
      ['10.0.0.2 50000 8080'],
    ],
    [
      'IPv6',
      '   0: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:C350 01 00000003:00000000 01:00000014 00000008     0        0 12345 2 0 100',
      ['[2001:db8::2] 50000 8080'],
    ],
  ])('says of %s whether its peer is silent', (_what, line, silent) => {
    expect(
      silentPeers(`${HEAD}${line}\n`, 7).map(({ address, port, localPort }) => `${address} ${port} ${localPort}`),
    ).toEqual(silent);
  });

  it('names a peer as Node does', () => {
    expect(['10.0.0.2', '::ffff:10.0.0.2', '2001:DB8:0:0::2', 'fe80::1%eth0'].map(canonicalAddress)).toEqual([
      '10.0.0.2',
      '10.0.0.2',
      '[2001:db8::2]',
      '[fe80::1]',
    ]);
  });
});

const ip = (...args: readonly string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });

/** A network namespace; undefined when the system does not allow one. */
function startNetwork():
  { readonly host: string; readonly client: string; readonly name: string; readonly silence: () => void } | undefined {
  const name = `holdline${process.pid}`;
  // A killed run leaves its network behind, so each run has addresses of its own.
  const net = `10.203.${process.pid % 250}`;
  const [host, client] = [`${net}.1`, `${net}.2`];
  try {
    ip('netns', 'add', name);
  } catch {
    return undefined;
  }
  onTestFinished(() => ip('netns', 'del', name));
  const [outer, inner] = [`ho${process.pid}`, `hi${process.pid}`];
  ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', name);
  ip('addr', 'add', `${host}/30`, 'dev', outer);
  ip('link', 'set', outer, 'up');
  ip('-n', name, 'addr', 'add', `${client}/30`, 'dev', inner);
  ip('-n', name, 'link', 'set', inner, 'up');
  return { host, client, name, silence: () => ip('-n', name, 'addr', 'del', `${client}/30`, 'dev', inner) };
}

describe.skipIf(process.getuid?.() !== 0 || process.platform !== 'linux')(
  'an event stream whose network goes silent',
  () => {
    it('is ended, and another stream is not', async (context) => {
      const network = startNetwork();
      if (network === undefined) {
        context.skip();
        return;
      }
      const h = await startHarness({ config: { silentTriesMax: 3 } });
      await h.gateway.app.listen({ port: 0, host: network.host });
      const { port } = h.gateway.app.server.address() as AddressInfo;
      await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
      // The token outlasts the manual clock's steps while the kernel retries in real time.
      const bearer = h.bearer('ann', { exp: h.clock.now() / 1000 + 300 * 24 * 3600 });
      const read = (host: string, wrapper: readonly string[]): (() => string) => {
        const [command, ...args] = [
          ...wrapper,
          'curl',
          '-sN',
          '-H',
          `authorization: ${bearer}`,
          `http://${host}:${port}/v1/sessions/s/events`,
        ];
        const child = spawn(command, args);
        onTestFinished(() => void child.kill('SIGKILL'));
        let heard = '';
        child.stdout.setEncoding('utf8').on('data', (text: string) => (heard += text));
        return () => heard;
      };
      const far = read(network.host, ['ip', 'netns', 'exec', network.name]);
      const near = read(network.host, []);
      await eventually(async () => Promise.resolve(far().includes('event: live') && near().includes('event: live')));
      network.silence();
      const streams = async (): Promise<string | undefined> =>
        /^holdline_streams\{wire="sse"\} (\d+)/m.exec((await h.call('GET', '/metrics')).text)?.[1];
      expect(await streams()).toBe('2');
      await eventually(async () => {
        await h.clock.advance(Math.max(LOOK_MS, PULSE_MS));
        return (await streams()) === '1';
      });
      await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'still here' });
      await eventually(async () => Promise.resolve(near().includes('still here')));
      expect(far()).not.toContain('still here');
    });
  },
);
