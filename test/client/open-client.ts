// A client against a scripted server, and ways to wait without sleeping for what it shows.
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { createChatClient } from '../../src/client/chat-client.ts';
import type { Chat, ChatClient, ChatClientOptions, ChatSnapshot } from '../../src/client/chat-client.ts';
import { ProtocolServer } from '../support/protocol-server.ts';
import { ManualEnvironment } from './manual-environment.ts';

export interface Opened {
  readonly server: ProtocolServer;
  readonly client: ChatClient;
  readonly environment: ManualEnvironment;
}

/** Waits of up to a second end by themselves: those between attempts, never those of a heartbeat. */
export const HURRY_MS = 1_000;

export async function openClient(
  options: Partial<ChatClientOptions> & { readonly hurryUpToMs?: number } = {},
): Promise<Opened> {
  const server = await ProtocolServer.listen();
  const { hurryUpToMs, ...given } = options;
  const environment = new ManualEnvironment(hurryUpToMs ?? HURRY_MS);
  const client = createChatClient({ baseUrl: server.url, token: 'good', WebSocket, environment, ...given });
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  return { server, client, environment };
}

/** The first snapshot that fulfils the condition. When none comes, the time limit of the test ends the wait and shows
 *  the last one. */
export function shows(chat: Chat, wanted: (snapshot: ChatSnapshot) => boolean): Promise<ChatSnapshot> {
  return new Promise((resolve) => {
    const look = (): void => {
      const snapshot = chat.snapshot();
      if (!wanted(snapshot)) return;
      stop();
      resolve(snapshot);
    };
    const stop = chat.subscribe(look);
    queueMicrotask(look);
  });
}

/** For conditions that no snapshot shows, such as what the server has received. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export const isLive = (snapshot: ChatSnapshot): boolean => snapshot.connection.state === 'live';
export const isClosed = (snapshot: ChatSnapshot): boolean => snapshot.connection.state === 'closed';
export const isWaiting = (snapshot: ChatSnapshot): boolean => snapshot.connection.state === 'waiting';

/** Each message as `role: text`. */
export function texts(snapshot: ChatSnapshot): string[] {
  return snapshot.messages.map(
    (message) =>
      `${message.role}: ${message.parts.map((part) => (part.kind === 'text' ? part.text : `<${part.kind}>`)).join('|')}`,
  );
}
