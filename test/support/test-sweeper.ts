import type { TestContext } from 'node:test';
import { AdoptionCatalog } from '../../src/catalog/adoption-catalog.ts';
import { CatalogIdentityStore } from '../../src/catalog/catalog-identity.ts';
import type { Database } from '../../src/catalog/database.ts';
import { ExpiryCatalog } from '../../src/catalog/expiry-catalog.ts';
import { SweepCatalog } from '../../src/catalog/sweep-catalog.ts';
import { ObjectAdopter } from '../../src/relay/adopt-objects.ts';
import { BucketMarker } from '../../src/relay/bucket-marker.ts';
import { DeepSweeper, type DeepSweepWish } from '../../src/relay/deep-sweep.ts';
import type { OnFound } from '../../src/relay/deep-sweep-report.ts';
import { UploadExpirer } from '../../src/relay/expire-uploads.ts';
import { Sweeper } from '../../src/relay/sweep.ts';
import type { MemoryObjectStorage } from './memory-object-storage.ts';
import { SURE_OF_STORAGE, startNode, startTestRelay } from './test-relay.ts';

export const DAY_MS = 24 * 3_600_000;

/** A relay and everything that sweeps behind it, on a real catalog and an S3 in memory. */
export async function startTestSweeper(t: TestContext, keyPrefix = '') {
  const relay = await startTestRelay(t, { keyPrefix });
  return { ...relay, ...addSweepers(relay, keyPrefix) };
}

/** Another catalog that works on the same bucket. */
export function startSweeperOn(database: Database, storage: MemoryObjectStorage, keyPrefix = '') {
  const node = startNode(database, storage, { keyPrefix });
  return { database, storage, ...node, ...addSweepers({ database, storage, ...node }, keyPrefix) };
}

function addSweepers(node: Awaited<ReturnType<typeof startTestRelay>>, keyPrefix: string) {
  const { database, storage, queue, discards, failures, end } = node;
  const sweeps = new SweepCatalog(database);
  const marker = new BucketMarker({
    identity: new CatalogIdentityStore(database),
    catalog: sweeps,
    storage,
    keyPrefix,
  });
  const adopted: string[] = [];
  const expirer = new UploadExpirer({
    ...{ database, storage, end },
    evidence: SURE_OF_STORAGE,
    expiry: new ExpiryCatalog(database, { discardRecheckSecs: 1_800 }),
    onAdopted: ({ uploadId }) => adopted.push(uploadId),
  });
  const sweeper = new Sweeper({
    ...{ database, expirer, sweeps, queue, discards, marker },
    canary: { keep: async () => {}, check: async () => {} },
    onFailure: (error) => failures.push(error),
  });
  const adopter = new ObjectAdopter({
    ...{ database, storage, end },
    adoptions: new AdoptionCatalog(database, { discardRecheckSecs: 1_800 }),
    onAdopted: ({ uploadId }) => adopted.push(uploadId),
  });
  const deepSweeper = new DeepSweeper({
    ...{ sweeps, adopter, marker, storage, discards, keyPrefix, now: Date.now },
    canary: { adopt: async () => {} },
  });
  const deep = (wish: Partial<DeepSweepWish> = {}, onFound?: OnFound) =>
    deepSweeper.sweep({ dryRun: false, adopt: false, verify: false, ...wish }, onFound);
  return { sweeps, marker, sweeper, deep, adopted };
}

export type TestSweeper = Awaited<ReturnType<typeof startTestSweeper>>;

/** Whoever stores it, and however long ago. */
export async function storeObject(storage: MemoryObjectStorage, key: string, ageMs = 2 * DAY_MS): Promise<string> {
  const bytes = Buffer.from(key);
  await storage.putObject(key, { bytes: bytes.length, read: () => [bytes] }, {});
  const object = storage.objects.get(key);
  if (object !== undefined) object.storedAt = new Date(Date.now() - ageMs);
  return key;
}

/** Everything that is in the bucket now has been there for as long. */
export function letTimePass(storage: MemoryObjectStorage, ms = 2 * DAY_MS): void {
  for (const object of storage.objects.values()) object.storedAt = new Date(object.storedAt.getTime() - ms);
  for (const multipart of storage.multiparts.values()) {
    multipart.initiated = new Date(multipart.initiated.getTime() - ms);
  }
}
