// Writes a file of agents, as HOLDLINE_AGENTS names it, into a folder that ends with this process.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @returns its path */
export function agentsFile(agents: Readonly<Record<string, object>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-scenario-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'agents.json');
  writeFileSync(path, JSON.stringify({ agents }));
  return path;
}
