// @ts-check
// `npm run check`: the checks that read the sources, and the tests. First what the slow tests need: the programs that
// they start, and the build. Then the checks run one after another beside the slow tests, which mostly wait. The fast
// tests take both cores and come last, unless a check has failed. Prints what each check said, and what has failed.
import { spawn } from 'node:child_process';

/** What the tests need. At the same time. */
const NEEDS = ['needs', 'build'];
/** The longest first. One at a time, because the slow tests run beside them. */
const CHECKS = ['lint', 'types', 'format:check', 'unused'];

const failed = /** @type {string[]} */ ([]);

/** @param {string} script of package.json */
async function check(script) {
  const begun = performance.now();
  const child = spawn('npm', ['run', '--silent', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = /** @type {Buffer[]} */ ([]);
  child.stdout.on('data', (chunk) => said.push(chunk));
  child.stderr.on('data', (chunk) => said.push(chunk));
  const code = await codeOf(child);
  const seconds = Math.round((performance.now() - begun) / 1000);
  process.stdout.write(`check ${script}: ${code === 0 ? 'passed' : 'FAILED'} in ${seconds} s\n`);
  process.stdout.write(Buffer.concat(said));
  if (code !== 0) failed.push(script);
}

async function checkOneByOne() {
  for (const script of CHECKS) await check(script);
}

/** @param {'slow' | 'fast'} which */
async function test(which) {
  const code = await codeOf(spawn('npm', ['run', '--silent', `test:${which}`], { stdio: 'inherit' }));
  if (code !== 0) failed.push(`the ${which} tests`);
}

/** @param {import('node:child_process').ChildProcess} child @returns {Promise<number>} */
function codeOf(child) {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(error.message);
      resolve(1);
    });
    child.once('close', (code) => resolve(code ?? 1));
  });
}

await Promise.all(NEEDS.map(check));
if (failed.length === 0) await Promise.all([checkOneByOne(), test('slow')]);
if (!failed.some((name) => [...NEEDS, ...CHECKS].includes(name))) await test('fast');
if (failed.length > 0) {
  console.error(`FAILED: ${failed.join(', ')}`);
  process.exitCode = 1;
}
