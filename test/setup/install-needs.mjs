// What the tests need beyond npm, before they begin: a Chromium for the page, a Redis and an nginx (Debian's packages).
// Installed where this may be done, named in one clear line where not. Plain JavaScript: it runs before anything is
// built.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';

const NEEDS = [
  { path: '/usr/bin/chromium', packages: ['chromium', 'fonts-dejavu-core'] },
  { path: '/usr/bin/redis-server', packages: ['redis-server'] },
  { path: '/usr/bin/redis-cli', packages: ['redis-tools'] },
  { path: '/usr/sbin/nginx', packages: ['nginx-light'] },
];
/** Debian asks this program before it starts what it has installed as a service; 101 is "no". */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

const missing = NEEDS.filter((need) => !existsSync(need.path)).flatMap((need) => need.packages);
if (missing.length > 0) install(missing);

function install(packages) {
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(`The tests need these Debian packages: ${packages.join(', ')}. Install them with: sudo ${command}`);
    process.exit(1);
  }
  console.log(`installing ${packages.join(', ')}`);
  const options = {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  execFileSync('apt-get', ['update', '-qq'], options);
  withoutServices(() =>
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], options),
  );
}

/** The tests start their own on their own ports: nothing of what is installed may run as a service. A policy that the
 *  machine has already stays as it is. */
function withoutServices(work) {
  if (existsSync(SERVICE_POLICY)) return work();
  writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    return work();
  } finally {
    rmSync(SERVICE_POLICY, { force: true });
  }
}
