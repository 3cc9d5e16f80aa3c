import { barePipe } from './bare-pipe.ts';
import { ours } from './ours.ts';
import { plainTus } from './plain-tus.ts';
import type { ServerKind } from './server-kind.ts';
import { tunedTusd, tusd } from './tusd.ts';

/** In the order of the report. */
export const SERVERS: readonly ServerKind[] = [barePipe, ours, tunedTusd, tusd, plainTus];
