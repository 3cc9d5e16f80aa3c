/** The load generator's process: does one load for each message from its parent, and answers with what came of it. */
import type { Load, LoadResult } from './load.ts';
import { Pattern } from './pattern.ts';
import { runLoad } from './run-load.ts';

export interface Order {
  readonly load: Load;
  readonly endpoint: string;
}

export type Reply = { readonly result: LoadResult } | { readonly problem: string };

const pattern = new Pattern();

process.on('message', async ({ load, endpoint }: Order) => {
  process.send?.(await replyTo(load, endpoint));
});
// Without a parent nobody wants the load any more.
process.once('disconnect', () => process.exit());

async function replyTo(load: Load, endpoint: string): Promise<Reply> {
  try {
    return { result: await runLoad(load, endpoint, pattern) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}
