// The version of this package, from its package.json.
import { readFileSync } from 'node:fs';

export function readVersion(): string {
  // Two folders up from the source and from the build.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
