import type { TailTiers } from '../../src/relay/tail-tiers.ts';
import { SeededRandom } from './random.ts';

/** What one run is made of: everything that the seed decides before the first step. */
export interface Scenario {
  partBytes: number;
  /** Small ones, so that a few segments are merged. */
  tailTiers: TailTiers;
  lengthBytes: number;
  /** The length is declared later, by the client that gets there. */
  isDeferred: boolean;
  /** Contents that race for the one upload; clients beyond take one of them again. */
  contents: number;
  clients: number;
  requestsPerClient: number;
  nodes: number;
  uploadExpiresSecs: number;
  jumpChance: number;
  /** Nodes believe that a common lock keeps them apart (it does not here): then a claim takes over without waiting. */
  isLockShared: boolean;
  /** The creating request brings bytes. */
  createsWithBody: boolean;
  etags: 'opaque' | 'md5';
  secondComplete: 'answers' | 'no-such-upload';
  /** A part that was under way during an abort brings the multipart upload back. */
  partsSurviveAbort: boolean;
  /** An abort of anything succeeds (MinIO): it never says NoSuchUpload. */
  abortNeverMissing: boolean;
  listPage: number;
  /** UploadPartCopy; some services lack it. */
  hasPartCopy: boolean;
  faults: FaultRates;
  /** Chances per step. */
  kill: number;
  pause: number;
  sweep: number;
  terminate: number;
  /** The provider's own rule removes the multipart upload in this run. */
  providerRemoves: number;
  /** S3 becomes another one, which has nothing of ours, or is ours again. */
  elsewhere: number;
  /** After the faults a client comes back and brings the upload to its end. */
  finishes: boolean;
}

/** Chances per call. */
export interface FaultRates {
  s3Refused: number;
  s3Failed: number;
  s3FailedDone: number;
  s3Lost: number;
  s3Late: number;
  /** A write that S3 works at for a while: others come in between. */
  s3Slow: number;
  s3DeleteFails: number;
  databaseRefused: number;
  databaseLost: number;
  databaseNever: number;
  databaseLate: number;
}

export const NO_FAULTS: FaultRates = {
  s3Refused: 0,
  s3Failed: 0,
  s3FailedDone: 0,
  s3Lost: 0,
  s3Late: 0,
  s3Slow: 0,
  s3DeleteFails: 0,
  databaseRefused: 0,
  databaseLost: 0,
  databaseNever: 0,
  databaseLate: 0,
};

/**
 * Each run leaves out most kinds of trouble and has much of the others: runs with a little of everything find less,
 * because one fault hides the next.
 */
export function scenarioOf(seed: number): Scenario {
  const random = new SeededRandom(seed);
  const partBytes = random.pick([3, 4, 7, 12]);
  const rate = (low: number, high: number) => random.pick([0, 0, 0, low, low, high]);
  const isDeferred = random.chance(0.15);
  return {
    partBytes,
    tailTiers: { fanOut: random.pick([2, 2, 3]), settledPerPart: random.pick([1, 2, 3]) },
    lengthBytes: lengthOf(random, partBytes),
    isDeferred,
    contents: random.pick([1, 2, 2, 3]),
    clients: random.pick([1, 2, 2, 3]),
    requestsPerClient: random.between(1, 4),
    nodes: random.pick([2, 2, 3]),
    uploadExpiresSecs: random.pick([86_400, 86_400, 86_400, 900]),
    jumpChance: random.pick([0, 0.01, 0.05]),
    isLockShared: random.chance(0.8),
    createsWithBody: random.chance(0.25),
    etags: random.pick(['opaque', 'opaque', 'md5']),
    secondComplete: random.pick(['answers', 'no-such-upload']),
    partsSurviveAbort: random.chance(0.5),
    abortNeverMissing: random.chance(0.25),
    listPage: random.pick([1, 2, 1000]),
    hasPartCopy: random.chance(0.7),
    faults: {
      s3Refused: rate(0.01, 0.05),
      s3Failed: rate(0.03, 0.2),
      s3FailedDone: rate(0.03, 0.2),
      s3Lost: rate(0.03, 0.2),
      s3Late: rate(0.05, 0.3),
      s3Slow: rate(0.2, 0.6),
      s3DeleteFails: rate(0.1, 0.3),
      databaseRefused: rate(0.01, 0.05),
      databaseLost: rate(0.02, 0.1),
      databaseNever: rate(0.02, 0.1),
      databaseLate: rate(0.02, 0.1),
    },
    kill: rate(0.003, 0.015),
    pause: rate(0.005, 0.02),
    sweep: rate(0.002, 0.01),
    terminate: random.pick([0, 0, 0, 0, 0.002, 0.01]),
    providerRemoves: random.pick([0, 0, 0, 0, 0, 0, 0, 0.01]),
    elsewhere: random.pick([0, 0, 0, 0, 0.005, 0.02]),
    finishes: random.chance(0.75),
  };
}

/** Small ones, and those around the borders of parts, are where mistakes live. */
function lengthOf(random: SeededRandom, partBytes: number): number {
  const kind = random.next();
  if (kind < 0.04) return 0;
  if (kind < 0.25) return random.between(1, partBytes);
  if (kind < 0.5) return partBytes * random.between(2, 4);
  return random.between(partBytes + 1, partBytes * (kind < 0.9 ? 4 : 8));
}
