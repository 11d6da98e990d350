#!/usr/bin/env -S node --max-semi-space-size=32
// The executable: `holdline serve | worker | token | topics`. The only file that reads signals and exits. Young objects get
// room: each live run holds a few that are young for ever, and every collection copies all of those.
import closeWithGrace from 'close-with-grace';
import { Command } from 'commander';
import { setGcFlags } from './cli/gc-flags.ts';
import { describeError } from './cli/describe-error.ts';
import { nameBroker } from './cli/config/broker-config.ts';
import { readBrokerConfig, readConfig, readWorkerConfig, type Config } from './cli/config/config.ts';
import { processLogger } from './cli/process-logger.ts';
import { serve } from './cli/serve.ts';
import { makeToken, type TokenChoices } from './cli/token.ts';
import { listTopics, removeTopic, showTopic, tailTopic, verifyTopics, withTopics, type Output } from './cli/topics.ts';
import { UsageError } from './cli/config/environment.ts';
import { readVersion } from './cli/version.ts';
import { systemClock } from './base/clock.ts';
import { takeStray } from './sdk/agent-scope.ts';

/** The device under the log failed: nothing is promised any more, and a supervisor must start the process anew. */
const EXIT_STORAGE_FAILED = 74;
/** Longer than the drain itself: what hangs is cut off. */
const DRAIN_SLACK_MS = 5_000;

const output: Output = { line: (text) => void process.stdout.write(`${text}\n`) };

// Node opens its debugger, which may do everything that this process may, on this signal. A listener keeps it closed.
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
  .action(() => runServer(readConfig()));

program
  .command('worker')
  .description('only a worker, against a shared broker')
  .action(() => runServer(readWorkerConfig()));

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
  .action((choices: TokenChoices) => output.line(makeToken(readConfig(), choices, systemClock.now())));

const topics = program.command('topics').description("the operator's view of LiteTopics");
topics
  .command('verify')
  .description('what an acknowledged message survives, asked of the storage itself')
  .action(async () => {
    const config = readBrokerConfig();
    await withTopics(config, async (store) => verifyTopics(store, config, output));
  });
topics
  .command('ls')
  .description('names, heads, sizes and expiry')
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

async function runServer(config: Config): Promise<void> {
  setGcFlags();
  const logger = processLogger(config.logLevel);
  const onFatal = (error: Error): void => {
    logger.fatal({ err: error }, 'storage failed, exiting for a restart');
    process.exit(EXIT_STORAGE_FAILED);
  };
  let hasDefect = false;
  /** Until there is anything to close in good order. */
  let close: () => unknown = () => process.exit(1);
  const onDefect = (err: unknown): void => {
    // An agent's own code ends its own run, and is named in the log.
    if (takeStray(err)) return;
    logger.fatal({ err }, 'defect, exiting');
    // After a second one nothing can be closed in good order.
    if (hasDefect) process.exit(1);
    hasDefect = true;
    close();
  };
  process.on('unhandledRejection', onDefect);
  process.on('uncaughtException', onDefect);
  const server = await serve(config, logger, onFatal);
  const grace = closeWithGrace(
    { delay: config.drainMs + DRAIN_SLACK_MS, logger: false, skip: ['unhandledRejection', 'uncaughtException'] },
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
  // What a journal or a pipe takes is kept and read by others, so no token is written there.
  if (process.stdout.isTTY) output.line(`open ${server.makeLink()}`);
  else if (config.broker.engine === 'log')
    output.line(
      `for a token: npx holdline token --sub you, with the same HOLDLINE_BROKER; open ${server.url ?? ''}/#token=<token>`,
    );
  else output.line('for a token: set HOLDLINE_JWT_SECRET and start again, then: npx holdline token --sub you');
}

// Else it would pass for an argument of the default command.
const named = process.argv[2] ?? '-';
if (!named.startsWith('-') && named !== 'help' && !program.commands.some((command) => command.name() === named))
  program.error(`error: unknown command '${named}'`, { exitCode: 64 });

program.parseAsync().catch((error: unknown) => {
  const { message, exitCode } = describeError(error);
  process.stderr.write(`holdline: ${message}\n`);
  process.exitCode = exitCode;
  // A configuration fault leaves nothing behind that could keep the process; anything else might.
  if (!(error instanceof UsageError)) process.exit();
});
