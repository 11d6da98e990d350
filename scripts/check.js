// @ts-check
// `npm run check`: the checks that read the sources, two at a time because each has one thread, and then the tests. One
// after another they took three minutes of the gate's fifteen. Stops before the tests if a check fails, and prints
// what each check said.
import { spawn } from 'node:child_process';

/** The longest first. */
const CHECKS = ['lint', 'types', 'build', 'format:check', 'unused'];
const AT_ONCE = 2;

/**
 * @param {string} script of package.json
 * @returns {Promise<boolean>} whether it passed
 */
function run(script) {
  const begun = performance.now();
  const child = spawn('npm', ['run', '--silent', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = /** @type {Buffer[]} */ ([]);
  child.stdout.on('data', (chunk) => said.push(chunk));
  child.stderr.on('data', (chunk) => said.push(chunk));
  return new Promise((resolve) => {
    child.once('error', (error) => said.push(Buffer.from(`${error.message}\n`)));
    child.once('close', (code) => {
      const seconds = Math.round((performance.now() - begun) / 1000);
      process.stdout.write(`check ${script}: ${code === 0 ? 'passed' : 'FAILED'} in ${seconds} s\n`);
      process.stdout.write(Buffer.concat(said));
      resolve(code === 0);
    });
  });
}

const waiting = [...CHECKS];
let hasFailed = false;

async function runOneByOne() {
  for (let script = waiting.shift(); script !== undefined; script = waiting.shift())
    if (!(await run(script))) hasFailed = true;
}

await Promise.all(Array.from({ length: AT_ONCE }, runOneByOne));
if (hasFailed) process.exit(1);
const tests = spawn('vitest', ['run'], { stdio: 'inherit' });
tests.once('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
tests.once('close', (code) => (process.exitCode = code ?? 1));
