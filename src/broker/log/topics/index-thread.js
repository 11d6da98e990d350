// @ts-check
// The thread that writes the indexes of this process. One checkpoint is one transaction of lmdb, and a transaction with
// the changes of thousands of topics takes tens of milliseconds: in the main thread every stream would wait for it.
// index-writer.ts starts this thread and sends it the changes. Plain JavaScript, because Node starts a thread from a
// file and some of the versions that we support load no TypeScript.
import { statfsSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { applyPage, IndexCopier, loadCopy } from './index-copier.js';
import { openRoot, openStore, STORES } from './index-stores.js';

const OWNER_KEY = Buffer.from('owner', 'latin1');
/** lmdb reports a write that was cut short as an input/output error. If the device has no more than these bytes left,
 *  the reason was the lack of room. */
const FULL_BYTES = 1024 * 1024;

/** @typedef {import('./index-stores.js').Store} Store */
/** @typedef {import('./index-stores.js').Root} Root */
/** @typedef {{ readonly root: Root, readonly stores: readonly Store[], readonly copier: IndexCopier }} Index */
/** @typedef {import('./index-writer.ts').IndexRequest} IndexRequest */
/** @typedef {import('./index-writer.ts').IndexAnswer} IndexAnswer */

/** @type {Map<string, Index>} */
const indexes = new Map();

parentPort?.on('message', (/** @type {IndexRequest} */ request) => void answer(request));

/** @param {IndexRequest} request */
async function answer(request) {
  const done = await outcome(request);
  parentPort?.postMessage({ id: request.id, ...done, copy: indexes.get(request.folder)?.copier.state });
}

/** @param {IndexRequest} request @returns {Promise<Omit<IndexAnswer, 'id'>>} */
async function outcome({ folder, act, pages, owner, from }) {
  try {
    if (act === 'load') return { isDone: await loadCopy(folder, from) };
    if (act === 'close') {
      const index = indexes.get(folder);
      indexes.delete(folder);
      index?.copier.close();
      await index?.root.close();
      return { isDone: true };
    }
    const index = indexOf(folder);
    if (act === 'apply') return { isDone: apply(index, pages, owner) };
    return owned(index, owner, () => {
      if (act === 'slice') return index.copier.slice();
      if (act === 'attach') index.copier.attach();
      else index.copier.drop();
      return true;
    });
  } catch (error) {
    return { error: causeOf(folder, error) };
  }
}

/**
 * Applies all changes or none; durable when it returns. False if another process owns the folder.
 * @param {Index} index
 * @param {readonly Uint8Array[]} pages
 * @param {Uint8Array | undefined} owner
 */
function apply({ root, stores, copier }, pages, owner) {
  const before = copier.place;
  try {
    return root.transactionSync(() => {
      // Checked inside the transaction, because no other process can claim the folder there.
      if (owner !== undefined && !isOwner(stores, owner)) return false;
      // A copy, because lmdb cannot read memory that threads share.
      const changes = pages.map((page) => Buffer.from(page));
      for (const page of changes) applyPage(stores, page);
      copier.note(changes);
      return true;
    });
  } catch (error) {
    copier.undo(before);
    throw error;
  }
}

/**
 * Acts while no other process can claim the folder.
 * @param {Index} index @param {Uint8Array | undefined} owner @param {() => boolean} act
 * @returns {Omit<IndexAnswer, 'id'>}
 */
function owned({ root, stores }, owner, act) {
  let isDone = false;
  // Otherwise a range could be read as it was before the last change.
  root.resetReadTxn();
  const isOwned = root.transactionSync(() => {
    if (owner !== undefined && !isOwner(stores, owner)) return false;
    isDone = act();
    return true;
  });
  return isOwned ? { isDone } : { isDone, isTakenOver: true };
}

/** @param {readonly Store[]} stores @param {Uint8Array} owner */
function isOwner(stores, owner) {
  return stores[STORES.indexOf('state')]?.get(OWNER_KEY)?.equals(owner) === true;
}

/** @param {string} folder @returns {Index} */
function indexOf(folder) {
  const known = indexes.get(folder);
  if (known !== undefined) return known;
  const root = openRoot(folder);
  const stores = STORES.map((name) => openStore(root, name));
  const index = { root, stores, copier: new IndexCopier(folder, stores) };
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
