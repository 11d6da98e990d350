// @ts-check
// `npm run test:nodes`: runs the fast tests on every Node version that this project supports, or on those that the
// command line names. The versions come from npm (`npx node@24`). Exit code: 0 if every version passed, 1 if one
// failed, 2 if one could not be had from npm, so that nothing was tested on it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The oldest minor of `engines` in package.json, and the newest of each line after it. */
const VERSIONS = ['20.20', '22', '24', '26'];
const VITEST = 'node_modules/vitest/vitest.mjs';
const TESTS = ['run', '--config', 'vitest.fast.config.ts'];
const root = fileURLToPath(new URL('..', import.meta.url));

const named = process.argv.slice(2);
if (!existsSync(`${root}/${VITEST}`)) throw new Error(`there is no ${VITEST}: run npm ci first`);
const results = (named.length > 0 ? named : VERSIONS).map((version) => ({ version, outcome: test(version) }));
for (const { version, outcome } of results) console.log(`${outcome.padEnd(7)} Node ${version}`);
const skipped = results.filter(({ outcome }) => outcome === 'SKIPPED').map(({ version }) => version);
if (skipped.length > 0)
  console.error(
    `\nNOT EVERY VERSION WAS TESTED: npm did not give Node ${skipped.join(', ')}. This is not a pass: exit code 2.`,
  );
process.exitCode = results.some(({ outcome }) => outcome === 'FAILED') ? 1 : skipped.length > 0 ? 2 : 0;

/** @param {string} version @returns {'PASSED' | 'FAILED' | 'SKIPPED'} */
function test(version) {
  const { status, stdout } = node(version, ['--version'], 'pipe');
  // npx may find another version when it cannot install the one that was named.
  if (status !== 0 || !`${String(stdout).trim()}.`.startsWith(`v${version}.`)) return 'SKIPPED';
  console.log(`\nNode ${String(stdout).trim()}`);
  return node(version, [VITEST, ...TESTS], 'inherit').status === 0 ? 'PASSED' : 'FAILED';
}

/** @param {string} version @param {readonly string[]} args @param {'pipe' | 'inherit'} output */
function node(version, args, output) {
  return spawnSync('npx', ['--yes', '--package', `node@${version}`, 'node', ...args], {
    cwd: root,
    stdio: ['ignore', output, output === 'pipe' ? 'ignore' : 'inherit'],
  });
}
