// Keys on disk: the ones that the configuration names, and the one that a server makes where none is configured.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const OWN_KEY_BYTES = 48;

/** The value itself, if it begins like a key, otherwise the contents of the file that it names. @throws on an
 *  unreadable file */
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

/** The folder's own signing key. A server makes it at its first start; only its owner may read it. */
export function ownSecret(folder: string): Uint8Array {
  const path = join(folder, OWN_KEY_FILE);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    // `wx`: of two processes that start at the same time, one makes the file and the other one reads it.
    writeFileSync(path, randomBytes(OWN_KEY_BYTES).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return Buffer.from(readFileSync(path, 'utf8').trim(), 'utf8');
}
