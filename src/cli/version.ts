// The version of this package, as its package.json says.
import { readFileSync } from 'node:fs';

export function readVersion(): string {
  // The file is two folders up, of the source and of what is built from it.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
