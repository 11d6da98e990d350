// @ts-check
// Reads every entry of an index and says what it cannot read. A process of its own, because lmdb trusts its pages: a
// damaged page may end the process that reads it by a signal. index-check.ts starts it. Plain JavaScript, as
// index-thread.js is.
import { open } from 'lmdb';
import { STORES } from './index-stores.js';

const ENCODING = /** @type {const} */ ({ encoding: 'binary', keyEncoding: 'binary' });

/** @param {string} folder */
function walk(folder) {
  const root = open({ path: folder, ...ENCODING, maxDbs: 8, cache: false, noSubdir: false, readOnly: true });
  for (const name of STORES) {
    // An older build made no such store.
    const store = root.openDB({ name, ...ENCODING });
    if (store === undefined) continue;
    for (const { key, value } of store.getRange({}))
      if (key === undefined || value === undefined) return `${name} has an entry without bytes`;
  }
  return undefined;
}

/** @param {string} folder */
function damageOf(folder) {
  try {
    return walk(folder);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const damage = damageOf(process.argv[2] ?? '');
// Not by an orderly end: lmdb would read the pages once more.
process.send?.({ damage }, () => process.kill(process.pid, 'SIGKILL'));
