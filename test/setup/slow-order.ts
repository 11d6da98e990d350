// The order of the slow tests in the gate. Most of them wait for processes, so they come first, beside the checks of
// the sources, which need a core. The tests in a browser come last: they need both cores, and the checks are over then.
// Before the end, long files come before short ones, so that no worker is idle while another has a long file.
import { statSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const FIRST = ['/test/process/', '/test/broker/redis/', '/test/wires/'];
const LAST = '/test/browser/';

export class SlowOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => placeOf(a.moduleId) - placeOf(b.moduleId) || sizeOf(b) - sizeOf(a));
  }
}

function placeOf(path: string): number {
  if (path.includes(LAST)) return FIRST.length + 1;
  const place = FIRST.findIndex((folder) => path.includes(folder));
  return place < 0 ? FIRST.length : place;
}

function sizeOf({ moduleId }: TestSpecification): number {
  return statSync(moduleId).size;
}
