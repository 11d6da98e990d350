#!/usr/bin/env -S node --max-semi-space-size=32
// The executable: `holdline serve | worker | token | topics`. The only file that handles signals and exits. The first
// line enlarges the young generation: each live run holds some short-lived objects at any time, and every scavenge
// copies those. A command loads only the code that it needs: the server's code alone takes 0.6 s of CPU to load.
import closeWithGrace from 'close-with-grace';
import { Command } from 'commander';
import { setGcFlags } from './cli/gc-flags.ts';
import { describeError } from './cli/describe-error.ts';
import { nameBroker, readBrokerConfig } from './cli/config/broker-config.ts';
import type { Config } from './cli/config/config.ts';
import { processLogger } from './cli/process-logger.ts';
import type { PauseChoice } from './cli/pauses.ts';
import { tokenHint } from './cli/token-hint.ts';
import type { TokenChoices } from './cli/token.ts';
import {
  listLetters,
  listTopics,
  releaseLetter,
  removeTopic,
  showTopic,
  tailTopic,
  withTopics,
  type Output,
} from './cli/topics.ts';
import { listDamaged, verifyTopics } from './cli/verify-topics.ts';
import { UsageError } from './cli/config/environment.ts';
import { readVersion } from './cli/version.ts';
import { systemClock } from './base/clock.ts';
import { takeStray } from './sdk/agent-scope.ts';

/** The device under the log failed: nothing is guaranteed any more, and a supervisor must restart the process. */
const EXIT_STORAGE_FAILED = 74;
/** `topics verify` has found damage. */
const EXIT_DAMAGED = 1;
/** Signals by which a fault of native code ends the process. A listener would return to the instruction that failed,
 *  which fails again: the process would take a whole core and never end, and no supervisor would restart it. */
const CRASH_SIGNALS = ['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGABRT', 'SIGTRAP'] as const;
/** ms after the drain time at which the process is ended by force. */
const DRAIN_SLACK_MS = 5_000;

const output: Output = {
  line: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`holdline: ${text}\n`),
};

let isServer = false;
// A command ends when nobody reads its output any more, as in `holdline topics tail | head`. A server continues: its
// log is silent then.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (isServer) return;
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(`holdline: the output cannot be written: ${error.message}\n`);
  process.exit(EXIT_STORAGE_FAILED);
});

// On this signal Node opens its debugger, which can do everything that this process can. A listener prevents that.
process.on('SIGUSR1', () => undefined);

const program = new Command('holdline')
  .description('A chat session gateway that never loses GPU work.')
  .version(readVersion())
  .showHelpAfterError('(see holdline --help)');

program
  .command('serve', { isDefault: true })
  .description(
    'gateway, worker and embedded broker in one process, or the part that HOLDLINE_ROLE names; configured by the environment',
  )
  .action(async () => runServer((await import('./cli/config/config.ts')).readConfig()));

program
  .command('worker')
  .description('only a worker, against a shared broker')
  .action(async () => runServer((await import('./cli/config/config.ts')).readWorkerConfig()));

program
  .command('token')
  .description('prints a JWT for the configured key')
  .requiredOption('--sub <user>', 'whom it speaks for')
  .option('--scope <scopes>', 'space-separated: chat, worker, admin', 'chat')
  .option('--tenant <tenant>', 'the tenant', 'default')
  .option('--ttl <duration>', 'like 90s, 15m, 1h or 30d', '1h')
  .option('--sessions <ids...>', 'only these sessions')
  .option('--session-prefix <prefix>', 'where ids are claimed: what the ids of sessions that it may make begin with')
  .option('--priority <class>', 'ceiling: high, normal or low')
  .action(async (choices: TokenChoices) => {
    const { readTokenConfig } = await import('./cli/config/config.ts');
    const { makeToken } = await import('./cli/token.ts');
    output.line(makeToken(readTokenConfig(), choices, systemClock.now()));
  });

const topics = program.command('topics').description("the operator's view of LiteTopics");
topics
  .command('verify')
  .description('what an acknowledged message survives, and whether every record can be read back (exit code 1 if not)')
  .action(async () => {
    const config = readBrokerConfig();
    if (!(await withTopics(config, (store) => verifyTopics(store, config, output)))) process.exitCode = EXIT_DAMAGED;
  });
topics
  .command('damaged')
  .description('the topics with records that cannot be read back')
  .action(async () => withTopics(readBrokerConfig(), (store, isRunning) => listDamaged(store, isRunning, output)));
topics
  .command('ls')
  .description('name, next position, bytes, and expiry of each')
  .argument('[pattern]', 'whole segments may be *', 'chat/*')
  .action(async (pattern: string) =>
    withTopics(readBrokerConfig(), async (store) => listTopics(store, pattern, output)),
  );
topics
  .command('show')
  .description('everything the broker knows of one topic')
  .argument('<topic>')
  .action(async (topic: string) => withTopics(readBrokerConfig(), async (store) => showTopic(store, topic, output)));
topics
  .command('tail')
  .description('prints the records of a topic, private parts included')
  .argument('<topic>')
  .option('--after <position>', 'begin after this position')
  .option('-f, --follow', 'go on with what is appended', false)
  .action(async (topic: string, { after, follow }: { after?: string; follow: boolean }) => {
    const stop = new AbortController();
    process.once('SIGINT', () => stop.abort());
    await withTopics(readBrokerConfig(), async (store) => tailTopic(store, topic, after, follow, output, stop.signal));
  });
topics
  .command('rm')
  .description('removes a topic; its readers are told')
  .argument('<topic>')
  .action(async (topic: string) => withTopics(readBrokerConfig(), async (store) => removeTopic(store, topic, output)));

topics
  .command('dead')
  .description('the dead letters: requests that no worker could serve')
  .argument('[group]', 'workers:<agent>; * for all', '*')
  .action(async (group: string) => withTopics(readBrokerConfig(), async (store) => listLetters(store, group, output)));
topics
  .command('release')
  .description('queues the request of a dead letter once more')
  .argument('<letter>', 'its name, as `topics dead` prints it')
  .action(async (name: string) => withTopics(readBrokerConfig(), async (store) => releaseLetter(store, name, output)));

for (const [name, isPaused, text] of [
  ['pause', true, 'lets the prompts of an agent, a tenant or a chat wait; runs under way continue'],
  ['resume', false, 'ends a pause'],
] as const) {
  program
    .command(name)
    .description(text)
    .option('--agent <name>')
    .option('--tenant <name>')
    .option('--topic <topic>', 'the topic of a chat, as `holdline topics ls` prints it')
    .action(async (choice: PauseChoice) => {
      const { setPause } = await import('./cli/pauses.ts');
      await withTopics(readBrokerConfig(), async (store) => setPause(store, choice, isPaused, output));
    });
}
program
  .command('pauses')
  .description('lists what is paused')
  .action(async () => {
    const { listPauses } = await import('./cli/pauses.ts');
    await withTopics(readBrokerConfig(), async (store) => listPauses(store, output));
  });

async function runServer(config: Config): Promise<void> {
  isServer = true;
  setGcFlags();
  const logger = processLogger(config.logLevel);
  const onFatal = (error: Error): void => {
    logger.fatal({ err: error }, 'storage failed, exiting for a restart');
    process.exit(EXIT_STORAGE_FAILED);
  };
  let hasDefect = false;
  /** Replaced as soon as there is something to close. */
  let close: () => unknown = () => process.exit(1);
  const onDefect = (err: unknown): void => {
    // An uncaught error of an agent's code ends its run only.
    if (takeStray(err)) return;
    logger.fatal({ err }, 'defect, exiting');
    // After a second defect nothing can be closed in good order.
    if (hasDefect) process.exit(1);
    hasDefect = true;
    close();
  };
  process.on('unhandledRejection', onDefect);
  process.on('uncaughtException', onDefect);
  const { serve } = await import('./cli/serve.ts');
  const server = await serve(config, logger, onFatal);
  const grace = closeWithGrace(
    {
      delay: config.drainMs + DRAIN_SLACK_MS,
      logger: false,
      skip: ['unhandledRejection', 'uncaughtException', ...CRASH_SIGNALS],
    },
    async ({ signal }) => {
      if (!hasDefect) logger.info({ signal }, 'draining');
      await server.close();
      if (hasDefect) process.exit(1);
    },
  );
  close = () => grace.close();
  if (config.role === 'worker')
    output.line(
      `holdline works on ${nameBroker(config.broker)}${server.url === undefined ? '' : `, its health is at ${server.url}`}`,
    );
  else output.line(`holdline serves ${server.url ?? ''}`);
  if (server.makeLink === undefined) return;
  // A journal or a pipe may be stored and read by others, so no token is written there.
  if (process.stdout.isTTY) output.line(`open ${server.makeLink()}`);
  else for (const line of tokenHint(config.broker, process.argv[1] ?? 'holdline', server.url ?? '')) output.line(line);
}

// Otherwise an unknown command would count as an argument of the default command.
const named = process.argv[2] ?? '-';
if (!named.startsWith('-') && named !== 'help' && !program.commands.some((command) => command.name() === named))
  program.error(`error: unknown command '${named}'`, { exitCode: 64 });

program.parseAsync().catch((error: unknown) => {
  const { message, exitCode } = describeError(error);
  process.stderr.write(`holdline: ${message}\n`);
  process.exitCode = exitCode;
  // After a configuration fault nothing keeps the process alive; after another error something may.
  if (!(error instanceof UsageError)) process.exit();
});
