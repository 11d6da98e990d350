// Starts a process that sends large bodies, and waits for its figures.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { SentBodies } from '../body-sender.ts';
import { scriptBeside } from './script-beside.ts';

const SENDER = scriptBeside('../body-sender', import.meta.url);

export interface Sending {
  readonly port: number;
  /** The key of the server's tokens, in hex. */
  readonly secret: string;
  readonly wire: string;
  /** Undefined: a conversation, as the clients of the wire send it. */
  readonly shape: string | undefined;
  readonly seconds: number;
  readonly requests?: number;
}

export async function sendBodies({ port, secret, wire, shape, seconds, requests }: Sending): Promise<SentBodies> {
  const args = [port, wire, shape ?? 'conversation', seconds, ...(requests === undefined ? [] : [requests])];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...SENDER.execArgv, SENDER.path, ...args.map(String)],
    { env: { ...process.env, LOAD_SECRET: secret } },
  );
  return JSON.parse(stdout) as SentBodies;
}
