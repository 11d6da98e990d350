// @ts-check
// `npm run test:nodes`: runs the fast tests on the Node versions that this project supports besides the one at hand. The versions
// come from npm (`npx node@24`); a version that cannot be had is named, and the lane then says that it was skipped.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const VERSIONS = ['22', '24', '26'];
const root = fileURLToPath(new URL('..', import.meta.url));
const vitest = 'node_modules/vitest/vitest.mjs';

/** @type {string[]} */
const failed = [];
/** @type {string[]} */
const skipped = [];
for (const version of VERSIONS) {
  const told = node(version, ['--version'], 'pipe');
  if (told.status !== 0) {
    skipped.push(version);
    continue;
  }
  console.log(`\nNode ${String(told.stdout).trim()}`);
  const { status } = node(version, [vitest, 'run', '--config', 'vitest.fast.config.ts'], 'inherit');
  if (status !== 0) failed.push(version);
}
for (const version of skipped)
  console.error(`SKIPPED: Node ${version} could not be had from npm, nothing was tested on it`);
for (const version of failed) console.error(`FAILED on Node ${version}`);
process.exitCode = failed.length > 0 ? 1 : skipped.length === VERSIONS.length ? 2 : 0;

/** @param {string} version @param {readonly string[]} args @param {'pipe' | 'inherit'} output */
function node(version, args, output) {
  return spawnSync('npx', ['--yes', '--package', `node@${version}`, 'node', ...args], {
    cwd: root,
    stdio: ['ignore', output, output === 'pipe' ? 'ignore' : 'inherit'],
  });
}
