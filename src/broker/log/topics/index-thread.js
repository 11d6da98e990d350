// @ts-check
// The thread that writes the indexes of this process. One checkpoint is one transaction of lmdb, and a transaction with
// the changes of thousands of topics takes tens of milliseconds: in the main thread every stream would wait for it.
// index-writer.ts starts this thread and sends it the changes. Plain JavaScript, because Node starts a thread from a
// file and some of the versions that we support load no TypeScript.
import { statfsSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { openRoot, openStore, STORES } from './index-stores.js';

/** As in index-changes.ts. */
const HEAD_BYTES = 12;
const OWNER_KEY = Buffer.from('owner', 'latin1');
/** lmdb reports a write that was cut short as an input/output error. If the device has no more than these bytes left,
 *  the reason was the lack of room. */
const FULL_BYTES = 1024 * 1024;

/** @typedef {import('./index-stores.js').Store} Store */
/** @typedef {import('./index-stores.js').Root} Root */
/** @typedef {{ readonly root: Root, readonly stores: readonly Store[] }} Index */
/** @typedef {import('./index-writer.ts').IndexRequest} IndexRequest */
/** @typedef {import('./index-writer.ts').IndexAnswer} IndexAnswer */

/** @type {Map<string, Index>} */
const indexes = new Map();

parentPort?.on('message', (/** @type {IndexRequest} */ request) => void answer(request));

/** @param {IndexRequest} request */
async function answer(request) {
  parentPort?.postMessage({ id: request.id, ...(await outcome(request)) });
}

/** @param {IndexRequest} request @returns {Promise<Omit<IndexAnswer, 'id'>>} */
async function outcome({ folder, pages, owner }) {
  try {
    if (pages !== undefined) return { isOwner: apply(folder, pages, owner) };
    const index = indexes.get(folder);
    indexes.delete(folder);
    await index?.root.close();
    return { isOwner: true };
  } catch (error) {
    return { error: causeOf(folder, error) };
  }
}

/**
 * Applies all changes or none; durable when it returns. False if another process owns the folder.
 * @param {string} folder
 * @param {readonly Uint8Array[]} pages
 * @param {Uint8Array | undefined} owner
 */
function apply(folder, pages, owner) {
  const { root, stores } = indexOf(folder);
  return root.transactionSync(() => {
    // Checked inside the transaction, because no other process can claim the folder there.
    if (owner !== undefined && stores[STORES.indexOf('state')]?.get(OWNER_KEY)?.equals(owner) !== true) return false;
    // A copy, because lmdb cannot read memory that threads share.
    for (const page of pages) applyPage(stores, Buffer.from(page));
    return true;
  });
}

/** @param {readonly Store[]} stores @param {Buffer} page */
function applyPage(stores, page) {
  for (let at = 0; at < page.length;) {
    const store = stores[page.readUInt32LE(at)];
    const keyEnd = at + HEAD_BYTES + page.readUInt32LE(at + 4);
    const valueMark = page.readUInt32LE(at + 8);
    const key = page.subarray(at + HEAD_BYTES, keyEnd);
    at = keyEnd + Math.max(0, valueMark - 1);
    if (valueMark === 0) store?.removeSync(key);
    else store?.putSync(key, page.subarray(keyEnd, at));
  }
}

/** @param {string} folder @returns {Index} */
function indexOf(folder) {
  const known = indexes.get(folder);
  if (known !== undefined) return known;
  const root = openRoot(folder);
  const stores = STORES.map((name) => openStore(root, name));
  const index = { root, stores };
  indexes.set(folder, index);
  return index;
}

/** @param {string} folder @param {unknown} error */
function causeOf(folder, error) {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return isFull(folder, message) ? { message: `no space left on the device (${message})`, code } : { message, code };
}

/** @param {string} folder @param {string} message */
function isFull(folder, message) {
  if (!/input\/output error/i.test(message)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize <= FULL_BYTES;
}
