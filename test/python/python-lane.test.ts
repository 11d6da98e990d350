// scripts/test-python.js where it cannot test: it says so, and its exit code is neither that of a pass nor of a
// failure.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Child, childEnv } from '../support/child.ts';
import { owned } from '../support/owned-child.ts';

const LANE = fileURLToPath(new URL('../../scripts/test-python.js', import.meta.url));

/** Makes environments, and installs nothing. */
const PYTHON_WITHOUT_PYPI = `#!/bin/sh
case "$*" in
  --version) echo 'Python 3.12.1' ;;
  '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *) echo 'ERROR: No matching distribution found' >&2; exit 1 ;;
esac
`;

/** Runs the lane where this is the only `python3`, or where there is none. */
function lane(python: string | undefined, ...packages: readonly string[]): Child {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-lane-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  if (python !== undefined) writeFileSync(join(folder, 'python3'), python, { mode: 0o755 });
  const path = python === undefined ? folder : `${folder}:/usr/bin:/bin`;
  const env = childEnv({ PATH: path, TEST_PYTHON_VENVS: join(folder, 'venvs') });
  return owned(new Child(process.execPath, [LANE, ...packages], { env }));
}

describe('npm run test:python', () => {
  it('says that nothing was tested when there is no Python', async () => {
    const child = lane(undefined);
    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stdout).toMatch(/SKIPPED +openai +- +there is no python3\n/);
    expect(child.stderr).toMatch(/NOT EVERY PACKAGE WAS TESTED: openai, .*langgraph-sdk\. This is not a pass/);
    expect(child.stdout).toContain('0 passed, 0 failed, 8 skipped');
  });

  it('says which packages were not tested, and why, when PyPI does not give them', async () => {
    const child = lane(PYTHON_WITHOUT_PYPI, 'openai', 'crewai');
    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stdout).toMatch(
      /SKIPPED +crewai +- +it could not be installed: ERROR: No matching distribution found/,
    );
    expect(child.stderr).toContain('NOT EVERY PACKAGE WAS TESTED: openai, crewai. This is not a pass: exit code 2.');
  });

  it('says that a Python is too old', async () => {
    const child = lane(PYTHON_WITHOUT_PYPI.replace('3.12.1', '3.9.2'), 'openai');
    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stdout).toContain('Python 3.9.2 is too old');
  });
});
