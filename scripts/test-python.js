// @ts-check
// `npm run test:python`: packages of Python against the built server with its demo model, on loopback. Each is installed
// from PyPI, in exact versions, into an environment of its own; later runs use the same environments. The command line may
// name some of the packages. Exit code: 0 if every package passed, 1 if one failed, 2 if one could not be tested because
// there is no Python or the package could not be installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Each has a file of this name in `test/python/requirements`. */
const PACKAGES = {
  openai: ['openai_package.py', 'openai_waits.py', 'native_waits.py', 'examples_package.py'],
  'langchain-openai': ['langchain_openai_package.py'],
  'pydantic-ai': ['pydantic_ai_package.py'],
  ag2: ['ag2_package.py'],
  autogen: ['autogen_package.py'],
  crewai: ['crewai_package.py'],
  'a2a-sdk': ['a2a_sdk_package.py'],
  'langgraph-sdk': ['langgraph_sdk_package.py'],
};
/** In ms. */
const SCRIPT_MAX = 180_000;
const INSTALL_MAX = 900_000;
const OLDEST_PYTHON = 10;

const root = fileURLToPath(new URL('..', import.meta.url));
const lane = join(root, 'test/python');
const main = join(root, 'dist/main.js');
/** Where the environments are kept. */
const venvs = process.env['TEST_PYTHON_VENVS'] ?? join(root, 'node_modules/.cache/holdline/python');

/** @typedef {{ package: string, case: string, outcome: 'passed' | 'FAILED' | 'SKIPPED', note: string }} Row */

const named = process.argv.slice(2);
const unknown = named.filter((name) => !Object.hasOwn(PACKAGES, name));
if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: the packages are ${Object.keys(PACKAGES).join(', ')}`);
const chosen = Object.entries(PACKAGES).filter(([name]) => named.length === 0 || named.includes(name));
const rows = await test(pythonFault());
print(rows);

/** @returns {string | undefined} why Python cannot be used */
function pythonFault() {
  const { status, stdout } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
  if (status !== 0) return 'there is no python3';
  const minor = Number(/^Python 3\.(\d+)/.exec(stdout)?.[1]);
  return minor >= OLDEST_PYTHON ? undefined : `${stdout.trim()} is too old: these packages need 3.${OLDEST_PYTHON}`;
}

/** @param {string | undefined} fault @returns {Promise<Row[]>} */
async function test(fault) {
  const installed = chosen.map(([name, scripts]) => ({ name, scripts, fault: fault ?? install(name) }));
  const skipped = installed.flatMap((one) => (one.fault === undefined ? [] : [skip(one.name, one.fault)]));
  const ready = installed.filter((one) => one.fault === undefined);
  if (ready.length === 0) return skipped;
  const server = await startServer();
  try {
    const tested = ready.flatMap(({ name, scripts }) => scripts.flatMap((script) => run(server, name, script)));
    return [...tested, ...skipped];
  } finally {
    server.stop();
  }
}

/** @param {string} name @param {string} note @returns {Row} */
function skip(name, note) {
  return { package: name, case: '-', outcome: 'SKIPPED', note };
}

/** @param {string} name @returns {string | undefined} why it is not installed */
function install(name) {
  const wanted = readFileSync(join(lane, 'requirements', `${name}.txt`), 'utf8');
  const folder = join(venvs, name);
  const stamp = join(folder, 'installed.txt');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return undefined;
  process.stdout.write(`installing ${name}\n`);
  rmSync(folder, { recursive: true, force: true });
  const python = join(folder, 'bin/python');
  const file = join(lane, 'requirements', `${name}.txt`);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--prefer-binary', '-r', file];
  for (const [program, args] of /** @type {const} */ ([
    ['python3', ['-m', 'venv', folder]],
    [python, pip],
  ])) {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: INSTALL_MAX });
    if (status !== 0) return `it could not be installed: ${(stderr ?? '').trim().split('\n').at(-1) ?? ''}`;
  }
  writeFileSync(stamp, wanted);
  return undefined;
}

/** @returns {Promise<{ url: string, token: string, stop: () => void }>} */
async function startServer() {
  if (!existsSync(main)) throw new Error(`${main} is not there: run npm run build first`);
  const data = mkdtempSync(join(tmpdir(), 'holdline-python-'));
  const env = { ...cleanEnv(), HOLDLINE_BROKER: `log:${data}`, PORT: '0' };
  const child = spawn(process.execPath, [main, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = () => {
    child.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', stop);
  for await (const line of createInterface(child.stdout)) {
    const url = /^holdline serves (\S+)$/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    const made = spawnSync(process.execPath, [main, 'token', '--sub', 'you'], { env, encoding: 'utf8' });
    return { url, token: made.stdout.trim(), stop };
  }
  throw new Error('the server ended before it served');
}

/** Runs one script. Each line of JSON that it prints is the outcome of a case.
 *  @param {{ url: string, token: string }} server @param {string} name @param {string} script @returns {Row[]} */
function run({ url, token }, name, script) {
  const env = { ...cleanEnv(), HOLDLINE_URL: url, TOKEN: token, PYTHONDONTWRITEBYTECODE: '1' };
  const python = join(venvs, name, 'bin/python');
  const done = spawnSync(python, [join(lane, script)], { env, encoding: 'utf8', timeout: SCRIPT_MAX });
  /** @param {string} line @returns {Row} */
  const rowOf = (line) => {
    const { case: title, ok, note } = JSON.parse(line);
    return { package: name, case: title, outcome: ok ? 'passed' : 'FAILED', note };
  };
  const lines = (done.stdout ?? '').split('\n').filter((line) => line.startsWith('{"case"'));
  const rows = lines.map(rowOf);
  if (rows.some(({ outcome }) => outcome === 'FAILED')) process.stdout.write(done.stderr ?? '');
  const hasEnded = rows.length > 0 && (done.status === 0 || done.status === 1);
  if (hasEnded) return rows;
  process.stdout.write(done.stderr ?? '');
  const note = done.error?.message ?? `it ended with ${done.signal ?? done.status}`;
  return [...rows, { package: name, case: script, outcome: 'FAILED', note }];
}

/** The environment without Holdline's settings. @returns {Record<string, string | undefined>} */
function cleanEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^HOLDLINE_|^(PORT|HOST)$/.test(name)));
}

/** @param {readonly Row[]} rows */
function print(rows) {
  const widthOf = (/** @type {'package' | 'case'} */ column) => Math.max(...rows.map((row) => row[column].length));
  const [packages, cases] = [widthOf('package'), widthOf('case')];
  process.stdout.write('\n');
  for (const row of rows)
    console.log(`${row.outcome.padEnd(7)}  ${row.package.padEnd(packages)}  ${row.case.padEnd(cases)}  ${row.note}`);
  const count = (/** @type {Row['outcome']} */ outcome) => rows.filter((row) => row.outcome === outcome).length;
  const skipped = rows.filter(({ outcome }) => outcome === 'SKIPPED').map((row) => row.package);
  if (skipped.length > 0)
    console.error(`\nNOT EVERY PACKAGE WAS TESTED: ${skipped.join(', ')}. This is not a pass: exit code 2.`);
  console.log(`\n${count('passed')} passed, ${count('FAILED')} failed, ${count('SKIPPED')} skipped`);
  process.exitCode = count('FAILED') > 0 ? 1 : skipped.length > 0 ? 2 : 0;
}
