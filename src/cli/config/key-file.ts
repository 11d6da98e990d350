// Keys on disk: what the configuration names, and the one that is made where none is configured.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const OWN_KEY_BYTES = 48;

/** The key itself, if the value begins like one, else the contents of the file it names. @throws on an unreadable file */
export function readKeyFile(value: string, begins: string): string {
  return value.startsWith(begins) ? value : readFileSync(value, 'utf8');
}

const OWN_KEY_FILE = 'jwt-secret';

/** The folder's own signing key, if a server has made it. */
export function readOwnSecret(folder: string): Uint8Array | undefined {
  try {
    return Buffer.from(readFileSync(join(folder, OWN_KEY_FILE), 'utf8').trim(), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** The folder's own signing key, made on a server's first start, readable by its owner only. */
export function ownSecret(folder: string): Uint8Array {
  const path = join(folder, OWN_KEY_FILE);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    // `wx`: of two processes that start at once, one makes it and the other reads it.
    writeFileSync(path, randomBytes(OWN_KEY_BYTES).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return Buffer.from(readFileSync(path, 'utf8').trim(), 'utf8');
}
