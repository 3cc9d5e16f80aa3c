/**
 * A node of the tests of many nodes: the real server, put together by the real composition root. Its sweeper turns often
 * and looks again soon at what it has removed, so that a test sees in seconds what takes most of an hour otherwise.
 */
import { realParts, startServer } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { createLogger } from '../../../src/observability/logger.ts';

const { config, secrets } = loadConfig(process.env);
const server = await startServer(config, secrets, createLogger(config.logLevel), {
  ...realParts,
  timing: { discardRecheckSecs: 1, everyMs: 250 },
});
process.stdout.write(`Page ${server.addresses.page}\n`);

process.on('SIGTERM', async () => {
  await server.close();
  process.exit(0);
});
// The test has gone: there is nobody left to be a node for.
process.on('disconnect', () => process.exit(0));
