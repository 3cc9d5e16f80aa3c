import type { TestContext } from 'node:test';
import { Router } from 'express';
import { RelayError } from '../../src/errors.ts';
import { createExpressApp, type ExpressAppParts } from '../../src/http/express-app.ts';
import { Readiness } from '../../src/http/health.ts';
import { listen } from '../../src/http/http-server.ts';
import { OriginRules } from '../../src/http/origin-rules.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

export interface ServedApp {
  /** Without a slash at the end. */
  url: string;
  /** Every line that was logged, as it was parsed. */
  logs: Record<string, unknown>[];
}

type ServedParts = Partial<Omit<ExpressAppParts, 'tus'>> & { tus?: Partial<ExpressAppParts['tus']> };

/** The Express app on a port of its own, with whatever parts a test is about; the others do nothing. */
export async function serveApp(t: TestContext, { tus, ...parts }: ServedParts = {}): Promise<ServedApp> {
  const logs: Record<string, unknown>[] = [];
  const app = createExpressApp({
    logger: createLogger('debug', { write: (line) => logs.push(JSON.parse(line)) }),
    readiness: new Readiness([]),
    trustProxy: false,
    hosts: { allowed: '*', loopbackOnly: true },
    origins: new OriginRules('*', () => false),
    publicConfig: { tusEndpoint: '/files', maxUploadBytes: 1e9 },
    tus: {
      handle: async (_request, response) => void response.writeHead(418).end(),
      answerError: (error, _request, response) =>
        void response.writeHead(error instanceof RelayError ? error.status : 500).end(),
      ...tus,
    },
    files: Router(),
    events: (_request, response) => void response.end(),
    requestMetrics: createMetrics().http,
    metrics: (_request, response) => void response.end(),
    page: Router(),
    ...parts,
  });
  const server = await listen(app, '127.0.0.1', 0);
  t.after(() => server.close(0));
  return { url: `http://127.0.0.1:${server.address.port}`, logs };
}
