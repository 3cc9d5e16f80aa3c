import type { TestContext } from 'node:test';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';

/** The real server as a process of its own, which a test can kill and start again on the same data and port. */
export type PageServer = ServerProcess;

/** @param env on top of a small part size and free ports */
export function startPageServer(t: TestContext, env: Record<string, string> = {}): Promise<PageServer> {
  return startServerProcess(t, { env });
}
