/** A small program with a primary and workers, without services: what the workers serve is up to the test. */
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { Counter, Registry } from 'prom-client';
import { WORKER_NUMBER, type WorkerMessage } from '../../src/app/workers-messages.ts';
import { WorkerMetrics } from '../../src/app/workers-metrics.ts';
import { superviseWorkers } from '../../src/app/workers-primary.ts';
import { createLogger } from '../../src/observability/logger.ts';

/** Numbers of workers that cannot start, and of those that never end by themselves. */
const { FAILING = '', STUBBORN = '', STOP_WITHIN_MS = '30000' } = process.env;

if (cluster.isPrimary) {
  const code = await superviseWorkers({
    ...{ workers: 2, stopWithinMs: Number(STOP_WITHIN_MS), logger: createLogger('info') },
    onReady: ({ addresses }) => process.stdout.write(`\n  Page  ${addresses.page}\n`),
  });
  process.exit(code);
} else {
  serve(process.env[WORKER_NUMBER] ?? '');
}

/**
 * `GET /who`: the worker's number and process id. `GET /held`: is answered only when a signal has come.
 * `GET /exit`: ends the process with code 7. `GET /metrics`: those of all.
 */
function serve(number: string): void {
  if (FAILING === number) {
    process.stderr.write(`worker ${number} cannot start\n`);
    process.exit(3);
  }
  const registry = new Registry();
  const asked = new Counter({ name: 'asked_total', help: 'Requests.', registers: [registry] });
  const metrics = new WorkerMetrics(registry, Number(number));
  const held: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    asked.inc();
    response.setHeader('Connection', 'close');
    if (request.url === '/exit') process.exit(7);
    if (request.url === '/held') {
      response.writeHead(200).write('held…');
      held.push(() => response.end('let go'));
    } else if (request.url === '/metrics') response.end(await metrics.metrics());
    else response.end(JSON.stringify({ number, pid: process.pid }));
  });
  process.on('SIGTERM', () => {
    if (STUBBORN === number) return;
    server.close(() => process.exit(0));
    for (const letGo of held) letGo();
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as { port: number };
    const addresses = {
      page: `http://127.0.0.1:${port}/`,
      otherPages: [],
      tus: '',
      s3: '',
      embeddedS3: null,
      database: 'none',
    };
    const ready: WorkerMessage = { type: 'tus-relay:ready', report: { addresses, dataDir: null } };
    process.send?.(ready);
  });
}
