// The code of the pages of docs/clients, as a reader copies it, with the clients' packages and a real server. Only the
// address is another one, and `token` and what else the text leaves to the reader is given.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { startedServer } from '../process/started-server.ts';
import { Child, childEnv } from '../support/child.ts';
import { owned } from '../support/owned-child.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';

vi.setConfig({ testTimeout: timeLimit(60_000) });

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Inside the project, so that the packages are found. */
const CACHE = join(ROOT, 'node_modules/.cache/holdline');

interface Page {
  readonly name: string;
  /** Code before and behind that of the page. */
  readonly before?: string;
  readonly behind?: string;
  readonly prints: RegExp;
}

const ANSWER = /demo model/;
const PAGES: readonly Page[] = [
  { name: 'a2a', before: 'const show = (payload) => console.log(JSON.stringify(payload));', prints: ANSWER },
  {
    name: 'ag-ui',
    before: 'const threadId = "offers";',
    behind: 'console.log(agent.messages.at(-1).content);',
    prints: ANSWER,
  },
  { name: 'langgraph', prints: ANSWER },
  { name: 'mcp', behind: 'console.log(ended.state, ended.text);', prints: /^completed # Hello from the demo model/ },
  { name: 'durable-streams', behind: 'setTimeout(() => process.exit(0), 1000);', prints: /text: 'hello'/ },
  { name: 'openai', prints: /demo model[^]*demo model/ },
];

/** The code of all its blocks, in their order, for this server. */
function codeOf({ name, before = '', behind = '' }: Page, { url, token }: ServerProcess): string {
  const page = readFileSync(join(ROOT, 'docs/clients', `${name}.md`), 'utf8');
  // Agents sessions need openai 7, and so a newer Node than this: test/node24 runs them.
  const blocks = [...page.matchAll(/^```(?:ts|js)\n([^]*?)^```/gm)]
    .map(([, block = '']) => block)
    .filter((block) => !block.includes('// openai 7'));
  expect(blocks.length).toBeGreaterThan(0);
  const given = name === 'durable-streams' ? `const token = () => '${token}';` : `const token = '${token}';`;
  const addressed = blocks.join('\n').replaceAll(/https:\/\/chat\.example\.com|http:\/\/127\.0\.0\.1:8080/g, url);
  return [given, before, addressed, behind].join('\n');
}

describe('the code of a page of docs/clients', () => {
  it.each(PAGES.map((page) => [page.name, page] as const))('%s does what the page says', async (_name, page) => {
    const server = await startedServer();
    mkdirSync(CACHE, { recursive: true });
    const folder = mkdtempSync(join(CACHE, 'page-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'page.mjs');
    writeFileSync(file, transformSync(codeOf(page, server), { loader: 'ts', target: 'node20' }).code);
    const child = owned(new Child(process.execPath, [file], { cwd: ROOT, env: childEnv() }));
    expect(await child.exited, child.stderr).toMatchObject({ code: 0 });
    expect(child.stdout).toMatch(page.prints);
  });
});
