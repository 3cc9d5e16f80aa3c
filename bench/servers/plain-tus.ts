import pkg from '../../package.json' with { type: 'json' };
import { startNodeBaseline } from './node-baseline.ts';
import { lastSegmentOf, type ServerKind } from './server-kind.ts';

export const plainTus: ServerKind = {
  name: 'plain-tus',
  prepare: async () => ({
    title: `@tus/server ${pkg.dependencies['@tus/server']} + s3-store`,
    start: (site) => startNodeBaseline('plain-tus.ts', site, ({ url }) => [lastSegmentOf(url)]),
  }),
};
