// A folder with the modules of agents in code and the file that names the agents. It is removed with its test.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** @param modules ES modules, by their file names */
export function agentsFolder(modules: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-agents-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const files = { 'package.json': '{ "type": "module" }', ...modules };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Writes the file for HOLDLINE_AGENTS, and returns its path. */
export function writeAgents(folder: string, agents: Readonly<Record<string, unknown>>): string {
  const path = join(folder, 'agents.json');
  writeFileSync(path, JSON.stringify({ agents }));
  return path;
}
