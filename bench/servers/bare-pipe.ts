import { startNodeBaseline } from './node-baseline.ts';
import { lastSegmentOf, type ServerKind } from './server-kind.ts';

/** One object for each body: it does not put them together. */
export const barePipe: ServerKind = {
  name: 'bare-pipe',
  prepare: async () => ({
    title: 'bare Node pipe',
    start: (site) =>
      startNodeBaseline('bare-pipe.ts', site, ({ url, bytes, patchBytes }) =>
        Array.from(
          { length: Math.ceil(bytes / patchBytes) },
          (_, index) => `${lastSegmentOf(url)}/${index * patchBytes}`,
        ),
      ),
  }),
};
