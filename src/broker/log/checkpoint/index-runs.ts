// Counts the process runs that did not end in order since the index of the folder was last checked: a damaged page of
// lmdb may end a process by a signal, at each start or with each read of one chat. One such end says nothing, because
// a server that is killed ends in the same way; after two of them a start checks the index before it uses it.
import { randomUUID } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isCode } from '../disk/log-files.ts';

/** In the data folder, while a process uses the index: the name of the process run, and the runs before it that did not
 *  end in order. */
const NAME = 'index.run';
const THIS_RUN = randomUUID();
/** Ends in a row after which the index is checked. */
const DEATHS_MAX = 2;

interface Run {
  readonly name: string;
  readonly deaths: number;
}

/** Notes that this process run uses the index. True: the index must be checked before. Only a flush could make the note
 *  survive the machine, and an end of the machine is no end of this kind. */
export async function noteStart(folder: string): Promise<boolean> {
  const before = await readRun(folder);
  // The same process has opened the folder before: it has not died.
  const deaths = before === undefined ? 0 : before.deaths + Number(before.name !== THIS_RUN);
  await writeRun(folder, deaths);
  return deaths >= DEATHS_MAX && (await hasIndex(folder));
}

/** The check of the index has ended. */
export async function noteChecked(folder: string): Promise<void> {
  await writeRun(folder, 0);
}

/** The process has closed the index. */
export async function noteEnd(folder: string): Promise<void> {
  await rm(join(folder, NAME), { force: true });
}

async function readRun(folder: string): Promise<Run | undefined> {
  try {
    const [name = '', deaths = ''] = (await readFile(join(folder, NAME), 'latin1')).split(' ');
    return { name, deaths: Number.parseInt(deaths, 10) || 0 };
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Without room on the device nothing is counted. */
async function writeRun(folder: string, deaths: number): Promise<void> {
  try {
    await writeFile(join(folder, NAME), `${THIS_RUN} ${deaths}`, { mode: 0o600 });
  } catch (error) {
    if (!isCode(error, 'ENOSPC')) throw error;
  }
}

async function hasIndex(folder: string): Promise<boolean> {
  try {
    return (await stat(join(folder, 'index', 'data.mdb'))).size > 0;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
