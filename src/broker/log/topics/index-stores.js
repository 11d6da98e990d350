// @ts-check
// How an index is opened, and its stores. The main thread and the index thread open it alike, because both share what
// lmdb holds of the folder. Plain JavaScript, for the index thread.
import { open } from 'lmdb';

/** The stores of the index. Their order is a part of the form in which the index thread receives changes. */
export const STORES = /** @type {const} */ (['topics', 'chunks', 'expiry', 'groups', 'state']);

/** @typedef {(typeof STORES)[number]} StoreName */
/** @typedef {import('lmdb').Database<Buffer, Buffer>} Store */
/** @typedef {import('lmdb').RootDatabase<Buffer, Buffer>} Root */

const ENCODING = /** @type {const} */ ({ encoding: 'binary', keyEncoding: 'binary' });

/** @param {string} folder @returns {Root} */
export function openRoot(folder) {
  return open({
    path: folder,
    ...ENCODING,
    // A transaction is on the device when it returns.
    overlappingSync: false,
    maxDbs: 8,
    cache: false,
    noSubdir: false,
  });
}

/** @param {Root} root @param {StoreName} name @returns {Store} */
export function openStore(root, name) {
  return root.openDB({ name, ...ENCODING });
}
