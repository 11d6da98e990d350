// A client that sends frames and reads no replies: its frames wait, and the replies do not pile up.
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { UNTAKEN_BYTES_MAX, WAITING_FRAMES_MAX } from '../../src/gateway/ws/ws-connection.ts';
import { eventually, turn } from '../support/wait-for.ts';
import { startHarness } from '../support/gateway-harness.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

it('frames of a socket wait while too many of its replies are unread, and are served afterwards', async () => {
  const h = await startHarness({ config: { framesPerSecond: 1_000_000, framesBurst: 1_000_000 } });
  const { wsUrl } = await h.listen();
  const served = { sockets: [] as { readonly writableLength: number }[] };
  h.gateway.app.server.on('connection', (socket) => served.sockets.push(socket));
  const client = await WsClient.open(wsUrl, { headers: { authorization: h.bearer('mallory') } });
  const [socket] = served.sockets;
  client.socket.pause();
  // Each reply has the frame's id and its fault.
  const frames = 60_000;
  for (let i = 0; i < frames; i += 1) client.send({ type: 'send', requestId: 'r'.repeat(120), sessionId: 's' });
  await eventually(() => (socket?.writableLength ?? 0) > UNTAKEN_BYTES_MAX || client.socket.bufferedAmount === 0);
  for (let i = 0; i < 200; i += 1) await turn();
  expect(socket?.writableLength).toBeLessThan(UNTAKEN_BYTES_MAX + 2 * WAITING_FRAMES_MAX * 1024);
  expect(client.socket.bufferedAmount).toBeGreaterThan(0);
  client.socket.resume();
  await eventually(() => client.frames.seen.length === frames);
  client.socket.close();
  await once(client.socket, 'close');
});
