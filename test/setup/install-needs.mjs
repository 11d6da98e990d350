// What the tests need beyond npm, before they begin: a Chromium for the page (Debian's package). Installed where
// this may be done, named in one clear line where not. Plain JavaScript: it runs before anything is built.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const NEEDS = [{ path: '/usr/bin/chromium', packages: ['chromium', 'fonts-dejavu-core'] }];

const missing = NEEDS.filter((need) => !existsSync(need.path)).flatMap((need) => need.packages);
if (missing.length > 0) install(missing);

function install(packages) {
  const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.error(`The tests need these Debian packages: ${packages.join(', ')}. Install them with: sudo ${command}`);
    process.exit(1);
  }
  console.log(`installing ${packages.join(', ')}`);
  const options = { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  execFileSync('apt-get', ['update', '-qq'], options);
  execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], options);
}
