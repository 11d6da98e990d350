// @ts-check
// `npm run build`, and the first step of `npm start`, `npm run cluster` and `npm run agents`: makes dist/ from the sources.
// Compares the content of a part's inputs, and the files it left, with those of its last build, and builds a part only
// where they differ: a start without a change then costs a fraction of a second and not a compilation.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Relative to the root, as all paths here. Not part of the package. */
const STATE = 'dist/.build';
const PAGE = 'dist/web-demo';
const COMPILER_STATE = `${STATE}/compiler.json`;
/** As `engines` of package.json says. */
const NODE_MIN = /** @type {const} */ ([20, 20]);
/** A new version of a tool may build something else from the same sources. */
const COMMON_INPUTS = ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts/build.js', 'scripts/bundle.js'];

/**
 * @typedef {object} Part
 * @property {string} name
 * @property {readonly string[]} inputs files, and folders with everything in them
 * @property {() => readonly string[]} outputs
 * @property {readonly (readonly string[])[]} commands each a script and its arguments; they run at the same time
 * @property {() => void} tidy removes what a deleted source left, once its part is built
 */

/** @type {readonly Part[]} */
const PARTS = [
  {
    name: 'code',
    inputs: [...COMMON_INPUTS, 'tsconfig.build.json', 'src'],
    outputs: () => filesIn('dist').filter((path) => !path.startsWith(`${PAGE}/`) && !path.startsWith(`${STATE}/`)),
    commands: [
      [
        ...['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--emitDeclarationOnly'],
        ...['--incremental', '--tsBuildInfoFile', COMPILER_STATE],
      ],
      ['scripts/bundle.js'],
    ],
    tidy: finishCode,
  },
  {
    name: 'page',
    inputs: [...COMMON_INPUTS, 'web-demo', 'src/client', 'src/base'],
    outputs: () => filesIn(PAGE),
    commands: [['node_modules/vite/bin/vite.js', 'build', 'web-demo', '--logLevel', 'warn']],
    tidy: () => undefined,
  },
];

process.exitCode = await build();

/** @returns {Promise<number>} the exit code */
async function build() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1]))
    return refuse(`Node ${NODE_MIN.join('.')} or later is needed, and this is ${process.versions.node}`);
  if (!existsSync(join(root, 'node_modules/typescript')))
    return refuse('the packages are not installed: run npm ci first');
  const stale = PARTS.map((part) => ({ part, inputs: digestOf(part.inputs) })).filter(
    ({ part, inputs }) => !isBuilt(part, inputs),
  );
  if (stale.length === 0) {
    console.log('holdline: the build is up to date');
    return 0;
  }
  console.log(`holdline: building what changed: ${stale.map(({ part }) => part.name).join(', ')}`);
  mkdirSync(join(root, STATE), { recursive: true });
  // At the same time: they share no output.
  const built = await Promise.all(stale.map(async ({ part, inputs }) => buildPart(part, inputs)));
  const failed = stale.filter((_, i) => built[i] !== true).map(({ part }) => part.name);
  return failed.length === 0 ? 0 : refuse(`the build failed: ${failed.join(', ')}`);
}

/** @param {string} what @returns {number} */
function refuse(what) {
  console.error(`holdline: ${what}`);
  return 1;
}

/** @param {Part} part @param {string} inputs */
function isBuilt(part, inputs) {
  const stamp = read(stampOf(part));
  return stamp === stampText(inputs, part);
}

/** @param {Part} part @param {string} inputs the digest of what it is built from @returns {Promise<boolean>} */
async function buildPart(part, inputs) {
  const stamp = read(stampOf(part));
  // A build that fails or is cut off must not count as the last one.
  rmSync(join(root, stampOf(part)), { force: true });
  // The compiler writes only what changed by its own notes, and would not bring back an output that is missing.
  if (stamp === undefined || !stamp.endsWith(outputsDigest(part))) rmSync(join(root, COMPILER_STATE), { force: true });
  const ran = await Promise.all(part.commands.map(async (command) => run(command)));
  if (ran.includes(false)) return false;
  part.tidy();
  writeFileSync(join(root, stampOf(part)), stampText(inputs, part));
  return true;
}

/** @param {Part} part */
function stampOf({ name }) {
  return `${STATE}/${name}.stamp`;
}

/** @param {string} inputs @param {Part} part */
function stampText(inputs, part) {
  return `${inputs} ${outputsDigest(part)}`;
}

/** The outputs by name and size: enough to see one that is missing or cut off. @param {Part} part */
function outputsDigest(part) {
  const hash = createHash('sha256');
  for (const path of part.outputs()) hash.update(`${path} ${statSync(join(root, path)).size}\n`);
  return hash.digest('hex');
}

/** @param {readonly string[]} paths */
function digestOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths.flatMap((one) => filesIn(one))) {
    const content = readFileSync(join(root, path));
    hash.update(`${path} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** In one order on every machine. @param {string} path a file or a folder @returns {string[]} */
function filesIn(path) {
  const stats = statSync(join(root, path), { throwIfNoEntry: false });
  if (stats === undefined) return [];
  if (!stats.isDirectory()) return [path];
  return readdirSync(join(root, path), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

function finishCode() {
  removeLeftTypes();
  // npm makes a command executable only when it first links the package: after another build, npx could not start it.
  chmodSync(join(root, 'dist/main.js'), 0o755);
}

/** The compiler leaves the types of sources that are gone. */
function removeLeftTypes() {
  const sources = new Set(filesIn('src').map((path) => path.replace(/^src\//, 'dist/').replace(/\.(ts|js)$/, '')));
  for (const path of PARTS[0]?.outputs() ?? []) {
    if (path.endsWith('.d.ts') && !sources.has(path.slice(0, -'.d.ts'.length))) rmSync(join(root, path));
  }
}

/** @param {string} path @returns {string | undefined} */
function read(path) {
  return existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
}

/** @param {readonly string[]} args of Node @returns {Promise<boolean>} did it succeed */
async function run(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}
