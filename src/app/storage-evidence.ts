/** What tells whose bucket this is, put together: for the relay, and for whoever sweeps. */
import { CanaryCatalog } from '../catalog/canary-catalog.ts';
import { CatalogIdentityStore } from '../catalog/catalog-identity.ts';
import type { Database } from '../catalog/database.ts';
import { SweepCatalog } from '../catalog/sweep-catalog.ts';
import type { Logger } from '../observability/logger.ts';
import { BucketMarker } from '../relay/bucket-marker.ts';
import { systemClock } from '../relay/clock.ts';
import { StorageCanary } from '../relay/storage-canary.ts';
import type { ObjectStorage } from '../s3/object-storage.ts';

export interface StorageEvidenceParts {
  readonly marker: BucketMarker;
  readonly canary: StorageCanary;
}

export function createStorageEvidence(dependencies: {
  database: Database;
  storage: ObjectStorage;
  keyPrefix: string;
  logger: Logger;
}): StorageEvidenceParts {
  const { database, storage, keyPrefix, logger } = dependencies;
  const identity = new CatalogIdentityStore(database);
  const marker = new BucketMarker({ identity, catalog: new SweepCatalog(database), storage, keyPrefix });
  const canary = new StorageCanary({
    ...{ storage, identity, marker, keyPrefix },
    catalog: new CanaryCatalog(database),
    clock: systemClock,
    onChange: (problem) => {
      if (problem === null) logger.info('the storage is the one that uploads were written to again');
      else logger.error({ err: problem }, 'the storage is not the one that uploads were written to');
    },
  });
  return { marker, canary };
}
