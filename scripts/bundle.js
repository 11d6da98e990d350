// @ts-check
// The JavaScript of dist/: one file for each entry, and the code that entries share in chunks beside dist/main.js. A
// process that loads 20 files is up in half of the time of one that loads 1,000. Packages stay where npm installed them,
// except typebox: that is 683 files. The compiler writes only the types (scripts/build.js).
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(root, 'dist');
/** What a process, a thread or a user's import starts with; agent-threads.ts is loaded by a test too. */
const ENTRIES = [
  'src/main.ts',
  'src/client/chat-client.ts',
  'src/sdk/create-worker.ts',
  'src/sdk/threads/agent-threads.ts',
  'src/sdk/threads/thread-main.ts',
  'src/broker/log/topics/index-thread.js',
  'src/broker/log/topics/index-walk.js',
];
const INLINED = 'typebox';
const LICENSE = `${INLINED}.license`;
/** Other parts of the build write there. */
const OTHERS = ['web-demo', '.build'];

/** Modules that find a file by a path from their own place.
 * @type {Set<string>} */
const placed = new Set();
/** In the build a module is a part of a chunk in dist/. Its own place there is the one that it has in src.
 * @type {import('esbuild').Plugin} */
const ownPlaces = {
  name: 'own-places',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]src[/\\].*\.(ts|js)$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      if (!text.includes('import.meta.url')) return undefined;
      const place = relative(join(root, 'src'), path).split(sep).join('/');
      placed.add(`src/${place}`);
      return {
        contents: text.replaceAll('import.meta.url', `new URL('./${place}', import.meta.url)`),
        loader: path.endsWith('.ts') ? 'ts' : 'js',
      };
    });
  },
};

/** @type {import('esbuild').Plugin} */
const packagesOutside = {
  name: 'packages-outside',
  setup({ onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
      kind === 'entry-point' || path === INLINED || path.startsWith(`${INLINED}/`)
        ? undefined
        : { path, external: true },
    );
  },
};

const { outputFiles, metafile } = await build({
  absWorkingDir: root,
  entryPoints: ENTRIES,
  outbase: 'src',
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  plugins: [ownPlaces, packagesOutside],
  logLevel: 'warning',
  metafile: true,
  write: false,
});
for (const [path, { inputs }] of Object.entries(metafile.outputs)) {
  const wrong = dirname(path) === 'dist' ? undefined : Object.keys(inputs).find((input) => placed.has(input));
  if (wrong !== undefined)
    throw new Error(`${wrong} uses import.meta.url and is not in a chunk of dist/ but in ${path}`);
}
for (const { path, contents } of outputFiles) writeChanged(path, contents);
const license = join(root, 'node_modules', INLINED, 'license');
if (existsSync(license)) writeChanged(join(DIST, LICENSE), readFileSync(license));
removeOthers(new Set([...outputFiles.map(({ path }) => path), join(DIST, LICENSE)]));

/** A file without a change keeps its date. @param {string} path @param {Uint8Array} contents */
function writeChanged(path, contents) {
  if (existsSync(path) && readFileSync(path).equals(contents)) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}

/** What an earlier build wrote and this one did not. @param {ReadonlySet<string>} written */
function removeOthers(written) {
  for (const entry of readdirSync(DIST, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || OTHERS.some((folder) => path.startsWith(join(DIST, folder) + sep))) continue;
    if (/\.js(\.map)?$/.test(entry.name) && !written.has(path)) rmSync(path);
  }
}
