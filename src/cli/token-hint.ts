// What a server says that writes to no terminal: how its operator gets a token. The command is whole, so that it can be
// copied to any folder. Pure.
import { resolve } from 'node:path';
import type { BrokerConfig } from './config/broker-config.ts';

/** `main`: the file that was started. */
export function tokenHint(broker: BrokerConfig, main: string, url: string): readonly string[] {
  const command = `node ${quoted(main)} token --sub you`;
  if (broker.engine !== 'log')
    return [`no token outlives this process: set HOLDLINE_JWT_SECRET for it and for this command: ${command}`];
  return [
    `for a token: HOLDLINE_BROKER=${quoted(`log:${resolve(broker.folder)}`)} ${command}`,
    `then open ${url}/#token=<token>`,
  ];
}

/** For a shell. */
function quoted(text: string): string {
  return /^[A-Za-z0-9_./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
